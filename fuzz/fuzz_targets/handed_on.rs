//! A client's certificate as proxies hand it on: reading is total, and what is read is one certificate and comes back the
//! same when it is escaped anew.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotwork::api::door::certificate::certificate;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some(der) = certificate(text) else { return };
    assert!(!der.is_empty() && der.len() < text.len());
    // Dashes are no base64, so this is not in a body, even beside an escaped byte: `%2BEGIN` is `+EGIN`.
    assert_eq!(text.matches("-BEGIN").count().max(1), 1, "two certificates");
    let body = STANDARD.encode(&der).replace('+', "%2B");
    let again = format!("-----BEGIN%20CERTIFICATE-----%0A{body}%0A-----END%20CERTIFICATE-----");
    assert_eq!(certificate(&again), Some(der));
});
