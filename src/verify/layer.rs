//! A tower layer for services over HTTP (axum, tonic): each request is verified before the service sees it,
//! on every connection, however long it is open. The proof goes into the request's extensions as
//! `Arc<Verified>`.
//!
//! A response that streams on is not cut off when its credential ends: services that stream check
//! [`super::Authority::expires`] and the state themselves.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use ::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tower::{Layer, Service};

use super::http::{Arrived, Denied, Protected, check};
use super::{Refusal, Verifier};
use crate::domain::clock::Clock;

/// The header that says why a request was refused, as a stable code.
pub const REFUSED: HeaderName = HeaderName::from_static("x-hotwork-refused");
/// The header that carries a nonce for the next proof (RFC 9449 section 9).
pub const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The client's certificate (DER), which the TLS acceptor puts into a request's extensions when it proved
/// that the client has the key.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub Arc<[u8]>);

/// Verifies each request of the service that it is laid around.
#[derive(Clone)]
pub struct VerifyLayer {
    parts: Arc<Parts>,
}

struct Parts {
    verifier: Arc<Verifier>,
    api: Protected,
    clock: Arc<dyn Clock>,
}

impl VerifyLayer {
    /// Protects `api` with `verifier`.
    pub fn new(verifier: Arc<Verifier>, api: Protected, clock: Arc<dyn Clock>) -> Self {
        Self { parts: Arc::new(Parts { verifier, api, clock }) }
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verifying<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Verifying { inner, parts: Arc::clone(&self.parts) }
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub struct Verifying<S> {
    inner: S,
    parts: Arc<Parts>,
}

/// What a call becomes: the service's answer, or a refusal at once.
type Answer<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

impl<S, B, R> Service<Request<B>> for Verifying<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.parts.check(&request) {
            Ok(verified) => {
                request.extensions_mut().insert(Arc::new(verified));
                Box::pin(self.inner.call(request))
            }
            Err(denied) => Box::pin(ready(Ok(refused(&denied)))),
        }
    }
}

impl Parts {
    fn check<B>(&self, request: &Request<B>) -> Result<super::Verified, Denied> {
        let now = self.clock.now().map_err(|_| Denied { refusal: Refusal::Clock, action: None })?;
        let certificate = request.extensions().get::<PeerCertificate>();
        let arrived = Arrived {
            method: request.method().as_str(),
            target: request.uri().path_and_query().map_or("", |target| target.as_str()),
            headers: request.headers(),
            certificate: certificate.map(|PeerCertificate(der)| &**der),
            args: None,
        };
        check(&self.verifier, &self.api, &arrived, now)
    }
}

/// The answer to a refused request (RFC 6750 section 3, RFC 9449 section 7.1).
fn refused<R: Default>(denied: &Denied) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() =
        StatusCode::from_u16(denied.refusal.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    let headers = response.headers_mut();
    for (name, value) in refusal_headers(denied) {
        // Codes, action names and nonces are all fit for a header; one that were not is left out.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The header fields of a refusal.
pub fn refusal_headers(denied: &Denied) -> Vec<(HeaderName, String)> {
    let mut headers = vec![
        (WWW_AUTHENTICATE, denied.challenge()),
        (REFUSED, denied.refusal.code().to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    if let Refusal::Nonce(nonce) = &denied.refusal {
        headers.push((NONCE, nonce.as_str().to_owned()));
    }
    headers
}
