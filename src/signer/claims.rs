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
    pub(super) hotwork_approval: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) hotwork_session: Option<Cow<'a, str>>,
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
    min: Option<i64>,
    #[serde(default, borrow)]
    not_one_of: Option<Vec<Scalar<'a>>>,
    #[serde(default, borrow)]
    one_of: Option<Vec<Scalar<'a>>>,
    #[serde(default, borrow)]
    order: Option<Vec<Cow<'a, str>>>,
    #[serde(default, borrow)]
    prefix: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    rank: Option<Cow<'a, str>>,
}

/// A value that a constraint names.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar<'a> {
    Flag(bool),
    Integer(i64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

/// The rules that one verifier can judge by itself (PROFILES 1). Any other one denies, `max_subtree` among them: it
/// bounds a sum over tokens, which only who holds that sum can judge.
pub(super) enum Rule<'c> {
    Max(i64),
    MaxLifetime(u64),
    Min(i64),
    NotOneOf(&'c [Scalar<'c>]),
    OneOf(&'c [Scalar<'c>]),
    Prefix(&'c str),
    /// The most permissive value, and all values from the least permissive on.
    Rank(&'c str, &'c [Cow<'c, str>]),
}

impl RawConstraint<'_> {
    /// Its one rule; `None` when it has none or several, or a rank without its order.
    pub(super) fn rule(&self) -> Option<Rule<'_>> {
        if self.rank.is_some() != self.order.is_some() {
            return None;
        }
        let rules = [
            self.max.map(Rule::Max),
            self.max_lifetime.map(Rule::MaxLifetime),
            self.min.map(Rule::Min),
            self.not_one_of.as_deref().map(Rule::NotOneOf),
            self.one_of.as_deref().map(Rule::OneOf),
            self.prefix.as_deref().map(Rule::Prefix),
            self.rank.as_deref().zip(self.order.as_deref()).map(|(rank, order)| Rule::Rank(rank, order)),
        ];
        let mut found = rules.into_iter().flatten();
        found.next().filter(|_| found.next().is_none())
    }
}

/// Decodes one part of a compact JWS. Padding, other alphabets and stray bits are refused.
pub(super) fn part(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
