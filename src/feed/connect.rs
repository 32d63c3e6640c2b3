//! The way to a broker on another host: TLS with the caller's own certificate, HTTP/2 only, and a look at who answers.
//!
//! A [`Connector`] makes one connection. A [`Remote`] makes a channel that comes back by itself, for services that
//! follow the feed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint as Route};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::domain::limits::CERTIFICATE_FILE_BYTES_MAX;
use crate::domain::name::TrustDomain;
use crate::domain::spiffe::SpiffeId;

/// The port when the endpoint names none.
const PORT: u16 = 443;
/// The path of the broker's own SPIFFE ID.
const BROKER: &str = "broker";
/// How long a connection may take to be there.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How often a connection is asked whether it lives, and how long the answer may take: a host that is gone says nothing, and
/// the kernel would wait for a quarter of an hour.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_MAX: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint has another form.
    #[error("expected an endpoint of the form `https://host:port`")]
    Endpoint,
    /// A file can't be read.
    #[error("cannot read `{}`", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// No certificates of roots in PEM.
    #[error("the roots hold no certificates in PEM")]
    NoRoots,
    /// No certificates of the caller in PEM.
    #[error("the certificate holds none in PEM")]
    NoCertificate,
    /// No key in PEM.
    #[error("the key holds none in PEM")]
    NoKey,
    /// A root can't be used.
    #[error("a root can't be used")]
    Root(#[source] rustls::Error),
    /// Certificate and key can't be used together.
    #[error("the certificate and the key can't be used together")]
    Pair(#[source] rustls::Error),
    /// Nobody answers.
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    /// The handshake failed.
    #[error("no TLS")]
    Tls(#[source] rustls::Error),
    /// Somebody else than the broker answers.
    #[error("the certificate there is somebody else's than the broker's")]
    NotTheBroker,
    /// It does not speak HTTP/2.
    #[error("it does not speak HTTP/2")]
    NoHttp2,
    /// It does not speak gRPC.
    #[error("it does not speak gRPC")]
    NoGrpc(#[source] tonic::transport::Error),
}

/// The caller's side of TLS, each in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Pem<'a> {
    /// The roots that the broker's certificate must lead to.
    pub roots: &'a [u8],
    /// The caller's certificate and what stands above it.
    pub chain: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
}

/// Makes connections to one broker.
#[derive(Clone, Debug)]
pub struct Connector {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    of: Option<TrustDomain>,
}

impl Connector {
    /// One for `endpoint`, an `https://host:port`.
    ///
    /// # Errors
    /// When the endpoint or something in PEM is not of its form.
    pub fn new(endpoint: &str, pem: Pem<'_>) -> Result<Self, ConnectError> {
        let (host, port) = address(endpoint)?;
        let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::Endpoint)?;
        Ok(Self { host, port, name, config: Arc::new(config(pem)?), of: None })
    }

    /// Takes only the broker of this trust domain, which its certificate has to name.
    #[must_use]
    pub fn of(mut self, trust_domain: TrustDomain) -> Self {
        self.of = Some(trust_domain);
        self
    }

    /// A connection of its own, after the handshake. It waits as long as the kernel does.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(ConnectError::Unreachable)?;
        // A failure to set it costs latency only.
        let _slower = stream.set_nodelay(true);
        let shaken = TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await;
        let stream = shaken.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(tls) => ConnectError::Tls(tls.clone()),
                None => ConnectError::Unreachable(error),
            }
        })?;
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        if !leaf.is_some_and(|leaf| can_be_broker(leaf, self.of.as_ref())) {
            return Err(ConnectError::NotTheBroker);
        }
        if session.alpn_protocol() != Some(b"h2") {
            return Err(ConnectError::NoHttp2);
        }
        Ok(stream)
    }
}

/// Whether a server that shows this certificate can be the broker. Below the same root stand agents that are servers, too,
/// for whatever names their entries have; each says who it is by its SPIFFE ID. A certificate that somebody else made for
/// the broker has none; where its trust domain is known, it must have its ID.
fn can_be_broker(leaf: &[u8], of: Option<&TrustDomain>) -> bool {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return false };
    let Ok(names) = leaf.subject_alternative_name() else { return false };
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let uris = names.filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    let ids: Vec<&str> = uris.filter(|uri| uri.to_ascii_lowercase().starts_with("spiffe:")).collect();
    let its = |id: &str| {
        let id = id.parse::<SpiffeId>();
        id.is_ok_and(|id| id.path() == BROKER && of.is_none_or(|of| id.trust_domain() == of))
    };
    (of.is_none() || !ids.is_empty()) && ids.into_iter().all(its)
}

/// Host and port of an endpoint; an address in brackets loses them.
fn address(endpoint: &str) -> Result<(String, u16), ConnectError> {
    let parsed: http::Uri = endpoint.parse().map_err(|_| ConnectError::Endpoint)?;
    let plain =
        parsed.scheme_str() == Some("https") && matches!(parsed.path(), "" | "/") && parsed.query().is_none();
    let authority = parsed.authority().filter(|authority| plain && !authority.as_str().contains('@'));
    let authority = authority.ok_or(ConnectError::Endpoint)?;
    let after = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port = match after.strip_prefix(':') {
        None => PORT,
        Some(port) => port.parse().map_err(|_| ConnectError::Endpoint)?,
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, port))
}

fn config(pem: Pem<'_>) -> Result<ClientConfig, ConnectError> {
    let mut store = RootCertStore::empty();
    for root in certificates(pem.roots).ok_or(ConnectError::NoRoots)? {
        store.add(root).map_err(ConnectError::Root)?;
    }
    let chain = certificates(pem.chain).ok_or(ConnectError::NoCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(pem.key).map_err(|_| ConnectError::NoKey)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(ConnectError::Tls)?.with_root_certificates(store);
    let mut config = builder.with_client_auth_cert(chain, key).map_err(ConnectError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|read| !read.is_empty())
}

/// A broker on another host, and the files that make up the caller's side of TLS: what `hotwork verifier enroll` writes.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `https://host:port` of its verifier listener.
    pub endpoint: String,
    /// Its trust domain.
    pub trust_domain: TrustDomain,
    /// The caller's certificate and what stands above it, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The roots that the broker's certificate must lead to, PEM.
    pub roots: PathBuf,
}

impl Remote {
    /// A channel that is connected now, and again by the next call whenever it was lost. The files are read for each
    /// connection, so that a renewed certificate is in use from the next on. A connection whose host says nothing for
    /// 10 s is lost.
    ///
    /// # Errors
    /// [`ConnectError`], of the first connection.
    pub async fn channel(self) -> Result<Channel, ConnectError> {
        let mut first = Some(self.connect().await?);
        let connector = tower::service_fn(move |_| {
            let (first, remote) = (first.take(), self.clone());
            async move {
                let stream = match first {
                    Some(stream) => stream,
                    None => remote.connect().await.map_err(io::Error::other)?,
                };
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        // TLS has checked the name already; here it is a name only.
        let route = Route::from_static("http://hotwork.tls")
            .http2_keep_alive_interval(ALIVE_EVERY)
            .keep_alive_timeout(ALIVE_MAX)
            .keep_alive_while_idle(true);
        route.connect_with_connector(connector).await.map_err(ConnectError::NoGrpc)
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let (roots, chain, key) = (read(&self.roots).await?, read(&self.cert).await?, read(&self.key).await?);
        let connector = Connector::new(&self.endpoint, Pem { roots: &roots, chain: &chain, key: &key })?;
        let connector = connector.of(self.trust_domain.clone());
        let connected = tokio::time::timeout(CONNECT_MAX, connector.connect()).await;
        connected.map_err(|_| ConnectError::Unreachable(io::ErrorKind::TimedOut.into()))?
    }
}

/// A file of certificates or a key; one that is too long is cut, and then holds none or not all.
async fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    let said = |error| ConnectError::File(path.to_owned(), error);
    let mut bytes = Zeroizing::new(Vec::new());
    let file = tokio::fs::File::open(path).await.map_err(said)?;
    let length = file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(said)?;
    if u64::try_from(length).is_ok_and(|length| length <= CERTIFICATE_FILE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(said(io::ErrorKind::FileTooLarge.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_with_a_port_and_nothing_else() {
        for (uri, host, port) in [
            ("https://broker.example:8443", "broker.example", 8443),
            ("https://broker.example/", "broker.example", 443),
            ("https://[::1]:8443", "::1", 8443),
            ("https://127.0.0.1:1", "127.0.0.1", 1),
        ] {
            assert_eq!(address(uri).unwrap(), (host.to_owned(), port), "{uri}");
        }
        for bad in [
            "https://",
            "https://a/b",
            "https://a?b",
            "https://u@a",
            "https://a b",
            "https://a:99999",
            "http://a:80",
            "a:80",
            "unix:///a",
        ] {
            assert!(matches!(address(bad), Err(ConnectError::Endpoint)), "{bad}");
        }
    }

    #[test]
    fn an_agent_is_not_taken_for_the_broker_whatever_its_names_are() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = |ids: &[&str]| {
            let mut params = rcgen::CertificateParams::new(vec!["broker.example".to_owned()]).unwrap();
            let ids = ids.iter().map(|id| rcgen::SanType::URI((*id).try_into().unwrap()));
            params.subject_alt_names.extend(ids);
            params.self_signed(&key).unwrap().der().to_vec()
        };
        let shown = |ids: &[&str]| can_be_broker(&made(ids), None);
        assert!(shown(&[]), "a certificate that somebody else made has no SPIFFE ID");
        assert!(shown(&["spiffe://example.org/broker"]) && shown(&["https://broker.example"]));
        for other in [
            "spiffe://example.org/tenant/default/agent/edge",
            "spiffe://example.org/operator/ann",
            "spiffe://example.org/tenant/t/agent/broker",
            "SPIFFE://example.org/tenant/t/agent/a",
            "spiffe://example.org/broker/x",
            "spiffe:broker",
        ] {
            assert!(!shown(&[other]), "{other}");
        }
        assert!(!shown(&["spiffe://example.org/broker", "spiffe://example.org/tenant/t/agent/a"]));
        assert!(!can_be_broker(b"x", None));
        // Where its trust domain is known, only that broker's.
        let of = "example.org".parse().unwrap();
        assert!(can_be_broker(&made(&["spiffe://example.org/broker"]), Some(&of)));
        for other in [&[][..], &["spiffe://other.example/broker"], &["https://broker.example"]] {
            assert!(!can_be_broker(&made(other), Some(&of)), "{other:?}");
        }
    }

    #[tokio::test]
    async fn each_file_that_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
        for name in ["cert", "roots"] {
            std::fs::write(path(name), good.pem()).unwrap();
        }
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        std::fs::write(path("none"), "nothing").unwrap();
        std::fs::write(path("long"), vec![b'\n'; 2 << 20]).unwrap();
        let remote = Remote {
            // Nobody listens on this port.
            endpoint: "https://127.0.0.1:1".into(),
            trust_domain: "example.org".parse().unwrap(),
            cert: path("cert"),
            key: path("key"),
            roots: path("roots"),
        };
        let error = async |remote: Remote| remote.channel().await.unwrap_err();
        assert!(matches!(error(remote.clone()).await, ConnectError::Unreachable(_)));
        let of = Remote { roots: path("none"), ..remote.clone() };
        assert!(matches!(error(of).await, ConnectError::NoRoots));
        let of = Remote { cert: path("none"), ..remote.clone() };
        assert!(matches!(error(of).await, ConnectError::NoCertificate));
        let of = Remote { key: path("none"), ..remote.clone() };
        assert!(matches!(error(of).await, ConnectError::NoKey));
        for file in ["gone", "long"] {
            let of = Remote { key: path(file), ..remote.clone() };
            let error = error(of).await;
            assert!(matches!(&error, ConnectError::File(named, _) if *named == path(file)), "{error:?}");
        }
    }
}
