//! Certificates that somebody presents, as the leaf and as the authority.
#![no_main]

use hotwork::domain::time::Timestamp;
use hotwork::signer::extension::OidArc;
use hotwork::signer::verify::{Moment, certificate};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let arc: OidArc = OidArc::EXAMPLE.parse().expect("the example is an arc");
    let moment = Moment { now: Timestamp::from_seconds(1_795_392_000), leeway_seconds: 30 };
    let middle = bytes.len() / 2;
    // Nobody who fuzzes holds a key, so nothing may verify.
    assert!(certificate(bytes, bytes, &arc, moment).is_err());
    assert!(certificate(&bytes[..middle], &bytes[middle..], &arc, moment).is_err());
});
