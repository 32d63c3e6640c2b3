//! Certificate requests: only a public key comes out, and a wider rule never refuses what a narrower takes.
#![no_main]

use hotwork::domain::limits::CSR_BYTES_MAX;
use hotwork::domain::request::Thumbprint;
use hotwork::signer::csr::{KeyKind, KeyRule, SubjectKey};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let wide = SubjectKey::from_csr_under(bytes, KeyRule { rsa: true });
    let Ok(key) = SubjectKey::from_csr(bytes) else {
        assert!(wide.is_err() || wide.is_ok_and(|key| key.kind() == KeyKind::Rsa));
        return;
    };
    assert!(bytes.len() <= CSR_BYTES_MAX && key.kind() != KeyKind::Rsa);
    assert!(key.jkt().parse::<Thumbprint>().is_ok());
    assert!(bytes.windows(key.spki().len()).any(|part| part == key.spki()), "a key that was not asked for");
    assert_eq!(wide.map(|key| key.jkt().to_owned()).ok().as_deref(), Some(key.jkt()));
});
