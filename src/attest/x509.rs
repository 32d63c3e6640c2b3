//! Peers with certificates: which chain is to be believed, and whom it shows.
//!
//! A workload is shown by an X.509-SVID of a foreign trust domain whose bundle is configured; an operator or
//! verifier by a certificate of our own identity CA. A chain is verified against the roots of the one trust
//! domain that its leaf names, so that no authority speaks for another's names. Selectors of workloads:
//! `x509.spiffe_id`, `x509.trust_domain`, `x509.issuer_sha256` and `x509.spki_sha256` (each the SHA-256 of a
//! SubjectPublicKeyInfo in DER). It knows no socket and no TLS.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Attestor, BoxFuture, Failure, Outcome, Presented, Rejected};
use crate::domain::clock::Clock;
use crate::domain::digest::Digest;
use crate::domain::enrollment::Enrolled;
use crate::domain::evidence::{Evidence, Selector};
use crate::domain::id::Serial;
use crate::domain::limits::{CHAIN_CERTIFICATES_MAX, TRUST_BUNDLE_ROOTS_MAX};
use crate::domain::name::TrustDomain;
use crate::domain::spiffe::SpiffeId;
use crate::domain::time::Timestamp;

/// A peer whose certificate was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The certificate's end; nothing is served from then on.
    pub expires: Timestamp,
    /// Whom it shows.
    pub standing: Standing,
}

/// Whom a certificate shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An operator or verifier, while the certificate of this serial number is enrolled.
    Enrolled(Enrolled, Serial),
    /// A workload, as evidence.
    Workload(Arc<Evidence>),
}

/// Whom a listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Operators, by our own identity CA.
    Operators,
    /// Verifiers, by our own identity CA.
    Verifiers,
    /// Workloads of foreign trust domains.
    Workloads,
}

/// Why a chain is not believed.
#[derive(Debug, thiserror::Error)]
pub enum BadChain {
    /// The leaf is no X.509-SVID.
    #[error("the certificate is no X.509-SVID: {0}")]
    Leaf(&'static str),
    /// No certificate, or too many.
    #[error("expected 1 to {CHAIN_CERTIFICATES_MAX} certificates, got `{0}`")]
    Length(usize),
    /// It is an identity that has no business at this listener.
    #[error("the identity is not one for this listener")]
    Other,
    /// It does not lead to a root of its trust domain, or has expired.
    #[error("the chain does not verify: {0:?}")]
    Path(webpki::Error),
    /// Nobody's certificates of this trust domain are taken here.
    #[error("the trust domain is not trusted here")]
    TrustDomain,
}

/// Why a bundle can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBundle {
    /// There is none, or too many.
    #[error("expected 1 to {TRUST_BUNDLE_ROOTS_MAX} certificates, found `{0}`")]
    Count(usize),
    /// It is not PEM.
    #[error("not PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// A certificate can't be a root.
    #[error("certificate `{0}` can't be a root: {1:?}")]
    Root(usize, webpki::Error),
}

/// The roots of one trust domain.
#[derive(Clone, Debug)]
pub struct Bundle(Vec<TrustAnchor<'static>>);

impl Bundle {
    /// From certificates in PEM.
    ///
    /// # Errors
    /// [`BadBundle`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadBundle> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        Self::from_der(&read.map_err(BadBundle::Pem)?)
    }

    /// From certificates in DER.
    ///
    /// # Errors
    /// [`BadBundle`].
    pub fn from_der(roots: &[CertificateDer<'_>]) -> Result<Self, BadBundle> {
        if !(1..=TRUST_BUNDLE_ROOTS_MAX).contains(&roots.len()) {
            return Err(BadBundle::Count(roots.len()));
        }
        let anchor = |(at, root): (usize, &CertificateDer<'_>)| {
            let anchor = webpki::anchor_from_trusted_cert(root).map(|anchor| anchor.to_owned());
            anchor.map_err(|error| BadBundle::Root(at, error))
        };
        roots.iter().enumerate().map(anchor).collect::<Result<_, _>>().map(Self)
    }
}

/// What one listener believes: immutable, and swapped as a whole.
#[derive(Clone, Debug)]
pub struct Trust {
    accepts: Accepts,
    bundles: HashMap<TrustDomain, Bundle>,
}

impl Trust {
    /// Belief in workloads by these bundles. Ours is not among them: what we issue is no evidence for us.
    pub fn workloads(own: &TrustDomain, bundles: impl IntoIterator<Item = (TrustDomain, Bundle)>) -> Self {
        let foreign = bundles.into_iter().filter(|(trust_domain, _)| trust_domain != own);
        Self { accepts: Accepts::Workloads, bundles: foreign.collect() }
    }

    /// Belief in operators or verifiers by our own identity CA, which is the anchor itself: an action
    /// certificate, which another authority below the same root issued, does not lead there.
    pub fn enrolled(accepts: Accepts, own: TrustDomain, identity_ca: Bundle) -> Self {
        Self { accepts, bundles: HashMap::from([(own, identity_ca)]) }
    }

    /// Whom `chain`, leaf first, shows at `now`. The peer's possession of the key is TLS's to prove.
    ///
    /// # Errors
    /// [`BadChain`].
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Certified, BadChain> {
        let (leaf, rest) = match chain {
            [leaf, rest @ ..] if chain.len() <= CHAIN_CERTIFICATES_MAX => (leaf, rest),
            _ => return Err(BadChain::Length(chain.len())),
        };
        let facts = Leaf::read(leaf)?;
        let bundle = self.bundles.get(facts.id.trust_domain()).ok_or(BadChain::TrustDomain)?;
        let issuer = issuer(leaf, rest, bundle, now).map_err(BadChain::Path)?;
        if now >= facts.expires {
            return Err(BadChain::Path(webpki::Error::InvalidCertValidity));
        }
        let standing = self.standing(&facts, issuer)?;
        Ok(Certified { expires: facts.expires, standing })
    }

    fn standing(&self, facts: &Leaf, issuer: Digest) -> Result<Standing, BadChain> {
        let enrolled = || {
            let who = Enrolled::from_path(facts.id.path()).ok_or(BadChain::Other)?;
            Ok((who, facts.serial.ok_or(BadChain::Leaf("serial number"))?))
        };
        match self.accepts {
            Accepts::Operators => match enrolled()? {
                (who @ Enrolled::Operator(_), serial) => Ok(Standing::Enrolled(who, serial)),
                (Enrolled::Agent(_) | Enrolled::Verifier(_), _) => Err(BadChain::Other),
            },
            Accepts::Verifiers => match enrolled()? {
                (who @ Enrolled::Verifier(_), serial) => Ok(Standing::Enrolled(who, serial)),
                (Enrolled::Agent(_) | Enrolled::Operator(_), _) => Err(BadChain::Other),
            },
            Accepts::Workloads => facts.evidence(issuer).map(Arc::new).map(Standing::Workload),
        }
    }
}

/// Builds the path and gives the SHA-256 of the issuer's public key. Of the extended usages, client
/// authentication must be among them if any are named.
fn issuer(
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    bundle: &Bundle,
    now: Timestamp,
) -> Result<Digest, webpki::Error> {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let seconds = u64::try_from(now.seconds()).unwrap_or_default();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let leaf = EndEntityCert::try_from(leaf)?;
    let path =
        leaf.verify_for_usage(algorithms, &bundle.0, rest, time, KeyUsage::client_auth(), None, None)?;
    Ok(Digest::of(&path.issuer_spki()))
}

/// What counts of a leaf (SPIFFE X509-SVID sections 2, 4 and 5).
struct Leaf {
    id: SpiffeId,
    expires: Timestamp,
    spki: Digest,
    /// When it has our form: 16 octets.
    serial: Option<Serial>,
}

impl Leaf {
    fn read(der: &[u8]) -> Result<Self, BadChain> {
        let bad = |what| move |_| BadChain::Leaf(what);
        let (after, parsed) = X509Certificate::from_der(der).map_err(|_| BadChain::Leaf("form"))?;
        if !after.is_empty() {
            return Err(BadChain::Leaf("form"));
        }
        let usage = parsed.key_usage().map_err(bad("key usage"))?.ok_or(BadChain::Leaf("key usage"))?;
        let signs = usage.value.key_cert_sign() || usage.value.crl_sign();
        if !usage.critical || !usage.value.digital_signature() || signs || parsed.is_ca() {
            return Err(BadChain::Leaf("key usage"));
        }
        let names = parsed.subject_alternative_name().map_err(bad("names"))?;
        let names = names.ok_or(BadChain::Leaf("names"))?;
        let uris: Vec<&str> = names
            .value
            .general_names
            .iter()
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        let [uri] = uris.as_slice() else { return Err(BadChain::Leaf("exactly one URI")) };
        Ok(Self {
            id: uri.parse().map_err(|_| BadChain::Leaf("SPIFFE ID"))?,
            expires: Timestamp::from_seconds(parsed.validity().not_after.timestamp()),
            spki: Digest::of(parsed.public_key().raw),
            serial: hex::encode(parsed.raw_serial()).parse().ok(),
        })
    }

    fn evidence(&self, issuer: Digest) -> Result<Evidence, BadChain> {
        let facts = [
            ("x509.spiffe_id", self.id.to_string()),
            ("x509.trust_domain", self.id.trust_domain().to_string()),
            ("x509.issuer_sha256", issuer.to_string()),
            ("x509.spki_sha256", self.spki.to_string()),
        ];
        let selectors = facts.iter().map(|(kind, value)| Selector::new(kind, value));
        let selectors: Result<Vec<_>, _> = selectors.collect();
        let selectors = selectors.map_err(|_| BadChain::Leaf("SPIFFE ID"))?;
        Evidence::new(selectors, Some(self.expires)).map_err(|_| BadChain::Leaf("names"))
    }
}

/// Attests workloads by the certificate of their connection.
pub struct X509Attestor {
    clock: Arc<dyn Clock>,
}

impl X509Attestor {
    /// An attestor that reads the time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    fn evidence(&self, certified: &Certified) -> Result<Outcome, Failure> {
        let Standing::Workload(evidence) = &certified.standing else { return Ok(Outcome::NotMine) };
        let now = self.clock.now().map_err(|error| Failure::unavailable("the time", error))?;
        // The connection may be older than its certificate's end.
        if now >= certified.expires {
            return Err(Rejected::Expired.into());
        }
        Ok(Outcome::Evidence(Arc::clone(evidence)))
    }
}

impl Attestor for X509Attestor {
    fn name(&self) -> &'static str {
        "x509"
    }

    fn attest<'a>(&'a self, presented: &'a Presented) -> BoxFuture<'a, Result<Outcome, Failure>> {
        let outcome = presented.x509.as_ref().map_or(Ok(Outcome::NotMine), |peer| self.evidence(peer));
        Box::pin(std::future::ready(outcome))
    }
}
