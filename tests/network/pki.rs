//! A certificate authority of the tests' own, and clients with its certificates.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::support::Daemon;

/// An authority of workloads.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its chain, and its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    pub chain: String,
    pub key: String,
}

impl TestCa {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// An X.509-SVID that ends in `seconds`, or ended so long ago.
    pub fn svid(&self, id: &str, seconds: i64) -> Identity {
        self.server(id, &[], seconds)
    }

    /// The same of a server that clients know by these names.
    pub fn server(&self, id: &str, names: &[&str], seconds: i64) -> Identity {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let at = |offset: i64| {
            let seconds = now.checked_add_signed(offset).unwrap();
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
        };
        let mut params = CertificateParams::default();
        params.not_before = at(-7200);
        params.not_after = at(seconds);
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params
            .subject_alt_names
            .extend(names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        Identity { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// The files of `hotwork ... enroll` or `hotwork issue`.
    pub fn read(dir: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        Self { chain: read("cert.pem"), key: read("key.pem") }
    }

    /// Both as TLS takes them.
    pub fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    /// Writes them for `hotwork` to use.
    pub fn write(&self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("cert.pem"), &self.chain).unwrap();
        std::fs::write(dir.join("key.pem"), &self.key).unwrap();
    }
}

/// The client's side of TLS: the daemon's root, this identity or none, these protocols.
pub fn config(daemon: &Daemon, identity: Option<&Identity>, alpn: &[&str]) -> ClientConfig {
    config_below(Path::new(&daemon.env["HOTWORK_TLS_CA"]), identity, alpn)
}

/// The same with the root in this file.
pub fn config_below(root: &Path, identity: Option<&Identity>, alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = std::fs::read(root).unwrap();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&root).map(Result::unwrap));
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.der();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// The address of one of the daemon's listeners.
pub fn address(daemon: &Daemon, variable: &str) -> SocketAddr {
    daemon.env[variable].strip_prefix("https://").unwrap().parse().unwrap()
}

/// A TLS connection from the loopback address `from`.
pub async fn connect(
    daemon: &Daemon,
    variable: &str,
    config: ClientConfig,
    from: IpAddr,
) -> io::Result<TlsStream<tokio::net::TcpStream>> {
    connect_to(address(daemon, variable), config, from).await
}

/// The same to an address.
pub async fn connect_to(
    address: SocketAddr,
    config: ClientConfig,
    from: IpAddr,
) -> io::Result<TlsStream<tokio::net::TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A gRPC channel of one connection; it does not come back when it is cut.
pub async fn channel(daemon: &Daemon, variable: &str, identity: Option<&Identity>) -> io::Result<Channel> {
    let from = IpAddr::from([127, 0, 0, 1]);
    over(connect(daemon, variable, config(daemon, identity, &["h2"]), from).await?).await
}

/// A gRPC channel over this connection.
pub async fn over(stream: TlsStream<tokio::net::TcpStream>) -> io::Result<Channel> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://broker").timeout(Duration::from_secs(10));
    endpoint.connect_with_connector(connector).await.map_err(io::Error::other)
}
