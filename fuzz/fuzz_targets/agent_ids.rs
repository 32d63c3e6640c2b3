//! SPIFFE IDs of agents: one spelling, and its parts say the same as the whole.
#![no_main]

use hotwork::domain::name::AgentId;
use hotwork_fuzz::one_spelling;

libfuzzer_sys::fuzz_target!(|text: &str| {
    one_spelling::<AgentId>(text);
    let Ok(id) = text.parse::<AgentId>() else { return };
    let tail = format!("/tenant/{}/agent/{}", id.tenant(), id.name());
    assert!(text.ends_with(&tail) && text.starts_with("spiffe://"));
    assert_eq!(text.split('/').count(), 7);
});
