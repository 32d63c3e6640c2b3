//! The way to the broker over the network: TLS with the caller's own certificate, HTTP/2 only.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint as Route};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::failure::{Exit, Failure};
use super::files;
use super::text::clean;
use crate::domain::spiffe::SpiffeId;

/// Bytes of one file of certificates or keys.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// The port when the endpoint names none.
const PORT: u16 = 443;
/// The path of the broker's own SPIFFE ID.
const BROKER: &str = "broker";
/// How rustls says that the other side ended the handshake.
const ALERT: &str = "received fatal alert: ";

/// The files that make up the caller's side of TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// The caller's certificate and what stands above it, PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// The roots that the broker's certificate must lead to, PEM.
    pub ca: Option<PathBuf>,
}

/// A channel to `uri`, an `https://host:port`.
///
/// # Errors
/// When a file is missing or wrong, or the broker can't be reached or is not whom the roots vouch for.
pub async fn connect(uri: &str, files: &TlsFiles, limit: Duration) -> Result<Channel, Failure> {
    let (host, port) = address(uri)?;
    let config = config(files)?;
    let name = ServerName::try_from(host.clone()).map_err(|_| bad_endpoint(uri))?;
    let reached = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        // A failure to set it costs latency only.
        let _slower = stream.set_nodelay(true);
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let stream = match tokio::time::timeout(limit, reached).await {
        Ok(reached) => reached.map_err(|error| not_reached(uri, &error))?,
        Err(_) => return Err(not_reached(uri, &io::ErrorKind::TimedOut.into())),
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if !shown.is_some_and(|leaf| can_be_broker(leaf)) {
        return Err(not_the_broker(uri));
    }
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(no_grpc(uri));
    }
    channel(stream).await.map_err(|_| no_grpc(uri))
}

/// Whether a server that shows this certificate can be the broker. Below the same root stand agents that are servers, too,
/// for whatever names their entries have; each says who it is by its SPIFFE ID. A certificate that somebody else made for
/// the broker has none.
fn can_be_broker(leaf: &[u8]) -> bool {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return false };
    let Ok(names) = leaf.subject_alternative_name() else { return false };
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let uris = names.filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    let mut ids = uris.filter(|uri| uri.to_ascii_lowercase().starts_with("spiffe:"));
    ids.all(|id| id.parse::<SpiffeId>().is_ok_and(|id| id.path() == BROKER))
}

/// The channel has this one connection: when the broker ends it, the call fails and says so.
async fn channel(stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
    let why = Arc::new(OnceLock::new());
    let mut stream = Some(Remembering { stream, why: Arc::clone(&why) });
    let connector = tower::service_fn(move |_| {
        let gone = || {
            why.get().map_or_else(
                || io::ErrorKind::NotConnected.into(),
                |why: &String| io::Error::other(why.clone()),
            )
        };
        let stream = stream.take().ok_or_else(gone);
        async move { stream.map(TokioIo::new) }
    });
    // TLS has checked the name already; here it is a name only.
    Route::from_static("http://hotwork.tls").connect_with_connector(connector).await
}

/// A connection that remembers why it ended: TLS 1.3 tells a client that its certificate is refused only
/// after the handshake, when nobody may be waiting for an answer yet.
struct Remembering {
    stream: TlsStream<TcpStream>,
    why: Arc<OnceLock<String>>,
}

impl AsyncRead for Remembering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &polled {
            // The first reason is the one.
            let _known = self.why.set(error.to_string());
        }
        polled
    }
}

impl AsyncWrite for Remembering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Host and port of an endpoint; an address in brackets loses them.
fn address(uri: &str) -> Result<(String, u16), Failure> {
    let parsed: http::Uri = uri.parse().map_err(|_| bad_endpoint(uri))?;
    let plain = matches!(parsed.path(), "" | "/") && parsed.query().is_none();
    let authority = parsed.authority().filter(|authority| plain && !authority.as_str().contains('@'));
    let authority = authority.ok_or_else(|| bad_endpoint(uri))?;
    let after = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port = match after.strip_prefix(':') {
        None => PORT,
        Some(port) => port.parse().map_err(|_| bad_endpoint(uri))?,
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, port))
}

fn config(files: &TlsFiles) -> Result<ClientConfig, Failure> {
    let roots = certificates(files.ca.as_ref(), "--tls-ca", "HOTWORK_TLS_CA")?;
    let chain = certificates(files.cert.as_ref(), "--tls-cert", "HOTWORK_TLS_CERT")?;
    let key = key(files)?;
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(|error| Failure::usage(format!("--tls-ca: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure::usage(format!("TLS: {error}")))?;
    let config = builder.with_root_certificates(store).with_client_auth_cert(chain, key);
    let mut config = config.map_err(|error| {
        Failure::usage(format!("--tls-cert, --tls-key: {error}"))
            .hint("give the certificate and the key that belong together")
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn certificates(
    file: Option<&PathBuf>,
    flag: &str,
    variable: &str,
) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let file = file.ok_or_else(|| missing(flag, variable))?;
    let pem = files::read(file, FILE_BYTES_MAX)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    read.ok().filter(|read| !read.is_empty()).ok_or_else(|| {
        let path = clean(&file.to_string_lossy());
        Failure::usage(format!("{flag}: `{path}` holds no certificates in PEM"))
            .hint("`hotwork operator enroll` writes cert.pem, key.pem and ca.pem")
    })
}

fn key(files: &TlsFiles) -> Result<PrivateKeyDer<'static>, Failure> {
    let file = files.key.as_ref().ok_or_else(|| missing("--tls-key", "HOTWORK_TLS_KEY"))?;
    let pem = files::read(file, FILE_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let path = clean(&file.to_string_lossy());
        Failure::usage(format!("--tls-key: `{path}` holds no private key in PEM"))
            .hint("`hotwork operator enroll` writes cert.pem, key.pem and ca.pem")
    })
}

fn missing(flag: &str, variable: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        "tls-files",
        format!("{flag} is missing: an https endpoint wants a certificate"),
    )
    .hint(format!("give {flag} FILE or {variable}; `hotwork operator enroll` makes the files"))
}

fn bad_endpoint(uri: &str) -> Failure {
    Failure::new(Exit::Usage, "endpoint-form", format!("`{}` is not an endpoint", clean(uri)))
        .hint("give `https://host:port` without a path")
}

fn not_the_broker(uri: &str) -> Failure {
    let uri = clean(uri);
    Failure::new(
        Exit::Unavailable,
        "server-certificate",
        format!("`{uri}` shows the certificate of somebody else than the broker"),
    )
    .hint("find out who answers there, and tell those who run the broker")
}

fn no_grpc(uri: &str) -> Failure {
    Failure::new(Exit::Unavailable, "no-grpc", format!("`{}` does not speak gRPC", clean(uri)))
        .hint("check the endpoint: is it a TCP listener of hotworkd?")
}

fn not_reached(uri: &str, error: &io::Error) -> Failure {
    let uri = clean(uri);
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(error @ rustls::Error::InvalidCertificate(_)) => Failure::new(
            Exit::Unavailable,
            "server-certificate",
            format!("`{uri}`: {error}"),
        )
        .hint("compare the endpoint's name with the broker's server_names, and --tls-ca with its tls-ca.pem"),
        Some(error) => Failure::new(Exit::Unavailable, "tls", format!("`{uri}`: {error}"))
            .hint("check that the endpoint is a TCP listener of hotworkd, and its TLS version"),
        None => Failure::new(Exit::Unavailable, "unreachable", format!("cannot connect to `{uri}`: {error}"))
            .hint("check the endpoint, the network and that the broker has this listener on"),
    }
}

/// What a failed call says of our certificate: TLS 1.3 tells a client only after its handshake.
pub fn refused(status: &Status) -> Option<Failure> {
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if let Some((_, alert)) = text.split_once(ALERT) {
            let message = format!("the broker does not accept this client certificate: {}", clean(alert));
            return Some(
                Failure::new(Exit::NotAttested, "certificate-refused", message)
                    .hint("check --tls-cert: is it for this listener, of this broker, and still good?"),
            );
        }
        source = error.source();
    }
    None
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
        for bad in ["https://", "https://a/b", "https://a?b", "https://u@a", "https://a b", "https://a:99999"]
        {
            assert_eq!(address(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn an_agent_is_not_taken_for_the_broker_whatever_its_names_are() {
        let key = rcgen::KeyPair::generate().unwrap();
        let shown = |ids: &[&str]| {
            let mut params = rcgen::CertificateParams::new(vec!["broker.example".to_owned()]).unwrap();
            let ids = ids.iter().map(|id| rcgen::SanType::URI((*id).try_into().unwrap()));
            params.subject_alt_names.extend(ids);
            can_be_broker(params.self_signed(&key).unwrap().der())
        };
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
        assert!(!can_be_broker(b"x"));
    }

    #[test]
    fn each_missing_file_is_named_with_its_flag_and_variable() {
        let failure = config(&TlsFiles::default()).unwrap_err();
        assert!(failure.message.contains("--tls-ca") && failure.hint.contains("HOTWORK_TLS_CA"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.pem");
        std::fs::write(&file, "nothing").unwrap();
        let files = TlsFiles { ca: Some(file.clone()), cert: Some(file.clone()), key: Some(file) };
        assert!(config(&files).unwrap_err().message.contains("holds no certificates"));
    }
}
