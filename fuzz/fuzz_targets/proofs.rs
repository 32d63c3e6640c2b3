//! DPoP proofs: a header on the first line with `JWK` for the key's members, the claims on the second, signed
//! here with that key, so that all that lies behind the signature is reached; and the text itself.
#![no_main]

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::domain::signer::{Algorithm, Signer as _};
use hotwork::signer::key::LocalSigner;
use hotwork::signer::verify::proof;

libfuzzer_sys::fuzz_target!(|text: &str| {
    static KEY: OnceLock<LocalSigner> = OnceLock::new();
    let signer = KEY.get_or_init(|| {
        let pkcs8 = LocalSigner::generate(Algorithm::Ed25519).expect("randomness");
        LocalSigner::from_pkcs8(Algorithm::Ed25519, &pkcs8).expect("a key")
    });
    let _ = proof(text);
    let x = URL_SAFE_NO_PAD.encode(signer.public_key());
    let text = text.replace("JWK", &format!(r#""crv":"Ed25519","kty":"OKP","x":"{x}""#));
    let Some((header, claims)) = text.split_once('\n') else { return };
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = signer.sign(input.as_bytes()).expect("a signature");
    let Ok(read) = proof(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature))) else { return };
    assert_eq!(read.jkt, signer.kid(), "a proof of another key");
    assert!(!read.jti.is_empty() && read.jti.len() <= 256);
});
