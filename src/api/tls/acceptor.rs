//! Makes a TLS connection of an accepted socket, or nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::attest::x509::{BadChain, Trust};
use crate::broker::Broker;
use crate::domain::limits::{CERTIFICATE_FILES_SECONDS, HANDSHAKE_SECONDS_MAX, REQUEST_SECONDS_MAX};
use crate::domain::time::Timestamp;

use super::super::drain::Drain;
use super::super::guard;
use super::certificate::{CertificateSource, ServerCertificate};
use super::connection::Connection;
use super::trust::TrustSource;

/// The one protocol (RFC 9113 section 3.2).
const H2: &[u8] = b"h2";
/// How long a peer whose certificate is no longer good may stay to hear why; nothing is served to it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Reads of what a refused peer had sent already.
const LINGER_READS_MAX: usize = 64;

/// What an operator chooses of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether TLS 1.2 is accepted too.
    pub tls12: bool,
    /// How long a connection may last.
    pub max_age: Duration,
}

/// Why a connection came to nothing. For the log; the peer gets TLS's own alert.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    /// The chain is not believed.
    #[error(transparent)]
    Chain(#[from] BadChain),
    /// The client showed no certificate.
    #[error("no client certificate")]
    NoCertificate,
    /// The client did not ask for HTTP/2.
    #[error("no HTTP/2 was negotiated")]
    NoHttp2,
    /// The time can't be told.
    #[error("the time can't be told")]
    NoTime,
    /// It took too long.
    #[error("the handshake took longer than {HANDSHAKE_SECONDS_MAX} s")]
    Slow,
    /// TLS failed.
    #[error("the handshake failed: {0}")]
    Tls(#[from] std::io::Error),
}

impl NoConnection {
    /// The word that it is counted by.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Chain(error) => certificate_reason(&alert(error)),
            Self::NoCertificate => "no-certificate",
            Self::NoHttp2 => "no-http2",
            Self::NoTime => "clock-untrusted",
            Self::Slow => "slow",
            Self::Tls(error) => tls_reason(error),
        }
    }

    /// Whether the peer showed a certificate, and it is not believed.
    pub(super) fn is_of_a_certificate(&self) -> bool {
        self.reason().starts_with("certificate-")
    }
}

/// TLS wraps its errors into those of the socket.
fn tls_reason(error: &std::io::Error) -> &'static str {
    use rustls::Error;
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return "closed";
    };
    if let Error::InvalidCertificate(error) = error {
        certificate_reason(error)
    } else if matches!(error, Error::NoCertificatesPresented) {
        "no-certificate"
    } else if matches!(error, Error::AlertReceived(_)) {
        "peer-refused"
    } else if matches!(error, Error::PeerIncompatible(_) | Error::NoApplicationProtocol) {
        "incompatible"
    } else {
        "malformed"
    }
}

const fn certificate_reason(error: &CertificateError) -> &'static str {
    if matches!(error, CertificateError::Expired) {
        "certificate-expired"
    } else if matches!(error, CertificateError::UnknownIssuer) {
        "certificate-unknown-issuer"
    } else if matches!(error, CertificateError::ApplicationVerificationFailure) {
        "certificate-not-for-this-listener"
    } else {
        "certificate-malformed"
    }
}

/// TLS for one listener.
pub struct Acceptor {
    tls: TlsAcceptor,
    broker: Arc<Broker>,
    certificate: Arc<ServerCertificate>,
    settings: Settings,
    trust: Arc<ArcSwap<Trust>>,
    trust_source: TrustSource,
}

impl Acceptor {
    /// An acceptor that shows `certificate` and believes `trust`.
    ///
    /// # Errors
    /// When either can't be read, in words for the operator.
    pub fn new(
        broker: Arc<Broker>,
        certificate: CertificateSource,
        trust_source: TrustSource,
        settings: Settings,
    ) -> Result<Self, String> {
        let certificate = Arc::new(ServerCertificate::new(certificate)?);
        let trust = Arc::new(ArcSwap::from_pointee(trust_source.load()?));
        let config = config(&broker, &certificate, &trust, settings).map_err(|error| error.to_string())?;
        let tls = TlsAcceptor::from(Arc::new(config));
        Ok(Self { tls, broker, certificate, settings, trust, trust_source })
    }

    /// How long a connection may last.
    pub const fn max_age(&self) -> Duration {
        self.settings.max_age
    }

    /// The handshake.
    ///
    /// # Errors
    /// Why there is no connection: the client, its certificate, TLS or the time.
    pub async fn handshake(&self, stream: TcpStream) -> Result<Connection, NoConnection> {
        guard::settle(&stream);
        let limit = Duration::from_secs(HANDSHAKE_SECONDS_MAX);
        let accepted = tokio::time::timeout(limit, self.tls.accept(stream).into_fallible()).await;
        let stream = match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                let _told = tokio::time::timeout(FAREWELL, linger(stream)).await;
                return Err(error.into());
            }
            Err(_) => return Err(NoConnection::Slow),
        };
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(H2) {
            return Err(NoConnection::NoHttp2);
        }
        let now = time(&self.broker).ok_or(NoConnection::NoTime)?;
        let chain = session.peer_certificates().ok_or(NoConnection::NoCertificate)?;
        // Again, because TLS keeps to itself whom its verifier found.
        let peer = Arc::new(self.trust.load().verify(chain, now)?);
        let longest = match self.broker.check_standing(&peer) {
            // Asked to go at `max_age`, it may end what is in flight.
            Ok(()) => self.settings.max_age + Duration::from_secs(REQUEST_SECONDS_MAX),
            Err(_) => return Ok(Connection::new(stream, peer, tokio::time::sleep(FAREWELL))),
        };
        let ends = self.broker.standing_ends(&peer, longest);
        Ok(Connection::new(stream, peer, ends))
    }

    /// Renews the certificate and reads the bundles anew until the drain. What can't be read leaves in
    /// force what is there.
    pub async fn refresh(self: Arc<Self>, name: &'static str, drain: Drain) {
        let mut ticks = tokio::time::interval(Duration::from_secs(CERTIFICATE_FILES_SECONDS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.begun() => return,
                _ = ticks.tick() => {}
            }
            let this = Arc::clone(&self);
            let refreshed = tokio::task::spawn_blocking(move || this.refresh_once()).await;
            if let Ok(Err(error)) = refreshed {
                tracing::error!(listener = name, %error, "certificates not renewed; those in force stay");
            }
        }
    }

    fn refresh_once(&self) -> Result<(), String> {
        if self.trust_source.is_in_files() {
            self.trust.store(Arc::new(self.trust_source.load()?));
        }
        let now = time(&self.broker).ok_or("the time can't be told")?;
        self.certificate.refresh(now)
    }
}

/// Reads on until the peer has closed: a socket that is closed with something unread resets the
/// connection, and the peer would never see the alert that says why.
async fn linger(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    for _ in 0..LINGER_READS_MAX {
        let ended = stream.shutdown().await.is_err() || !matches!(stream.read(&mut buffer).await, Ok(1..));
        if ended {
            return;
        }
    }
}

/// The time, when it can be trusted.
fn time(broker: &Broker) -> Option<Timestamp> {
    broker.trusted_time().ok()
}

fn config(
    broker: &Arc<Broker>,
    certificate: &Arc<ServerCertificate>,
    trust: &Arc<ArcSwap<Trust>>,
    settings: Settings,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let both = [&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = if settings.tls12 { &both[..] } else { &[&rustls::version::TLS13][..] };
    let verifier = Clients { provider: Arc::clone(&provider), trust: Arc::clone(trust) };
    let clock = Arc::new(BrokerTime(Arc::clone(broker)));
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::clone(certificate) as _);
    config.alpn_protocols = vec![H2.to_vec()];
    // A resumed session would stand on a certificate that nobody looked at again, and early data can be
    // played again by whoever copied it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// TLS asks the broker's clock: one that jumped ends no certificate late.
struct BrokerTime(Arc<Broker>);

impl TimeProvider for BrokerTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(time(&self.0)?.seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl fmt::Debug for BrokerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerTime")
    }
}

/// Asks every client for a certificate and believes what [`Trust`] does.
#[derive(Debug)]
struct Clients {
    provider: Arc<CryptoProvider>,
    trust: Arc<ArcSwap<Trust>>,
}

impl ClientCertVerifier for Clients {
    /// None: whoever has to ask which authorities we know has no certificate for us.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|one| CertificateDer::from(&**one))
            .collect();
        let now = Timestamp::from_seconds(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        match self.trust.load().verify(&chain, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => {
                tracing::debug!(%error, "a client certificate was refused");
                Err(alert(&error).into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What the peer learns: TLS's word for the kind of refusal, and no more.
const fn alert(error: &BadChain) -> CertificateError {
    match error {
        BadChain::Path(webpki::Error::CertExpired { .. } | webpki::Error::InvalidCertValidity) => {
            CertificateError::Expired
        }
        BadChain::Path(_) | BadChain::TrustDomain => CertificateError::UnknownIssuer,
        BadChain::Length(_) | BadChain::Leaf(_) => CertificateError::BadEncoding,
        BadChain::Other => CertificateError::ApplicationVerificationFailure,
    }
}
