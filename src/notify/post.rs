//! One POST over HTTP/1.1: a connection of its own, no redirects, no proxy, nothing of the answer but its status.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::destination::Undelivered;
use super::url::Url;
use crate::domain::limits::CERTIFICATE_FILE_BYTES_MAX;
use crate::domain::wording::causes;

/// Where systems keep the roots that they believe: Debian and Alpine, Fedora and RHEL, SUSE, others.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whose certificates a receiver may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(pub Option<PathBuf>);

impl Roots {
    /// Reads the roots: those of the file, or the system's.
    ///
    /// # Errors
    /// When there are none.
    pub fn load(&self) -> io::Result<RootCertStore> {
        let pem = match &self.0 {
            Some(file) => read(file)?,
            None => system()?,
        };
        let mut roots = RootCertStore::empty();
        let parsed = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        roots.add_parsable_certificates(parsed);
        if roots.is_empty() { Err(io::Error::other("no certificate authority in it")) } else { Ok(roots) }
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(file)?.len() > CERTIFICATE_FILE_BYTES_MAX {
        return Err(io::Error::other("the file of roots is too large"));
    }
    std::fs::read(file)
}

fn system() -> io::Result<Vec<u8>> {
    let found = SYSTEM_ROOTS.iter().find_map(|path| read(Path::new(path)).ok());
    found
        .ok_or_else(|| io::Error::other("this system has no roots where they are looked for; give `ca_file`"))
}

/// Posts JSON to `url`. The caller bounds the time.
///
/// # Errors
/// [`Undelivered`], which says whether it is worth another try.
pub(super) async fn post(
    url: &Url,
    roots: &Roots,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
) -> Result<(), Undelivered> {
    let request = request(url, headers, body).map_err(|error| failed("the request", &error))?;
    let stream = TcpStream::connect((url.bare_host(), url.port)).await;
    let stream = stream.map_err(|error| failed("connect", &error))?;
    let status = if url.https {
        let tls = connector(roots).map_err(|error| failed("roots", &error))?;
        let name = ServerName::try_from(url.bare_host().to_owned()).map_err(|error| failed("TLS", &error))?;
        let stream = tls.connect(name, stream).await.map_err(|error| failed("TLS", &error))?;
        send(stream, request).await
    } else {
        send(stream, request).await
    };
    judge(status.map_err(|error| failed("HTTP", &error))?)
}

fn request(
    url: &Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::post(url.path.as_str())
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("hotworkd/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(body)))
}

fn connector(roots: &Roots) -> io::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?.with_root_certificates(roots.load()?);
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The connection is driven beside the wait for the answer, and ends with it.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    Ok(sender.send_request(request).await?.status())
}

/// What an answer means. A refusal of the notice itself is worth few tries; everything else may pass.
fn judge(status: StatusCode) -> Result<(), Undelivered> {
    if status.is_success() {
        return Ok(());
    }
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    let told = format!("the receiver answered {}", status.as_u16());
    if status.is_client_error() && !later.contains(&status) {
        return Err(Undelivered::Refused(told));
    }
    Err(Undelivered::Failed(told))
}

fn failed(what: &str, error: &dyn std::error::Error) -> Undelivered {
    Undelivered::Failed(format!("{what}: {}", causes(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        assert!(judge(StatusCode::ACCEPTED).is_ok());
        for code in [400, 401, 403, 404, 410, 422] {
            let status = StatusCode::from_u16(code).unwrap();
            assert!(matches!(judge(status), Err(Undelivered::Refused(_))), "{code}");
        }
        for code in [301, 302, 408, 425, 429, 500, 502, 503] {
            let status = StatusCode::from_u16(code).unwrap();
            assert!(matches!(judge(status), Err(Undelivered::Failed(_))), "{code}");
        }
    }
}
