//! What a credential says that was verified by its signature and lifetime, whatever its form.

use crate::domain::catalogue::Tier;
use crate::domain::constraint::Constraint;
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, Lineage, Serial};
use crate::domain::name::{ActionName, AgentId, Audience};
use crate::domain::request::Confirmation;
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;
use crate::signer::token::plain_details_digest;
use crate::signer::verify::{CertificateClaims, Claims};

/// What a credential is authority for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its id.
    pub id: CredentialId,
    /// Who holds it.
    pub agent: AgentId,
    /// The accountable party by name; a certificate does not say.
    pub subject: Option<String>,
    /// SHA-256 of the accountable party.
    pub principal: Digest,
    /// Whom it is for.
    pub audience: Audience,
    /// When it was minted. From its id, which is exact to the millisecond where `iat` is not: a credential
    /// that was minted in the second of a revocation, after it, is not ended by it.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// What joins it to its request.
    pub lineage: Lineage,
    /// The one action.
    pub action: ActionName,
    /// The one resource.
    pub resource: Resource,
    /// What the call's parameters are held to; `None` for a certificate that is constrained and can't say how.
    pub constraints: Option<Vec<Constraint>>,
    /// Digest of the call's arguments, when it is bound to them.
    pub args: Option<Digest>,
    /// How many calls it is good for, when they are counted.
    pub calls_max: Option<u32>,
    /// The holder's key. A certificate is bound by itself.
    pub cnf: Confirmation,
    /// How it was allowed.
    pub tier: Tier,
    /// The key that signed it: a token key, or the authority's.
    pub kid: String,
    /// The serial number of a certificate.
    pub serial: Option<Serial>,
    /// SHA-256 of what was signed: the broker's record has the same, or this is not what it recorded.
    pub content: Digest,
}

impl From<Claims> for Authority {
    fn from(claims: Claims) -> Self {
        Self {
            issued: claims.id.time(),
            id: claims.id,
            agent: claims.agent,
            principal: Digest::of(claims.subject.as_bytes()),
            subject: Some(claims.subject),
            audience: claims.audience,
            expires: claims.expires,
            lineage: claims.lineage,
            action: claims.action,
            resource: claims.resource,
            constraints: Some(claims.constraints),
            args: claims.args,
            calls_max: claims.calls_max,
            cnf: claims.cnf,
            tier: claims.tier,
            kid: claims.kid,
            serial: None,
            content: claims.content,
        }
    }
}

impl From<CertificateClaims> for Authority {
    fn from(claims: CertificateClaims) -> Self {
        let binding = claims.binding;
        // The digest covers parameters, arguments and calls. It is known only for a credential without any.
        let plain = plain_details_digest(&binding.action, &binding.resource) == binding.details;
        Self {
            issued: binding.id.time(),
            id: binding.id,
            agent: claims.agent,
            subject: None,
            principal: binding.principal,
            audience: binding.audience,
            expires: claims.expires,
            lineage: binding.lineage,
            action: binding.action,
            resource: binding.resource,
            constraints: plain.then(Vec::new),
            args: None,
            calls_max: None,
            cnf: Confirmation::default(),
            tier: binding.tier,
            kid: claims.kid,
            serial: Some(claims.serial),
            content: claims.content,
        }
    }
}
