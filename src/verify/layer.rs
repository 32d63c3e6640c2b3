//! A tower layer for services over HTTP, such as axum's and tonic's: each request is verified before the service sees it,
//! on every connection, however long it is open. The proof goes into the request's extensions as `Arc<Verified>`.
//!
//! A refusal is an HTTP status (RFC 6750, RFC 9449). Of a gRPC service ([`VerifyLayer::grpc`]) it is to a gRPC request a gRPC
//! status over HTTP 200 with the same header fields, which are its metadata.
//!
//! A request or response that streams on is not cut off when its credential ends: services that stream ask
//! [`Verifier::still`] before each message.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use ::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tower::{Layer, Service};

use super::http::{Arrived, Denied, Protected, check};
use super::{Refusal, Verifier, grpc};
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

#[derive(Clone)]
struct Parts {
    verifier: Arc<Verifier>,
    api: Protected,
    clock: Arc<dyn Clock>,
    is_grpc: bool,
}

impl VerifyLayer {
    /// Protects `api` with `verifier`. A refusal is an HTTP status.
    pub fn new(verifier: Arc<Verifier>, api: Protected, clock: Arc<dyn Clock>) -> Self {
        Self { parts: Arc::new(Parts { verifier, api, clock, is_grpc: false }) }
    }

    /// The same for a gRPC service: a refusal of a gRPC call is a gRPC status. Not for a service whose answers are judged by
    /// their HTTP status, which is 200 then, whatever was asked for.
    #[must_use]
    pub fn grpc(self) -> Self {
        Self { parts: Arc::new(Parts { is_grpc: true, ..Parts::clone(&self.parts) }) }
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
            Err(denied) => {
                let is_grpc = self.parts.is_grpc && grpc::is_grpc(&request);
                Box::pin(ready(Ok(refused(&denied, is_grpc))))
            }
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

/// The answer to a refused request: a status of HTTP (RFC 6750 section 3, RFC 9449 section 7.1) or of gRPC.
fn refused<R: Default>(denied: &Denied, is_grpc: bool) -> Response<R> {
    let mut response = Response::new(R::default());
    if is_grpc {
        grpc::put(response.headers_mut(), &denied.refusal);
    } else {
        *response.status_mut() =
            StatusCode::from_u16(denied.refusal.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ::http::Version;
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::route::{Enforcement, Route, Target};
    use crate::domain::signer::{Algorithm, Signer};
    use crate::signer::key::VerifyingKey;
    use crate::signer::verify::Trust;
    use crate::verify::fixture::{self, NOW, bound_to, mint, proof, record, signer};
    use crate::verify::{End, Ends, Followed, Settings, Standing, Status, Subject, Verified, WhenLost};

    const PULLS: &str = "/repos/acme/site/pulls";

    fn protected() -> Protected {
        let target = Target {
            action: "repo.pull.open".parse().unwrap(),
            resource: "repo/{owner}/{name}".parse().unwrap(),
            parameters: vec![],
            tenant: "acme".parse().unwrap(),
        };
        let path = "/repos/{owner}/{name}/pulls".parse().unwrap();
        let routes = vec![Route::new("POST".parse().unwrap(), path, false, target).unwrap()];
        let enforcement = Enforcement { origin: Some("https://git.example".parse().unwrap()), routes };
        Protected {
            audience: "https://git.example".parse().unwrap(),
            dangerous_bearer: false,
            enforcement: Arc::new(enforcement),
        }
    }

    /// A verifier of the fixture's issuer to which everything is live.
    fn verifier(broker: &dyn Signer, settings: Settings) -> Arc<Verifier> {
        let trust = Trust::new(fixture::issuer(), vec![VerifyingKey::of(broker)], None);
        let standing = Arc::new(fixture::Fixed(Status::Live));
        Arc::new(Verifier::new(Arc::new(trust), standing, settings))
    }

    fn request(path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let builder = Request::builder().method("POST").uri(path);
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
    }

    #[tokio::test]
    async fn each_request_of_one_service_is_judged_anew() {
        let (broker, agent) = (signer(Algorithm::Es256), signer(Algorithm::Ed25519));
        let trust = Trust::new(fixture::issuer(), vec![VerifyingKey::of(&*broker)], None);
        let state = Arc::new(Followed::new(5, WhenLost::Strict));
        state.begin(Ends::default(), 1, NOW);
        let standing = Arc::clone(&state) as Arc<dyn Standing>;
        let verifier = Arc::new(Verifier::new(Arc::new(trust), standing, Settings::default()));
        let layer = VerifyLayer::new(verifier, protected(), Arc::new(ManualClock::new(NOW)));
        let service = layer.layer(service_fn(async |request: Request<()>| {
            let verified = request.extensions().get::<Arc<Verified>>().unwrap();
            Ok::<_, Infallible>(Response::new(verified.authority().agent.to_string()))
        }));
        let token = mint(&record(bound_to(&*agent)), &*broker);
        let ask = |path: &'static str, jti: &str| {
            let proof = proof(&*agent, &token, NOW.seconds(), jti, "");
            let authorization = format!("DPoP {token}");
            service.clone().oneshot(request(path, &[("authorization", &authorization), ("dpop", &proof)]))
        };
        let code = |response: &Response<String>| {
            let refused = response.headers().get(REFUSED).map(|code| code.to_str().unwrap().to_owned());
            (response.status().as_u16(), refused.unwrap_or_default())
        };
        let permitted = ask(PULLS, "1").await.unwrap();
        assert_eq!(code(&permitted), (200, String::new()));
        assert_eq!(permitted.into_body(), "spiffe://example.org/tenant/acme/agent/coder");
        assert_eq!(code(&ask(PULLS, "1").await.unwrap()), (401, "proof-replayed".into()));
        assert_eq!(code(&ask("/repos/acme/payroll/pulls", "2").await.unwrap()), (401, "proof-url".into()));
        let stranger = service.clone().oneshot(request(PULLS, &[])).await.unwrap();
        assert_eq!(code(&stranger), (401, "credential-missing".into()));
        assert_eq!(stranger.headers()[WWW_AUTHENTICATE], "DPoP algs=\"ES256 Ed25519\"");
        let all = End { subject: Subject::All, tenants: vec![], until: Some(NOW), time: NOW, forget: None };
        state.hear([all], 2, NOW);
        let ended = ask(PULLS, "3").await.unwrap();
        assert_eq!(code(&ended), (401, "credential-ended".into()));
        assert_eq!(ended.headers()[CACHE_CONTROL], "no-store");
        assert!(ended.body().is_empty());
    }

    #[tokio::test]
    async fn a_clock_that_jumped_refuses() {
        let clock = ManualClock::new(NOW);
        clock.break_by(-5_000);
        let verifier = verifier(&*signer(Algorithm::Es256), Settings::default());
        let layer = VerifyLayer::new(verifier, protected(), Arc::new(clock)).grpc();
        let service = layer.layer(service_fn(nobody));
        let response = service.clone().oneshot(request(PULLS, &[])).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[REFUSED]),
            (403, &code("clock-untrusted"))
        );
        let response = service.oneshot(grpc_request(&[])).await.unwrap();
        assert_eq!(grpc_answer(&response), ("14", "clock-untrusted"));
    }

    /// A service that is not to be reached.
    async fn nobody(request: Request<()>) -> Result<Response<String>, Infallible> {
        panic!("{request:?} came through")
    }

    fn code(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    fn grpc_request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = request(PULLS, &[&[("content-type", "application/grpc")], headers].concat());
        *request.version_mut() = Version::HTTP_2;
        request
    }

    /// Status and message of a response that is nothing else.
    fn grpc_answer(response: &Response<String>) -> (&str, &str) {
        let text = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!((response.status().as_u16(), text("content-type")), (200, "application/grpc"));
        assert_eq!((text("grpc-message"), text("cache-control")), (text("x-hotwork-refused"), "no-store"));
        assert!(response.body().is_empty());
        (text("grpc-status"), text("grpc-message"))
    }

    #[tokio::test]
    async fn a_grpc_request_is_refused_by_a_status_that_says_why_and_gives_a_nonce() {
        let (broker, agent) = (signer(Algorithm::Es256), signer(Algorithm::Ed25519));
        let nonces = Some(crate::verify::Nonces::new(&[7; 32]));
        let verifier = verifier(&*broker, Settings { nonces, ..Settings::default() });
        let layer = VerifyLayer::new(verifier, protected(), Arc::new(ManualClock::new(NOW))).grpc();
        let service = layer.layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new("called".to_owned()))
        }));
        let ask = |record, jti: &str, nonce: &str| {
            let token = mint(&record, &*broker);
            let proof = proof(&*agent, &token, NOW.seconds(), jti, nonce);
            let authorization = format!("DPoP {token}");
            let headers = [("authorization", &*authorization), ("dpop", &*proof)];
            service.clone().oneshot(grpc_request(&headers))
        };
        let stranger = service.clone().oneshot(grpc_request(&[])).await.unwrap();
        assert_eq!(grpc_answer(&stranger), ("16", "credential-missing"));
        assert_eq!(stranger.headers()[WWW_AUTHENTICATE], "DPoP algs=\"ES256 Ed25519\"");
        let first = ask(record(bound_to(&*agent)), "1", "").await.unwrap();
        assert_eq!(grpc_answer(&first), ("16", "proof-nonce"));
        let nonce = first.headers()[NONCE].to_str().unwrap();
        let nonce = format!(",\"nonce\":\"{nonce}\"");
        let mut other = record(bound_to(&*agent));
        other.action = "repo.pull.close".parse().unwrap();
        let forbidden = ask(other, "2", &nonce).await.unwrap();
        assert_eq!(grpc_answer(&forbidden), ("7", "action-other"));
        let challenge = forbidden.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.ends_with("scope=\"repo.pull.open\""), "{challenge}");
        let permitted = ask(record(bound_to(&*agent)), "3", &nonce).await.unwrap();
        assert_eq!((permitted.body().as_str(), permitted.headers().len()), ("called", 0));
    }

    #[tokio::test]
    async fn no_content_type_gets_past_the_check_and_only_grpc_s_changes_the_form_of_the_refusal() {
        let verifier = verifier(&*signer(Algorithm::Es256), Settings::default());
        let layer = VerifyLayer::new(verifier, protected(), Arc::new(ManualClock::new(NOW))).grpc();
        let plain = VerifyLayer { parts: Arc::new(Parts { is_grpc: false, ..Parts::clone(&layer.parts) }) };
        let refused = plain.layer(service_fn(nobody)).oneshot(grpc_request(&[])).await.unwrap();
        assert_eq!(refused.status().as_u16(), 401, "a service over HTTP answers with HTTP's status");
        assert!(!refused.headers().contains_key("grpc-status"));
        let service = layer.layer(service_fn(nobody));
        let types =
            ["application/grpc", "application/grpc+proto", "application/grpc-web", "application/json", ""];
        for (method, version) in
            [("GET", Version::HTTP_2), ("POST", Version::HTTP_11), ("POST", Version::HTTP_2)]
        {
            for value in types {
                let mut request = request(PULLS, &[("content-type", value)]);
                *request.version_mut() = version;
                *request.method_mut() = method.parse().unwrap();
                let response = service.clone().oneshot(request).await.unwrap();
                let grpc = method == "POST" && version == Version::HTTP_2 && types[..2].contains(&value);
                let status = if grpc { 200 } else { 401 };
                assert_eq!(response.status().as_u16(), status, "{method} {version:?} {value}");
                assert_eq!(response.headers().contains_key("grpc-status"), grpc, "{method} {value}");
                assert_eq!(response.headers()[REFUSED], "credential-missing");
            }
        }
    }
}
