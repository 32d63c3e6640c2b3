//! The way to the broker over the network: TLS with the caller's own certificate, HTTP/2 only.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint as Route};

use super::failure::{Exit, Failure};
use super::files;
use super::text::clean;
use crate::feed::connect::{ConnectError, Connector, Pem};

/// Bytes of one file of certificates or keys.
const FILE_BYTES_MAX: usize = 1024 * 1024;
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
    let connector = connector(uri, files)?;
    let stream = match tokio::time::timeout(limit, connector.connect()).await {
        Ok(reached) => reached.map_err(|error| failed(uri, files, error))?,
        Err(_) => return Err(unreachable(uri, &io::ErrorKind::TimedOut.into())),
    };
    channel(stream).await.map_err(|_| no_grpc(uri))
}

fn connector(uri: &str, files: &TlsFiles) -> Result<Connector, Failure> {
    let read = |file: Option<&PathBuf>, flag: &str, variable: &str| {
        files::read(file.ok_or_else(|| missing(flag, variable))?, FILE_BYTES_MAX)
    };
    let roots = read(files.ca.as_ref(), "--tls-ca", "HOTWORK_TLS_CA")?;
    let chain = read(files.cert.as_ref(), "--tls-cert", "HOTWORK_TLS_CERT")?;
    let key = read(files.key.as_ref(), "--tls-key", "HOTWORK_TLS_KEY")?;
    let pem = Pem { roots: &roots, chain: &chain, key: &key };
    Connector::new(uri, pem).map_err(|error| failed(uri, files, error))
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

fn missing(flag: &str, variable: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        "tls-files",
        format!("{flag} is missing: an https endpoint wants a certificate"),
    )
    .hint(format!("give {flag} FILE or {variable}; `hotwork operator enroll` makes the files"))
}

/// What a connection that did not come about means for who runs the command.
fn failed(uri: &str, files: &TlsFiles, error: ConnectError) -> Failure {
    let shown = |file: &Option<PathBuf>| {
        clean(&file.as_ref().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default())
    };
    let holds = |flag: &str, file: &Option<PathBuf>, what: &str| {
        Failure::usage(format!("{flag}: `{}` holds no {what} in PEM", shown(file)))
            .hint("`hotwork operator enroll` writes cert.pem, key.pem and ca.pem")
    };
    match error {
        ConnectError::Endpoint => {
            Failure::new(Exit::Usage, "endpoint-form", format!("`{}` is not an endpoint", clean(uri)))
                .hint("give `https://host:port` without a path")
        }
        ConnectError::NoRoots => holds("--tls-ca", &files.ca, "certificates"),
        ConnectError::NoCertificate => holds("--tls-cert", &files.cert, "certificates"),
        ConnectError::NoKey => holds("--tls-key", &files.key, "private key"),
        ConnectError::File(path, error) => Failure::file("read", &path, &error),
        ConnectError::Root(error) => Failure::usage(format!("--tls-ca: {error}")),
        ConnectError::Pair(error) => Failure::usage(format!("--tls-cert, --tls-key: {error}"))
            .hint("give the certificate and the key that belong together"),
        ConnectError::Unreachable(error) => unreachable(uri, &error),
        ConnectError::Tls(error) => no_tls(uri, &error),
        ConnectError::NotTheBroker => not_the_broker(uri),
        ConnectError::NoHttp2 | ConnectError::NoGrpc(_) => no_grpc(uri),
    }
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

#[allow(clippy::wildcard_enum_match_arm, reason = "the library's open list of errors")]
fn no_tls(uri: &str, error: &rustls::Error) -> Failure {
    let message = format!("`{}`: {error}", clean(uri));
    match error {
        rustls::Error::InvalidCertificate(_) => Failure::new(
            Exit::Unavailable,
            "server-certificate",
            message,
        )
        .hint("compare the endpoint's name with the broker's server_names, and --tls-ca with its tls-ca.pem"),
        _ => Failure::new(Exit::Unavailable, "tls", message)
            .hint("check that the endpoint is a TCP listener of hotworkd, and its TLS version"),
    }
}

fn unreachable(uri: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Unavailable, "unreachable", format!("cannot connect to `{}`: {error}", clean(uri)))
        .hint("check the endpoint, the network and that the broker has this listener on")
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
    fn each_missing_or_empty_file_is_named_with_its_flag() {
        let failure = connector("https://a", &TlsFiles::default()).unwrap_err();
        assert!(failure.message.contains("--tls-ca") && failure.hint.contains("HOTWORK_TLS_CA"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.pem");
        std::fs::write(&file, "nothing").unwrap();
        let files = TlsFiles { ca: Some(file.clone()), cert: Some(file.clone()), key: Some(file) };
        let failure = connector("https://a", &files).unwrap_err();
        assert!(failure.message.starts_with("--tls-ca: `"), "{}", failure.message);
        assert!(failure.message.contains("x.pem` holds no certificates"), "{}", failure.message);
        for bad in ["https://a/b", "https://u@a", "https://a:99999"] {
            let failure = connector(bad, &files).unwrap_err();
            assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Usage, "endpoint-form"), "{bad}");
        }
    }
}
