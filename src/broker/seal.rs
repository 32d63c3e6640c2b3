//! Step 3: mint what was permitted. The credential comes sealed: without an accessor, until its record
//! is on stable storage.

use std::sync::Arc;

use crate::domain::catalogue::Tier;
use crate::domain::credential::{Idempotency, Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, Lineage, Serial};
use crate::domain::parameter::Value;
use crate::domain::request::{ActionRequest, Confirmation, Thumbprint};
use crate::domain::status_list::{Allocator, StatusRef, is_listed};
use crate::domain::time::Timestamp;
use crate::signer::certificate::Certificate;
use crate::signer::csr::SubjectKey;
use crate::signer::minter::{MintFailed, Minted, Minter};
use crate::signer::secret::Secret;

use super::decide::{Permitted, Signable};
use super::entropy::{Entropy, EntropyFailed};

/// A minted credential that nobody can read yet. Not `Clone`; only `record` opens it.
#[derive(Debug)]
pub(super) struct Sealed<M> {
    issuance: Box<Issuance>,
    material: M,
}

impl<M> Sealed<M> {
    /// The record to be made durable.
    pub(super) const fn issuance(&self) -> &Issuance {
        &self.issuance
    }

    /// Breaks the seal. For `record`, which has the proof.
    pub(super) fn into_parts(self) -> (Box<Issuance>, M) {
        (self.issuance, self.material)
    }
}

/// A form of credential: what is made of a record.
pub(super) trait Form {
    /// What the holder gets.
    type Material;

    /// Token or certificate.
    const KIND: Kind;

    /// What distinguishes two requests for this form beyond the request itself.
    fn holder_digest(&self) -> Digest;

    /// Mints the credential of a record that exists again. `None` when what would be signed is not what was.
    fn mint_again(&self, issuance: &Issuance, minter: &Minter) -> Result<Option<Self::Material>, MintFailed> {
        let minted = self.mint(issuance, minter)?;
        Ok((minted.content == issuance.content).then_some(minted.material))
    }

    /// Mints the credential of this record. A pure function of the record but for the signature.
    fn mint(&self, issuance: &Issuance, minter: &Minter) -> Result<Minted<Self::Material>, MintFailed>;
}

/// A token bound to the holder's key.
pub(super) struct TokenForm(pub(super) Confirmation);

impl Form for TokenForm {
    type Material = Secret;

    const KIND: Kind = Kind::Token;

    fn holder_digest(&self) -> Digest {
        let text =
            |thumbprint: &Option<Thumbprint>| thumbprint.as_ref().map_or("", Thumbprint::as_str).to_owned();
        let lines = format!("{}\n{}\n", text(&self.0.jkt), text(&self.0.x5t_s256));
        Digest::of(lines.as_bytes())
    }

    fn mint(&self, issuance: &Issuance, minter: &Minter) -> Result<Minted<Secret>, MintFailed> {
        minter.token(issuance)
    }

    // The key that signed it may have been succeeded by another one since.
    fn mint_again(&self, issuance: &Issuance, minter: &Minter) -> Result<Option<Secret>, MintFailed> {
        minter.token_again(issuance)
    }
}

/// A certificate over the holder's public key.
pub(super) struct CertificateForm(pub(super) SubjectKey);

impl Form for CertificateForm {
    type Material = Certificate;

    const KIND: Kind = Kind::Certificate;

    fn holder_digest(&self) -> Digest {
        Digest::of(self.0.spki())
    }

    fn mint(&self, issuance: &Issuance, minter: &Minter) -> Result<Minted<Certificate>, MintFailed> {
        minter.certificate(issuance, &self.0)
    }
}

/// Why nothing was minted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The clock is hours behind what it was.
    #[error("the clock is hours behind what it was")]
    ClockBehind,
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// The profile, the linter or the key refused.
    #[error(transparent)]
    Mint(#[from] MintFailed),
}

/// Mints what was permitted, with new ids.
pub(super) fn seal<F: Form>(
    signable: Signable,
    form: &F,
    minter: &Minter,
    entropy: &dyn Entropy,
    places: &Allocator,
) -> Result<Sealed<F::Material>, SealError> {
    let permitted = signable.into_permitted();
    let mut ids = Ids::new(permitted.issued, F::KIND, entropy)?;
    if let Some(held) = &permitted.session {
        // All that is minted under a session ends with its lineage.
        ids.lineage = held.session;
    }
    let status = status(&permitted, places)?;
    let request = permitted.request.idempotency_key.as_ref().map(|key| Idempotency {
        key: Digest::of(key.as_str().as_bytes()),
        request: request_digest(&permitted.request, F::KIND, form.holder_digest()),
    });
    let mut issuance = Box::new(issuance(permitted, &ids, request, status));
    let Minted { content, key, material } = form.mint(&issuance, minter)?;
    issuance.content = content;
    // Named by the key that signed: keys can be rotated meanwhile.
    issuance.key = Some(key);
    Ok(Sealed { issuance, material })
}

/// Mints the credential of an existing record again. `None` when what would be signed is not what was:
/// the keys or the profile have changed since.
pub(super) fn seal_again<F: Form>(
    issuance: Box<Issuance>,
    form: &F,
    minter: &Minter,
) -> Result<Option<Sealed<F::Material>>, SealError> {
    let material = form.mint_again(&issuance, minter)?;
    Ok(material.map(|material| Sealed { issuance, material }))
}

struct Ids {
    id: CredentialId,
    lineage: Lineage,
    serial: Option<Serial>,
}

impl Ids {
    fn new(now: Timestamp, kind: Kind, entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        // One call for all: each is a system call of its own.
        let mut random = [0; 36];
        entropy.fill(&mut random)?;
        let (id, rest) = random.split_first_chunk().ok_or(EntropyFailed)?;
        let (lineage, rest) = rest.split_first_chunk().ok_or(EntropyFailed)?;
        let serial = match kind {
            Kind::Certificate => Some(Serial::new(*rest.first_chunk().ok_or(EntropyFailed)?)),
            Kind::Token => None,
        };
        Ok(Self { id: CredentialId::new(now, id), lineage: Lineage::new(now, lineage), serial })
    }
}

/// A place in a status list, for what has one.
fn status(permitted: &Permitted, places: &Allocator) -> Result<Option<StatusRef>, SealError> {
    if !is_listed(permitted.kind, permitted.issued, permitted.expires) {
        return Ok(None);
    }
    places.take(permitted.expires).map(Some).ok_or(SealError::ClockBehind)
}

fn issuance(
    permitted: Permitted,
    ids: &Ids,
    idempotency: Option<Idempotency>,
    status: Option<StatusRef>,
) -> Issuance {
    let principal = permitted.agent.principal().into();
    Issuance {
        action: permitted.request.action,
        agent: permitted.agent.id,
        approval: permitted.approval.map(|(used, _)| used),
        args: permitted.request.args,
        attested: permitted.attested,
        audience: permitted.api.audience.clone(),
        cnf: permitted.confirmation,
        // Filled in by the caller from what was signed.
        content: Digest::from_bytes([0; 32]),
        drill: permitted.session.as_ref().is_some_and(|held| held.opening.drill),
        evidence: permitted.evidence,
        expires: permitted.expires,
        id: ids.id,
        idempotency,
        issued: permitted.issued,
        // Filled in by the caller, who knows the form.
        key: None,
        kind: permitted.kind,
        lineage: permitted.approval.map_or(ids.lineage, |(_, lineage)| lineage),
        max_calls: permitted.action.max_calls,
        owner: Some(Arc::clone(&permitted.agent.entry.owner)),
        parameters: permitted.request.parameters,
        policies: permitted.policies,
        principal,
        purpose: permitted.request.purpose,
        registry: permitted.registry,
        resource: permitted.request.resource,
        serial: ids.serial,
        single_use: permitted.action.single_use,
        status,
        tier: if permitted.session.is_some() { Tier::BreakGlass } else { permitted.action.tier },
    }
}

/// The request in one canonical form: what a retry must repeat exactly.
fn request_digest(request: &ActionRequest, kind: Kind, holder: Digest) -> Digest {
    let mut text = format!("{kind:?}\n{}\n{}\n{holder}\n", request.action, request.resource);
    for parameter in &request.parameters {
        let value = match &parameter.value {
            Value::Flag(flag) => format!("flag:{flag}"),
            Value::Integer(integer) => format!("integer:{}", i64::from(*integer)),
            Value::Text(text) => format!("text:{text}"),
        };
        text.push_str(&format!("{}={value}\n", parameter.name));
    }
    let ttl = request.ttl.map(|ttl| ttl.seconds());
    text.push_str(&format!("{ttl:?}\n{:?}\n{:?}\n", request.args, request.purpose));
    if let Some(approval) = request.approval {
        text.push_str(&format!("approval={approval}\n"));
    }
    if let Some(session) = request.session {
        text.push_str(&format!("session={session}\n"));
    }
    Digest::of(text.as_bytes())
}
