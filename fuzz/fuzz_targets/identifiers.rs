//! Ids, serial numbers, digests, thumbprints and rates.
#![no_main]

use hotwork::domain::catalogue::Rate;
use hotwork::domain::digest::Digest;
use hotwork::domain::id::{CredentialId, Lineage, Serial};
use hotwork::domain::request::Thumbprint;
use hotwork_fuzz::one_spelling;

libfuzzer_sys::fuzz_target!(|text: &str| {
    one_spelling::<CredentialId>(text);
    one_spelling::<Digest>(text);
    one_spelling::<Lineage>(text);
    one_spelling::<Serial>(text);
    one_spelling::<Thumbprint>(text);
    if let Ok(id) = text.parse::<CredentialId>() {
        assert_eq!(CredentialId::from_bytes(*id.as_bytes()), Ok(id));
        assert!(id.time().millis() >= 0);
    }
    if let Ok(rate) = text.parse::<Rate>() {
        assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
    }
});
