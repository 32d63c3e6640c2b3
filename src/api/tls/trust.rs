//! What a listener believes, and how that is read anew: bundles change when an authority rotates its roots.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::attest::x509::{Accepts, Bundle, Trust};
use crate::broker::Broker;
use crate::domain::name::TrustDomain;

use super::files::{self, Holds};

/// The bundle of one foreign trust domain, in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// Whose roots.
    pub trust_domain: TrustDomain,
    /// The certificates in PEM.
    pub file: PathBuf,
}

/// Where belief comes from.
#[derive(Clone)]
pub enum TrustSource {
    /// Our own identity CA, for operators or verifiers.
    Enrolled(Accepts, Arc<Broker>),
    /// Bundles in files, for workloads.
    Workloads(TrustDomain, Vec<BundleFile>),
}

impl TrustSource {
    /// Reads it.
    pub(super) fn load(&self) -> Result<Trust, String> {
        match self {
            Self::Enrolled(accepts, broker) => {
                let own = broker.rules().registry.trust_domain().clone();
                let der = broker.minter().keys().identity_ca().certificate_der();
                let bundle = Bundle::from_der(&[CertificateDer::from(der)]);
                let bundle = bundle.map_err(|error| format!("the identity CA: {error}"))?;
                Ok(Trust::enrolled(*accepts, own, bundle))
            }
            Self::Workloads(own, bundles) => {
                let bundles: Result<Vec<_>, String> = bundles.iter().map(read).collect();
                Ok(Trust::workloads(own, bundles?))
            }
        }
    }

    /// Whether it can change while the daemon runs.
    pub(super) const fn is_in_files(&self) -> bool {
        matches!(self, Self::Workloads(..))
    }
}

fn read(bundle: &BundleFile) -> Result<(TrustDomain, Bundle), String> {
    let pem = files::read(&bundle.file, Holds::Certificates)?;
    let read = Bundle::from_pem(&pem).map_err(|error| format!("{}: {error}", bundle.file.display()))?;
    Ok((bundle.trust_domain.clone(), read))
}
