//! What Envoy verifies client certificates with, by name: the chain of authorities and its CRLs.
//!
//! It knows public documents only. There is no private key behind this door.

use prost::Message as _;
use prost_types::Any;

use crate::domain::digest::Digest;
use crate::proto::sds::data_source::Specifier;
use crate::proto::sds::secret::Type;
use crate::proto::sds::{CertificateValidationContext, DataSource, Secret};
use crate::signer::crl::Crls;
use crate::signer::minter::Minter;

/// The kind of resource that SDS is about.
pub(super) const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// A validation context that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Context {
    /// For certificates of one action.
    Action,
    /// For identities: operators, verifiers, and our own listeners.
    Identity,
}

impl Context {
    /// Its name in Envoy's configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Action => "hotwork-action",
            Self::Identity => "hotwork-identity",
        }
    }

    /// The context of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Action, Self::Identity].into_iter().find(|context| context.name() == name)
    }
}

/// Contexts as they are at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    /// A digest of all of it: what is the same has the same version, over restarts too.
    pub(super) version: String,
    /// Each a secret.
    pub(super) resources: Vec<Any>,
}

/// The contexts with these CRLs. There are none without: trust alone would take what was revoked.
pub(super) fn snapshot(minter: &Minter, crls: &Crls, wanted: &[Context]) -> Snapshot {
    let secret = |context: &Context| {
        let (chain, lists) = match context {
            Context::Action => (minter.action_chain_pem(), crls.action_chain_pem()),
            Context::Identity => (minter.identity_chain_pem(), crls.identity_chain_pem()),
        };
        let validation = CertificateValidationContext {
            trusted_ca: Some(inline(chain)),
            crl: Some(inline(lists)),
            // Envoy asks for the CRL of each authority up to the root. A root whose key was never here has none.
            only_verify_leaf_cert_crl: crls.root.is_none(),
        };
        let secret =
            Secret { name: context.name().to_owned(), r#type: Some(Type::ValidationContext(validation)) };
        Any { type_url: SECRET_TYPE.to_owned(), value: secret.encode_to_vec() }
    };
    let resources: Vec<Any> = wanted.iter().map(secret).collect();
    let parts: Vec<&[u8]> = resources.iter().map(|any| any.value.as_slice()).collect();
    Snapshot { version: Digest::of_parts(&parts).to_string(), resources }
}

fn inline(text: String) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(text.into_bytes())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_one_name() {
        for context in [Context::Action, Context::Identity] {
            assert_eq!(Context::named(context.name()), Some(context));
        }
        for other in ["", "hotwork", "hotwork-action ", "Hotwork-Action", "hotwork-root"] {
            assert_eq!(Context::named(other), None, "{other}");
        }
    }
}
