//! Signatures that operators make with the SSH keys they have: `ssh-keygen -Y sign` over a statement.
//!
//! It knows the format (OpenSSH PROTOCOL.sshsig, PROTOCOL.u2f) and who may sign: a registered key of exactly one
//! operator. It reads strictly, checks in one fixed order and knows nothing of what a statement is for. The format is
//! five strings and ring has the curves, so there is no second cryptography behind it.

mod armor;
mod check;

use crate::domain::limits::{SSH_SIGNATURE_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::domain::name::OperatorName;
use crate::domain::operator::Operator;
use crate::domain::ssh_key::{Fields, Fingerprint, NotAKey, SshKey};
use crate::domain::statement::Namespace;

/// Proof that a registered operator signed the statement. It names the person, whichever of their keys it was.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedBy {
    operator: OperatorName,
    fingerprint: Fingerprint,
    signature: Vec<u8>,
}

impl SignedBy {
    /// Who signed.
    pub const fn operator(&self) -> &OperatorName {
        &self.operator
    }

    /// With which of their keys.
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The signature without its armor: with the statement it can be checked again by anybody.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Why a signature counts for nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSignature {
    /// The signature is not one over this text by this key.
    #[error("the signature is not one over this text")]
    Forged,
    /// Not an armored SSH signature, truncated, or with something after its end.
    #[error("expected what `ssh-keygen -Y sign` writes, at most {SSH_SIGNATURE_BYTES_MAX} bytes")]
    Form,
    /// A hash that we don't take.
    #[error("expected a signature with sha256 or sha512")]
    Hash,
    /// A key that we don't take.
    #[error("the signing key is not taken: {0}")]
    Key(#[source] NotAKey),
    /// Made for something else.
    #[error("the signature is for another namespace, expected `{0}`")]
    Namespace(&'static str),
    /// Nobody touched the security key.
    #[error("the security key signed without anybody touching it")]
    Presence,
    /// The key is registered with more than one operator, so it shows nobody.
    #[error("the signing key is registered with more than one operator: `{0}`")]
    Shared(Fingerprint),
    /// The text is too long to be a statement.
    #[error("expected a text of at most {STATEMENT_BYTES_MAX} bytes")]
    Text,
    /// The key is registered with no operator.
    #[error("the signing key is registered with no operator: `{0}`")]
    Unregistered(Fingerprint),
}

impl BadSignature {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Forged => "signature-forged",
            Self::Form | Self::Text => "signature-form",
            Self::Hash => "signature-hash",
            Self::Key(_) => "signature-key",
            Self::Namespace(_) => "signature-namespace",
            Self::Presence => "signature-presence",
            Self::Shared(_) => "signature-shared",
            Self::Unregistered(_) => "signature-unregistered",
        }
    }
}

/// Checks that one of `operators` signed `text` for `namespace`: `armored` is what `ssh-keygen -Y sign` wrote.
/// The check costs one signature at most, and only for a registered key.
///
/// # Errors
/// The first reason why it counts for nothing, in the order: sizes, form, namespace, hash, key, whose key it is,
/// presence, signature.
pub fn verify<'a>(
    namespace: Namespace,
    text: &[u8],
    armored: &str,
    operators: impl IntoIterator<Item = &'a Operator>,
) -> Result<SignedBy, BadSignature> {
    if text.len() > STATEMENT_BYTES_MAX {
        return Err(BadSignature::Text);
    }
    let blob = armor::open(armored).ok_or(BadSignature::Form)?;
    let envelope = Envelope::read(&blob).ok_or(BadSignature::Form)?;
    if envelope.namespace != namespace.as_str().as_bytes() {
        return Err(BadSignature::Namespace(namespace.as_str()));
    }
    let hashed = check::hash(envelope.hash, text).ok_or(BadSignature::Hash)?;
    let key = SshKey::from_blob(envelope.key).map_err(BadSignature::Key)?;
    let fingerprint = key.fingerprint().map_err(|_| BadSignature::Form)?;
    let operator = whose(&key, operators, &fingerprint)?.clone();
    check::signature(&key, envelope.signature, &envelope.signed(&hashed))?;
    Ok(SignedBy { operator, fingerprint, signature: blob })
}

/// The one operator whose key it is.
fn whose<'a>(
    key: &SshKey,
    operators: impl IntoIterator<Item = &'a Operator>,
    fingerprint: &Fingerprint,
) -> Result<&'a OperatorName, BadSignature> {
    let mut found = operators.into_iter().filter(|operator| operator.ssh_keys.contains(key));
    let first = found.next().ok_or_else(|| BadSignature::Unregistered(fingerprint.clone()))?;
    match found.next() {
        None => Ok(&first.name),
        Some(_) => Err(BadSignature::Shared(fingerprint.clone())),
    }
}

/// A signature in the form in which `ssh-keygen` writes and reads it.
pub fn armored(blob: &[u8]) -> String {
    armor::close(blob)
}

/// What begins both the signature and what is signed.
const MAGIC: &[u8; 6] = b"SSHSIG";
/// The only version there is.
const VERSION: u32 = 1;

/// The fields of a signature (PROTOCOL.sshsig, section 3).
struct Envelope<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    hash: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// All fields and nothing else; the reserved one is empty, as every program writes it.
    fn read(blob: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(blob);
        (fields.bytes(MAGIC.len())? == MAGIC).then_some(())?;
        (fields.number()? == VERSION).then_some(())?;
        let (key, namespace) = (fields.string()?, fields.string()?);
        fields.string()?.is_empty().then_some(())?;
        let (hash, signature) = (fields.string()?, fields.string()?);
        fields.is_empty().then_some(Self { key, namespace, hash, signature })
    }

    /// The bytes that the key signed (PROTOCOL.sshsig, section 2).
    fn signed(&self, hashed: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for part in [self.namespace, &[], self.hash, hashed] {
            // The parts come from a bounded text or are digests.
            bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(part);
        }
        bytes
    }
}
