//! The certificate that our own listeners show: minted here and renewed in time, or from files that
//! somebody else renews. The one in force is swapped as a whole; a bad one changes nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::broker::Broker;
use crate::domain::limits::{CHAIN_CERTIFICATES_MAX, SERVER_CERTIFICATE_SECONDS};
use crate::domain::time::Timestamp;
use crate::signer::svid::ServerName;

use super::files::{self, Holds};

/// Where the server's certificate comes from.
#[derive(Clone)]
pub enum CertificateSource {
    /// Files in PEM: the chain, leaf first, and the private key.
    Files {
        /// The chain.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Our own identity CA, for these names.
    Minted {
        /// Who mints.
        broker: Arc<Broker>,
        /// What clients know us by.
        names: Vec<ServerName>,
    },
}

impl CertificateSource {
    /// A certificate from there, and when to ask again at the latest.
    fn load(&self) -> Result<Shown, String> {
        match self {
            Self::Files { chain, key } => {
                let pem = files::read(chain, Holds::Certificates)?;
                let secret = files::read(key, Holds::Key)?;
                let shown = certified(&pem, &secret).map_err(|error| format!("{}: {error}", chain.display()));
                // Whoever renews the files does not tell.
                Ok(Shown { key: Arc::new(shown?), renew: Timestamp::default() })
            }
            Self::Minted { broker, names } => {
                let made = broker.server_identity(names).map_err(|error| error.to_string())?;
                let chain =
                    [made.certificate.pem().as_str(), broker.minter().keys().identity_ca().certificate_pem()]
                        .concat();
                let key = certified(chain.as_bytes(), made.key.expose().as_bytes())?;
                let renew = made.expires.plus_millis(-SERVER_CERTIFICATE_SECONDS * 1000 / 2);
                Ok(Shown { key: Arc::new(key), renew })
            }
        }
    }
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = read.map_err(|error| format!("not PEM: {error}"))?;
    if !(1..=CHAIN_CERTIFICATES_MAX).contains(&chain.len()) {
        return Err(format!("expected 1 to {CHAIN_CERTIFICATES_MAX} certificates, found `{}`", chain.len()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("no private key: {error}"))?;
    let key = any_supported_type(&key).map_err(|error| format!("the private key: {error}"))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|error| format!("the key is not the certificate's: {error}"))?;
    Ok(certified)
}

struct Shown {
    key: Arc<CertifiedKey>,
    renew: Timestamp,
}

/// The certificate in force.
pub(super) struct ServerCertificate {
    source: CertificateSource,
    shown: ArcSwap<Shown>,
}

impl ServerCertificate {
    /// The first one; without it the listener is not opened.
    pub(super) fn new(source: CertificateSource) -> Result<Self, String> {
        let shown = ArcSwap::from_pointee(source.load()?);
        Ok(Self { source, shown })
    }

    /// Asks again when it is time.
    pub(super) fn refresh(&self, now: Timestamp) -> Result<(), String> {
        if now < self.shown.load().renew {
            return Ok(());
        }
        let fresh = self.source.load()?;
        if fresh.key.cert != self.shown.load().key.cert {
            tracing::info!("the server certificate was renewed");
        }
        self.shown.store(Arc::new(fresh));
        Ok(())
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.load().key))
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}
