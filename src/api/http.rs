//! The public HTTP listener: what verifiers need, the same for everybody, and the OAuth endpoints beside it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::broker::Broker;

use super::oauth::ResourceServers;
use super::published::Published;

const JSON: &str = "application/json";
const JWKS: &str = "application/jwk-set+json";
const PEM: &str = "application/pem-certificate-chain";
const TEXT: &str = "text/plain; charset=utf-8";
/// Keys and names change rarely, and a verifier that meets an unknown `kid` asks again.
const CACHED: &str = "public, max-age=300";
/// The checkpoint moves with every commit.
const FRESH: &str = "no-cache";

/// The routes of the public listener. They are under the issuer's path too, where clients that know only
/// the issuer look (OpenID Connect Discovery section 4; RFC 8414 section 3 puts the path behind instead).
pub fn routes(published: &Published, broker: Arc<Broker>, servers: ResourceServers) -> Router {
    let introspection = !servers.is_empty();
    let documents = documents(published, introspection)
        .merge(super::publications::routes(Arc::clone(&broker)))
        .merge(super::oauth::routes(Arc::clone(&broker), servers))
        .merge(changing(broker));
    let metadata = Document::new(JSON, CACHED, metadata(published, introspection));
    let well_known = "/.well-known/oauth-authorization-server";
    let root = documents.clone().merge(route(well_known, metadata.clone()));
    let path = issuer_path(published);
    let all = if path.is_empty() {
        root
    } else {
        root.merge(route(&format!("{well_known}{path}"), metadata)).nest(&path, documents)
    };
    all.fallback(not_found).method_not_allowed_fallback(not_allowed)
}

/// A document that is the same for everybody until a restart.
#[derive(Clone)]
struct Document {
    kind: &'static str,
    cache: &'static str,
    body: Arc<str>,
}

impl Document {
    fn new(kind: &'static str, cache: &'static str, body: impl Into<Arc<str>>) -> Self {
        Self { kind, cache, body: body.into() }
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        answer(StatusCode::OK, self.kind, self.cache, self.body.as_bytes().to_vec())
    }
}

pub(super) fn answer(
    code: StatusCode,
    kind: &'static str,
    cache: &'static str,
    body: impl Into<Body>,
) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static(cache)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (code, headers, body.into()).into_response()
}

/// `GET` and, by the router, `HEAD`.
fn route(path: &str, document: Document) -> Router {
    Router::new().route(path, get(async move || document.clone()))
}

fn documents(published: &Published, introspection: bool) -> Router {
    let openid = Document::new(JSON, CACHED, metadata(published, introspection));
    let mut routes = route("/.well-known/openid-configuration", openid)
        .merge(route("/ca.pem", Document::new(PEM, CACHED, published.action_ca_pem.as_str())))
        .merge(route("/log.pub", Document::new(TEXT, CACHED, format!("{}\n", published.log_verifier_key))));
    if let Some(bundle) = &published.spiffe_bundle {
        routes = routes.merge(route("/spiffe-bundle.json", Document::new(JSON, CACHED, bundle.as_str())));
    }
    routes
}

fn changing(broker: Arc<Broker>) -> Router {
    let newest = async |State(broker): State<Arc<Broker>>| {
        Document::new(TEXT, FRESH, broker.ledger().status().checkpoint)
    };
    // Token keys are rotated while we serve.
    let keys = async |State(broker): State<Arc<Broker>>| {
        Document::new(JWKS, CACHED, broker.minter().jwks(broker.time()))
    };
    Router::new().route("/checkpoint", get(newest)).route("/jwks.json", get(keys)).with_state(broker)
}

/// What clients discover (RFC 8414 section 2, OpenID Connect Discovery section 3). There is no
/// authorization or token endpoint: credentials are had over the agent socket.
fn metadata(published: &Published, introspection: bool) -> String {
    let issuer = published.issuer.as_str();
    let algorithms: Vec<&str> =
        published.keys.iter().filter(|key| key.usage == "token").map(|key| key.algorithm).collect();
    let mut metadata = json!({
        "authorization_details_types_supported": ["agent_delegation"],
        "dpop_signing_alg_values_supported": ["ES256", "Ed25519"],
        "grant_types_supported": [],
        "id_token_signing_alg_values_supported": algorithms,
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks.json"),
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        // RFC 7009: possession of the token is the proof.
        "revocation_endpoint_auth_methods_supported": ["none"],
        "tls_client_certificate_bound_access_tokens": true,
    });
    if let (true, Some(members)) = (introspection, metadata.as_object_mut()) {
        members.insert("introspection_endpoint".to_owned(), json!(format!("{issuer}/oauth2/introspect")));
        // RFC 9701 section 7.
        members.insert("introspection_signing_alg_values_supported".to_owned(), json!(algorithms));
    }
    metadata.to_string()
}

/// The issuer's path with its leading slash; empty when it has none.
fn issuer_path(published: &Published) -> String {
    let rest = published.issuer.as_str().strip_prefix("https://").unwrap_or_default();
    // Braces would be placeholders to the router.
    match rest.split_once('/') {
        Some((_, path)) if !path.contains(['{', '}']) => format!("/{path}"),
        Some(_) | None => String::new(),
    }
}

pub(super) async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "not-found", "there is no such document")
}

async fn not_allowed() -> Response {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "only GET and HEAD");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

pub(super) fn problem(code: StatusCode, reason: &str, message: &str) -> Response {
    let body = json!({ "reason": reason, "message": message }).to_string();
    answer(code, JSON, "no-store", body.into_bytes())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use http::{Method, Request};
    use tower::ServiceExt as _;

    use super::*;
    use crate::api::published::PublishedKey;
    use crate::domain::time::Timestamp;

    fn published(issuer: &str) -> Published {
        Published {
            trust_domain: "td".parse().unwrap(),
            issuer: issuer.parse().unwrap(),
            action_ca_pem: "-----BEGIN CERTIFICATE-----\n".into(),
            spiffe_bundle: None,
            log_verifier_key: "td/log+00000000+AQ==".into(),
            keys: vec![PublishedKey { kid: "k".into(), usage: "token", algorithm: "ES256", expires: None }],
            started: Timestamp::default(),
        }
    }

    /// The routes without checkpoint and keys, which need a broker.
    fn router(issuer: &str) -> Router {
        let published = published(issuer);
        let all = documents(&published, false);
        let path = issuer_path(&published);
        let all = if path.is_empty() { all } else { all.clone().nest(&path, all) };
        all.fallback(not_found).method_not_allowed_fallback(not_allowed)
    }

    async fn ask(router: Router, method: Method, path: &str) -> (StatusCode, String, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn documents_have_their_types_and_only_get_and_head_are_served() {
        let router = router("https://hotwork.example");
        for (path, kind) in
            [("/ca.pem", PEM), ("/log.pub", TEXT), ("/.well-known/openid-configuration", JSON)]
        {
            let (status, found, body) = ask(router.clone(), Method::GET, path).await;
            assert_eq!((status, found.as_str()), (StatusCode::OK, kind), "{path}");
            assert!(!body.is_empty());
            let (status, _, body) = ask(router.clone(), Method::HEAD, path).await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "{path}");
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
                let (status, kind, _) = ask(router.clone(), method, path).await;
                assert_eq!((status, kind.as_str()), (StatusCode::METHOD_NOT_ALLOWED, JSON), "{path}");
            }
        }
    }

    #[tokio::test]
    async fn a_missing_document_is_told_in_json() {
        for path in ["/", "/x", "/log.pub/", "/spiffe-bundle.json", "/../etc/passwd", "/%2e%2e/x"] {
            let (status, kind, body) = ask(router("https://hotwork.example"), Method::GET, path).await;
            assert_eq!((status, kind.as_str()), (StatusCode::NOT_FOUND, JSON), "{path}");
            assert!(body.contains("not-found"));
        }
    }

    #[tokio::test]
    async fn an_issuer_with_a_path_finds_its_documents_below_it() {
        let router = router("https://hotwork.example/a/b");
        for path in ["/log.pub", "/a/b/log.pub", "/a/b/.well-known/openid-configuration"] {
            assert_eq!(ask(router.clone(), Method::GET, path).await.0, StatusCode::OK, "{path}");
        }
        let (_, _, body) = ask(router, Method::GET, "/a/b/.well-known/openid-configuration").await;
        let metadata: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(metadata["jwks_uri"], "https://hotwork.example/a/b/jwks.json");
        assert_eq!(metadata["id_token_signing_alg_values_supported"], json!(["ES256"]));
    }
}
