//! Tokens: a header on the first line, the claims on the second, signed here with the trusted key, so that
//! all that lies behind the signature is reached; and the text itself, which nobody signed.
#![no_main]

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::domain::name::Issuer;
use hotwork::domain::signer::{Algorithm, Signer as _};
use hotwork::domain::time::Timestamp;
use hotwork::signer::key::{LocalSigner, VerifyingKey};
use hotwork::signer::verify::{Moment, token};

const NOW: i64 = 1_795_392_060;

libfuzzer_sys::fuzz_target!(|text: &str| {
    static KEY: OnceLock<LocalSigner> = OnceLock::new();
    let signer = KEY.get_or_init(|| {
        let pkcs8 = LocalSigner::generate(Algorithm::Ed25519).expect("randomness");
        LocalSigner::from_pkcs8(Algorithm::Ed25519, &pkcs8).expect("a key")
    });
    let keys = [VerifyingKey::of(signer)];
    let issuer: Issuer = "https://broker.example".parse().expect("an issuer");
    let moment = Moment { now: Timestamp::from_seconds(NOW), leeway_seconds: 30 };
    assert!(token(text, &keys, &issuer, moment).is_err(), "a forgery");

    let text = text.replace("KID", signer.kid());
    let Some((header, claims)) = text.split_once('\n') else { return };
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = signer.sign(input.as_bytes()).expect("a signature");
    let signed = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let Ok(read) = token(&signed, &keys, &issuer, moment) else { return };
    let (issued, expires) = (read.issued.seconds(), read.expires.seconds());
    assert!((1..=900).contains(&(expires - issued)) && expires > NOW - 30);
    let elsewhere: Issuer = "https://other.example".parse().expect("an issuer");
    assert!(token(&signed, &keys, &elsewhere, moment).is_err());
});
