//! A token as it is read back, strictly: known members only, each once. What it says is not yet trusted.
//!
//! The linter reads what we are about to sign with it, the verifier what somebody presents.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::domain::request::Confirmation;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeader<'a> {
    #[serde(borrow)]
    pub(super) alg: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kid: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) typ: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClaims<'a> {
    #[serde(borrow)]
    pub(super) act: Option<RawActor<'a>>,
    #[serde(borrow)]
    pub(super) aud: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) authorization_details: [RawDetails<'a>; 1],
    #[serde(borrow)]
    pub(super) client_id: Cow<'a, str>,
    #[serde(default)]
    pub(super) cnf: Confirmation,
    pub(super) del_depth: u8,
    pub(super) del_max_depth: u8,
    pub(super) exp: i64,
    #[serde(borrow)]
    pub(super) hotwork_tier: Cow<'a, str>,
    pub(super) iat: i64,
    #[serde(borrow)]
    pub(super) iss: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) jti: Cow<'a, str>,
    pub(super) nbf: i64,
    #[serde(borrow)]
    pub(super) scope: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) status: Option<RawStatus<'a>>,
    #[serde(borrow)]
    pub(super) sub: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) txn: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStatus<'a> {
    #[serde(borrow)]
    pub(super) status_list: RawStatusList<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStatusList<'a> {
    pub(super) idx: u32,
    #[serde(borrow)]
    pub(super) uri: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawActor<'a> {
    #[serde(borrow)]
    pub(super) sub: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDetails<'a> {
    #[serde(borrow)]
    pub(super) constraints: Vec<RawConstraint<'a>>,
    #[serde(borrow)]
    pub(super) scopes: [Cow<'a, str>; 1],
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
}

/// One constraint with exactly one rule; [`RawConstraint::rule`] says which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConstraint<'a> {
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
    max: Option<i64>,
    max_lifetime: Option<u64>,
    #[serde(borrow)]
    one_of: Option<[Scalar<'a>; 1]>,
}

/// A value that a constraint names.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar<'a> {
    Flag(bool),
    Text(#[serde(borrow)] Cow<'a, str>),
}

/// The rules that our tokens use. Any other one denies.
pub(super) enum Rule<'c> {
    Flag(bool),
    Max(i64),
    MaxLifetime(u64),
    Text(&'c str),
}

impl RawConstraint<'_> {
    /// Its one rule; `None` when it has none or several.
    pub(super) fn rule(&self) -> Option<Rule<'_>> {
        match (&self.one_of, self.max, self.max_lifetime) {
            (Some([Scalar::Flag(flag)]), None, None) => Some(Rule::Flag(*flag)),
            (Some([Scalar::Text(text)]), None, None) => Some(Rule::Text(text)),
            (None, Some(max), None) => Some(Rule::Max(max)),
            (None, None, Some(lifetime)) => Some(Rule::MaxLifetime(lifetime)),
            (Some(_) | None, Some(_) | None, Some(_) | None) => None,
        }
    }
}

/// Decodes one part of a compact JWS. Padding, other alphabets and stray bits are refused.
pub(super) fn part(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
