//! Key sets: a key's id is computed, and a signature that nobody made never verifies.
#![no_main]

use hotwork::domain::request::Thumbprint;
use hotwork::signer::jwk::{parse_jwks, thumbprint};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(keys) = parse_jwks(text) else { return };
    for key in keys {
        assert_eq!(key.kid(), thumbprint(key.algorithm(), key.public_key()));
        assert!(key.kid().parse::<Thumbprint>().is_ok());
        assert!(key.verify(text.as_bytes(), &[7; 64]).is_err());
    }
});
