//! What Envoy verifies client certificates with, by name: the chain of authorities and its CRLs; and the certificate
//! of its own identity.

use prost::Message as _;
use prost_types::Any;

use crate::broker::identity::AgentIdentity;
use crate::domain::digest::Digest;
use crate::proto::sds::data_source::Specifier;
use crate::proto::sds::secret::Type;
use crate::proto::sds::{CertificateValidationContext, DataSource, Secret, TlsCertificate};
use crate::signer::crl::Crls;
use crate::signer::minter::Minter;

/// The kind of resource that SDS is about.
pub(super) const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// A secret that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Context {
    /// For certificates of one action.
    Action,
    /// The asker's own certificate with its key.
    Certificate,
    /// For identities: operators, verifiers, and our own listeners.
    Identity,
}

impl Context {
    /// Its name in Envoy's configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Action => "hotwork-action",
            Self::Certificate => "hotwork-certificate",
            Self::Identity => "hotwork-identity",
        }
    }

    /// The secret of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Action, Self::Certificate, Self::Identity].into_iter().find(|context| context.name() == name)
    }
}

/// Secrets as they are at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    /// A digest of all of it: what is the same has the same version, over restarts too.
    pub(super) version: String,
    /// Each a secret.
    pub(super) resources: Vec<Any>,
}

/// The secrets with these CRLs, and with `own` as the asker's certificate; where there is none, it is not among them.
/// There is no trust without its CRL: trust alone would take what was revoked.
pub(super) fn snapshot(
    minter: &Minter,
    crls: &Crls,
    own: Option<&AgentIdentity>,
    wanted: &[Context],
) -> Snapshot {
    let mut known = Vec::new();
    let mut resources = Vec::new();
    for context in wanted {
        let (kind, version) = match context {
            Context::Action => validation(minter.action_chain_pem(), crls.action_chain_pem(), crls),
            Context::Certificate => {
                let Some(own) = own else { continue };
                certificate(own)
            }
            Context::Identity => validation(minter.identity_chain_pem(), crls.identity_chain_pem(), crls),
        };
        let secret = Secret { name: context.name().to_owned(), r#type: Some(kind) };
        resources.push(Any { type_url: SECRET_TYPE.to_owned(), value: secret.encode_to_vec() });
        known.push(Digest::of_parts(&[context.name().as_bytes(), version.as_bytes()]));
    }
    let parts: Vec<&[u8]> = known.iter().map(|digest| digest.as_bytes().as_slice()).collect();
    Snapshot { version: Digest::of_parts(&parts).to_string(), resources }
}

/// Trust with its CRLs, and a digest of both.
fn validation(chain: String, lists: String, crls: &Crls) -> (Type, Digest) {
    let version = Digest::of_parts(&[chain.as_bytes(), lists.as_bytes()]);
    let context = CertificateValidationContext {
        trusted_ca: Some(inline(chain)),
        crl: Some(inline(lists)),
        // Envoy asks for the CRL of each authority up to the root. A root whose key was never here has none.
        only_verify_leaf_cert_crl: crls.root.is_none(),
    };
    (Type::ValidationContext(context), version)
}

/// A certificate with its key. Its version says nothing of the key.
fn certificate(own: &AgentIdentity) -> (Type, Digest) {
    let pair = TlsCertificate {
        certificate_chain: Some(inline(own.chain_pem.clone())),
        private_key: Some(inline(own.key.expose().to_owned())),
    };
    (Type::TlsCertificate(pair), Digest::of(own.serial.as_bytes()))
}

fn inline(text: String) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(text.into_bytes())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_one_name() {
        for context in [Context::Action, Context::Certificate, Context::Identity] {
            assert_eq!(Context::named(context.name()), Some(context));
        }
        for other in ["", "hotwork", "hotwork-action ", "Hotwork-Action", "hotwork-root"] {
            assert_eq!(Context::named(other), None, "{other}");
        }
    }
}
