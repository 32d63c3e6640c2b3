//! Tokens (PROFILES 1): the signing input as a pure function of the record, the issuer and the key's name.
//!
//! Fields stand in alphabetical order, numbers are integers, and serde_json escapes as RFC 8785 asks, so its
//! compact output is canonical JSON. A test holds the order.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};

use super::lint;
use super::mint::{Form, LintError, MintError, Unsigned, sealed};
use super::secret::Secret;
use crate::domain::catalogue::Tier;
use crate::domain::credential::{Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::id::{ApprovalId, CredentialId, Lineage};
use crate::domain::limits::NOT_BEFORE_SLACK_SECONDS;
use crate::domain::name::{ActionName, AgentId, Audience, Issuer};
use crate::domain::parameter::{Integer, ParameterName, Text, Value};
use crate::domain::request::Confirmation;
use crate::domain::resource::Resource;
use crate::domain::signer::{Algorithm, Signer};
use crate::domain::status_list::ListId;

/// The media type of an access token (RFC 9068 section 2.1).
pub(super) const TYPE: &str = "at+jwt";
/// The type of our `authorization_details` (draft-asor-wimse-agent-delegation-chain).
pub(super) const DETAILS_TYPE: &str = "agent_delegation";
/// How deep delegation may go below a token that we issue to an agent itself.
pub(super) const DELEGATION_DEPTH_MAX: u8 = 1;

/// The form of a token: whose it is, and the key that signs it.
pub struct TokenForm {
    pub(super) issuer: Issuer,
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
}

/// The token of this record before its signature: `header.payload`.
///
/// # Errors
/// When the record is not a token's.
pub fn unsigned<'r>(
    record: &'r Issuance,
    issuer: &Issuer,
    signer: &dyn Signer,
) -> Result<Unsigned<'r, TokenForm>, MintError> {
    if record.kind != Kind::Token {
        return Err(MintError::WrongKind);
    }
    let (kid, algorithm) = (signer.kid().to_owned(), signer.algorithm());
    let header = Header { alg: algorithm.jose(), kid: &kid, typ: TYPE };
    let mut input = String::with_capacity(1536);
    append(&mut input, &header)?;
    input.push('.');
    append(&mut input, &payload(record, issuer))?;
    let form = TokenForm { issuer: issuer.clone(), kid, algorithm };
    Ok(Unsigned::new(record, form, input.into_bytes()))
}

/// SHA-256 of the canonical `authorization_details` of this record: what a certificate carries in its place.
///
/// # Errors
/// When it can't be written as JSON.
pub fn authorization_details_digest(record: &Issuance) -> Result<Digest, MintError> {
    serde_json::to_vec(&[details(record)]).map(|json| Digest::of(&json)).map_err(json_failed)
}

/// The same digest for an action on a resource without any parameter, argument or count. A verifier that
/// finds it in a certificate knows that the certificate is not constrained beyond what it says.
pub fn plain_details_digest(action: &ActionName, resource: &Resource) -> Digest {
    // Neither form has a character that JSON escapes.
    let json = format!(
        r#"[{{"constraints":[{{"key":"resource","one_of":["{resource}"]}}],"scopes":["{action}"],"type":"{DETAILS_TYPE}"}}]"#
    );
    Digest::of(json.as_bytes())
}

fn append(input: &mut String, value: &impl Serialize) -> Result<(), MintError> {
    let mut json = Vec::with_capacity(1024);
    serde_json::to_writer(&mut json, value).map_err(json_failed)?;
    URL_SAFE_NO_PAD.encode_string(json, input);
    Ok(())
}

fn json_failed(error: impl Display) -> MintError {
    MintError::Json(error.to_string())
}

fn payload<'a>(record: &'a Issuance, issuer: &'a Issuer) -> Payload<'a> {
    let delegated = *record.principal != *record.agent.as_str();
    let issued = record.issued.seconds();
    Payload {
        act: delegated.then_some(Actor { sub: &record.agent }),
        aud: &record.audience,
        authorization_details: [details(record)],
        client_id: &record.agent,
        cnf: Some(&record.cnf).filter(|cnf| !cnf.is_bearer()),
        del_depth: 0,
        del_max_depth: DELEGATION_DEPTH_MAX,
        exp: record.expires.seconds(),
        hotwork_approval: record.approval.map(|used| used.id),
        hotwork_session: session(record),
        hotwork_tier: record.tier.as_str(),
        iat: issued,
        iss: issuer,
        jti: &record.id,
        nbf: issued - i64::from(NOT_BEFORE_SLACK_SECONDS),
        scope: &record.action,
        status: status(record, issuer),
        sub: &record.principal,
        txn: &record.lineage,
    }
}

/// The break-glass session that it was minted under: the lineage of all that is.
pub(super) fn session(record: &Issuance) -> Option<&Lineage> {
    (record.tier == Tier::BreakGlass).then_some(&record.lineage)
}

fn status(record: &Issuance, issuer: &Issuer) -> Option<Status> {
    let status = record.status?;
    let uri = ListId::of(status, record.expires).uri(issuer.as_str());
    Some(Status { status_list: StatusList { idx: status.index, uri } })
}

fn details(record: &Issuance) -> Details<'_> {
    Details { constraints: Constraints(record), scopes: [&record.action], kind: DETAILS_TYPE }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Actor<'a>>,
    aud: &'a Audience,
    authorization_details: [Details<'a>; 1],
    client_id: &'a AgentId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<&'a Confirmation>,
    del_depth: u8,
    del_max_depth: u8,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hotwork_approval: Option<ApprovalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hotwork_session: Option<&'a Lineage>,
    hotwork_tier: &'static str,
    iat: i64,
    iss: &'a Issuer,
    jti: &'a CredentialId,
    nbf: i64,
    scope: &'a ActionName,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    sub: &'a str,
    txn: &'a Lineage,
}

/// Where the token's status stands (draft-ietf-oauth-status-list section 6.2).
#[derive(Serialize)]
struct Status {
    status_list: StatusList,
}

#[derive(Serialize)]
struct StatusList {
    idx: u32,
    uri: String,
}

#[derive(Serialize)]
struct Actor<'a> {
    sub: &'a AgentId,
}

#[derive(Serialize)]
struct Details<'a> {
    constraints: Constraints<'a>,
    scopes: [&'a ActionName; 1],
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The resource, then the parameters by name, then the arguments, then the number of calls.
struct Constraints<'a>(&'a Issuance);

impl Serialize for Constraints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = self.0;
        let resource = Constraint::Resource { key: "resource", one_of: [&record.resource] };
        let parameters =
            record.parameters.iter().map(|parameter| constraint(&parameter.name, &parameter.value));
        let args =
            record.args.as_ref().map(|digest| Constraint::Args { key: "args_sha256", one_of: [digest] });
        let calls = record.calls_max();
        let calls = calls.map(|max_lifetime| Constraint::Calls { key: "max_calls", max_lifetime });
        serializer.collect_seq(std::iter::once(resource).chain(parameters).chain(args).chain(calls))
    }
}

/// An integer is an upper bound, so that a smaller call fits; texts and flags are what was asked.
fn constraint<'a>(key: &'a ParameterName, value: &'a Value) -> Constraint<'a> {
    match value {
        Value::Flag(flag) => Constraint::Flag { key, one_of: [*flag] },
        Value::Integer(integer) => Constraint::Max { key, max: *integer },
        Value::Text(text) => Constraint::Text { key, one_of: [text] },
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Constraint<'a> {
    Args { key: &'static str, one_of: [&'a Digest; 1] },
    Calls { key: &'static str, max_lifetime: u32 },
    Flag { key: &'a ParameterName, one_of: [bool; 1] },
    Max { key: &'a ParameterName, max: Integer },
    Resource { key: &'static str, one_of: [&'a Resource; 1] },
    Text { key: &'a ParameterName, one_of: [&'a Text; 1] },
}

impl sealed::Sealed for TokenForm {}

impl Form for TokenForm {
    type Signed = Secret;

    fn key(&self) -> (&str, Algorithm) {
        (&self.kid, self.algorithm)
    }

    fn lint(&self, record: &Issuance, message: &[u8]) -> Result<(), LintError> {
        lint::token(self, record, message)
    }

    fn join(self, message: Vec<u8>, signature: &[u8]) -> Option<Secret> {
        let mut text = String::from_utf8(message).ok()?;
        // Room for both, so that no half-written copy is left behind unwiped.
        text.reserve_exact(1 + signature.len().div_ceil(3) * 4);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Some(Secret::new(text))
    }
}

#[cfg(test)]
mod tests;
