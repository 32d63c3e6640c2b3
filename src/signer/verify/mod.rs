//! Verifies what we minted, from public keys alone: for introspection and for the command line.
//!
//! The order is that of PROFILES 1, as far as a broker can go: size, strict parse, type, algorithm bound to
//! the key, signature, depth and principal, times. Proof of possession, status, audience and constraints
//! are the caller's, who knows the request.

mod certificates;
mod constraints;
mod proofs;
mod trust;

pub use certificates::{CertificateClaims, certificate};
pub use proofs::{Proof, proof};
pub use trust::Trust;

use self::constraints::constraints;
use super::claims::{RawClaims, RawHeader, part};
use super::extension::tier;
use super::key::VerifyingKey;
use super::token::{DELEGATION_DEPTH_MAX, DETAILS_TYPE, TYPE};
use crate::domain::catalogue::Tier;
use crate::domain::constraint::Constraint;
use crate::domain::digest::Digest;
use crate::domain::id::{ApprovalId, CredentialId, Lineage};
use crate::domain::limits::{TOKEN_BYTES_MAX, TTL_SECONDS_MAX, VERIFY_LEEWAY_SECONDS_MAX};
use crate::domain::name::{ActionName, AgentId, Audience, Issuer};
use crate::domain::request::Confirmation;
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;

/// Why a credential is refused. The first reason in the order of checks.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotVerified {
    /// The algorithm is not the one that the key is for.
    #[error("the algorithm is not that of the key")]
    Algorithm,
    /// It has ended.
    #[error("it has expired")]
    Expired,
    /// It is not of the strict form.
    #[error("it is not of the form that this broker issues")]
    Form,
    /// Another issuer's.
    #[error("it is of another issuer")]
    Issuer,
    /// No key of that id.
    #[error("no trusted key has its key id")]
    Key,
    /// It has not begun.
    #[error("it is not valid yet")]
    NotYet,
    /// The signature is not the key's.
    #[error("its signature does not verify")]
    Signature,
    /// It is longer than any of ours.
    #[error("it is too long")]
    TooLong,
    /// It is a token of another type.
    #[error("it is not an access token")]
    Type,
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The credential's id.
    pub id: CredentialId,
    /// The accountable party.
    pub subject: String,
    /// Who holds it.
    pub agent: AgentId,
    /// Whom it is for.
    pub audience: Audience,
    /// When it was minted.
    pub issued: Timestamp,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// What joins it to its request.
    pub lineage: Lineage,
    /// The one action.
    pub action: ActionName,
    /// The one resource.
    pub resource: Resource,
    /// What the call's parameters are held to, each name once.
    pub constraints: Vec<Constraint>,
    /// Digest of the call's arguments, when it is bound to them.
    pub args: Option<Digest>,
    /// Whether it is good for one call only.
    pub single_use: bool,
    /// How many calls it is good for, when they are counted.
    pub calls_max: Option<u32>,
    /// Its place in a status list, and the list's URI.
    pub status: Option<(u32, String)>,
    /// The holder's key.
    pub cnf: Confirmation,
    /// How it was allowed.
    pub tier: Tier,
    /// The key that signed it.
    pub kid: String,
    /// SHA-256 of what was signed, as the record has it.
    pub content: Digest,
}

/// When it is, and how far two clocks may be apart: at most [`VERIFY_LEEWAY_SECONDS_MAX`] counts.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The verifier's time.
    pub now: Timestamp,
    /// Forgiven at both ends, in seconds.
    pub leeway_seconds: u32,
}

impl Moment {
    /// Whether it is within a lifetime, in seconds: from `not_before` up to but not at `expires`.
    ///
    /// # Errors
    /// [`NotVerified::NotYet`] or [`NotVerified::Expired`].
    pub fn within(self, not_before: i64, expires: i64) -> Result<(), NotVerified> {
        let leeway = i64::from(self.leeway_seconds.min(VERIFY_LEEWAY_SECONDS_MAX));
        let now = self.now.seconds();
        if now.saturating_add(leeway) < not_before {
            return Err(NotVerified::NotYet);
        }
        if now.saturating_sub(leeway) >= expires { Err(NotVerified::Expired) } else { Ok(()) }
    }
}

/// Verifies a token of `issuer` with one of the trusted keys.
///
/// # Errors
/// The first reason to refuse it.
pub fn token(
    text: &str,
    keys: &[VerifyingKey],
    issuer: &Issuer,
    moment: Moment,
) -> Result<Claims, NotVerified> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err(NotVerified::TooLong);
    }
    let (input, signature) = text.rsplit_once('.').ok_or(NotVerified::Form)?;
    let (head, body) = input.split_once('.').ok_or(NotVerified::Form)?;
    let decode = |text: &str| part(text.as_bytes()).ok_or(NotVerified::Form);
    let (header, payload, signature) = (decode(head)?, decode(body)?, decode(signature)?);
    let header: RawHeader<'_> = serde_json::from_slice(&header).map_err(|_| NotVerified::Form)?;
    let claims: RawClaims<'_> = serde_json::from_slice(&payload).map_err(|_| NotVerified::Form)?;
    if header.typ != TYPE {
        return Err(NotVerified::Type);
    }
    let key = keys.iter().find(|key| key.kid() == header.kid).ok_or(NotVerified::Key)?;
    if header.alg != key.algorithm().jose() {
        return Err(NotVerified::Algorithm);
    }
    key.verify(input.as_bytes(), &signature).map_err(|_| NotVerified::Signature)?;
    if claims.iss != issuer.as_str() {
        return Err(NotVerified::Issuer);
    }
    let content = Digest::of(input.as_bytes());
    let read = read(&claims, key.kid(), content).ok_or(NotVerified::Form)?;
    let life = claims.exp.saturating_sub(claims.iat);
    if !(1..=i64::from(TTL_SECONDS_MAX)).contains(&life) || claims.nbf > claims.iat {
        return Err(NotVerified::Form);
    }
    moment.within(claims.nbf, claims.exp)?;
    Ok(read)
}

/// The claims as words of the trade; `None` when one has not its form, or two disagree.
fn read(claims: &RawClaims<'_>, kid: &str, content: Digest) -> Option<Claims> {
    let [details] = &claims.authorization_details;
    let [scope] = &details.scopes;
    let actor = claims.act.as_ref().map(|act| &act.sub);
    let delegated = claims.sub != claims.client_id;
    let acts = if delegated { actor == Some(&claims.client_id) } else { actor.is_none() };
    let depth = claims.del_depth == 0 && claims.del_max_depth == DELEGATION_DEPTH_MAX;
    if !acts || !depth || details.kind != DETAILS_TYPE || *scope != claims.scope {
        return None;
    }
    if !allowed_by(claims) {
        return None;
    }
    let constraints = constraints(&details.constraints)?;
    Some(Claims {
        content,
        id: claims.jti.parse().ok()?,
        subject: claims.sub.to_string(),
        agent: claims.client_id.parse().ok()?,
        audience: claims.aud.parse().ok()?,
        issued: Timestamp::from_seconds(claims.iat),
        not_before: Timestamp::from_seconds(claims.nbf),
        expires: Timestamp::from_seconds(claims.exp),
        lineage: claims.txn.parse().ok()?,
        action: scope.parse().ok()?,
        resource: constraints.resource?,
        constraints: constraints.parameters,
        args: constraints.args,
        single_use: constraints.calls_max == Some(1),
        calls_max: constraints.calls_max,
        status: claims
            .status
            .as_ref()
            .map(|status| (status.status_list.idx, status.status_list.uri.to_string())),
        cnf: claims.cnf.clone(),
        tier: tier(&claims.hotwork_tier)?,
        kid: kid.to_owned(),
    })
}

/// Whether what allowed it is said of the right tier: an approval's id of `approval` only, a session's of `break_glass`
/// only, where it is the lineage. Tokens of older brokers name neither.
fn allowed_by(claims: &RawClaims<'_>) -> bool {
    let tier = tier(&claims.hotwork_tier);
    let approval = claims.hotwork_approval.as_ref().is_none_or(|id| {
        tier == Some(Tier::Approval) && id.parse::<ApprovalId>().is_ok_and(|read| read.to_string() == **id)
    });
    let session =
        claims.hotwork_session.as_ref().is_none_or(|id| tier == Some(Tier::BreakGlass) && *id == claims.txn);
    approval && session
}

#[cfg(test)]
mod tests;
