//! Names of every kind.
#![no_main]

use hotwork::domain::name::{
    ActionName, AgentName, ApiName, Audience, GroupName, Issuer, OperatorName, PolicyName, Purpose, Reason,
    TenantName, TrustDomain,
};
use hotwork::domain::{evidence::SelectorKind, parameter::ParameterName, request::IdempotencyKey};
use hotwork_fuzz::one_spelling;

libfuzzer_sys::fuzz_target!(|text: &str| {
    one_spelling::<ActionName>(text);
    one_spelling::<AgentName>(text);
    one_spelling::<ApiName>(text);
    one_spelling::<Audience>(text);
    one_spelling::<GroupName>(text);
    one_spelling::<IdempotencyKey>(text);
    one_spelling::<Issuer>(text);
    one_spelling::<OperatorName>(text);
    one_spelling::<ParameterName>(text);
    one_spelling::<PolicyName>(text);
    one_spelling::<Purpose>(text);
    one_spelling::<Reason>(text);
    one_spelling::<SelectorKind>(text);
    one_spelling::<TenantName>(text);
    one_spelling::<TrustDomain>(text);
});
