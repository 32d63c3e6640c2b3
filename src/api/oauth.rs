//! OAuth endpoints for resources and holders: introspection (RFC 7662, signed by RFC 9701) and revocation
//! (RFC 7009). They are edges over the use cases; who may ask what is told here and decided there.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::header::{ACCEPT, ALLOW, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde_json::{Value, json};
use subtle::{Choice, ConstantTimeEq as _};

use crate::broker::Broker;
use crate::broker::introspect::Shown;
use crate::broker::release::ReleaseShownError;
use crate::domain::digest::Digest;
use crate::domain::ledger::Refusal;
use crate::domain::name::Audience;
use crate::store::LedgerError;

use super::form::{self, BadForm};
use super::http::answer;

const JSON: &str = "application/json";
/// RFC 9701 section 5.
const SIGNED: &str = "application/token-introspection+jwt";
const NOT_STORED: &str = "no-store";
/// Longest secret that is looked at, in bytes.
const SECRET_BYTES_MAX: usize = 256;

/// Resource servers that may introspect: the digest of the secret, and the audience that it is for.
pub type ResourceServers = Vec<(Digest, Audience)>;

#[derive(Clone)]
struct Parts {
    broker: Arc<Broker>,
    servers: Arc<ResourceServers>,
}

/// The routes. Without a resource server nobody may introspect, and there is no such endpoint.
pub fn routes(broker: Arc<Broker>, servers: ResourceServers) -> Router {
    let known = !servers.is_empty();
    let parts = Parts { broker, servers: Arc::new(servers) };
    let revocation = Router::new().route("/oauth2/revoke", post(revoke).fallback(only_post));
    let all = if known {
        revocation.route("/oauth2/introspect", post(introspect).fallback(only_post))
    } else {
        revocation
    };
    all.with_state(parts)
}

/// RFC 7662: what is not live gets the one answer, and so does what is not the asker's to know of.
async fn introspect(State(parts): State<Parts>, request: Request<Body>) -> Response {
    let Some(audience) = authenticated(&parts.servers, request.headers()).cloned() else {
        return unauthenticated();
    };
    let signed = wants_signed(request.headers());
    let token = match form::token(request).await {
        Ok(token) => token,
        Err(error) => return bad_form(error),
    };
    let claims = match parts.broker.introspect_claims(token, &audience).await {
        Ok(claims) => claims.unwrap_or_else(|| json!({ "active": false })),
        Err(error) => return unavailable(&error),
    };
    if !signed {
        return answer(StatusCode::OK, JSON, NOT_STORED, claims.to_string().into_bytes());
    }
    match parts.broker.sign_introspection(&claims, &audience) {
        Ok(token) => answer(StatusCode::OK, SIGNED, NOT_STORED, token.into_bytes()),
        Err(error) => unavailable(&error),
    }
}

/// RFC 7009: whoever holds the token gives it back. An unknown one has nothing to give back, which is what
/// was asked for.
async fn revoke(State(parts): State<Parts>, request: Request<Body>) -> Response {
    let token = match form::token(request).await {
        Ok(token) => token,
        Err(error) => return bad_form(error),
    };
    match parts.broker.release_shown(&Shown::Token(token)).await {
        Ok(()) | Err(ReleaseShownError::Ledger(LedgerError::Refused(Refusal::AlreadyEnded))) => {
            answer(StatusCode::OK, JSON, NOT_STORED, Vec::new())
        }
        Err(error) => unavailable(&error),
    }
}

/// Whose secret the request has. All are compared, in a time that does not depend on them.
fn authenticated<'s>(servers: &'s ResourceServers, headers: &HeaderMap) -> Option<&'s Audience> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let value = given.next()?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    let bearer = given.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    if !bearer || secret.len() > SECRET_BYTES_MAX {
        return None;
    }
    let digest = Digest::of(secret.as_bytes());
    let mut found = None;
    for (known, audience) in servers {
        let same: Choice = known.as_bytes().ct_eq(digest.as_bytes());
        if bool::from(same) {
            found = Some(audience);
        }
    }
    found
}

/// Whether the signed form was asked for, and nothing plain before it.
fn wants_signed(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = kinds.flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(SIGNED)))
}

fn unauthenticated() -> Response {
    let mut response =
        error(StatusCode::UNAUTHORIZED, "invalid_client", "a resource server's secret is needed");
    let challenge = HeaderValue::from_static("Bearer realm=\"introspection\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

fn bad_form(bad: BadForm) -> Response {
    let code = match bad {
        BadForm::Form | BadForm::Kind | BadForm::Missing | BadForm::Repeated => StatusCode::BAD_REQUEST,
        BadForm::Slow => StatusCode::REQUEST_TIMEOUT,
        BadForm::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
    };
    error(code, "invalid_request", &bad.to_string())
}

/// RFC 7009 section 2.2.1: the token must be taken to be live still.
fn unavailable(cause: &impl std::fmt::Display) -> Response {
    tracing::error!(%cause, "an OAuth request could not be answered");
    let text = "it can't be done now; try again";
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

async fn only_post() -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "only POST");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// RFC 6749 section 5.2.
fn error(code: StatusCode, kind: &str, description: &str) -> Response {
    let body: Value = json!({ "error": kind, "error_description": description });
    answer(code, JSON, NOT_STORED, body.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> ResourceServers {
        let one = |secret: &str, audience: &str| (Digest::of(secret.as_bytes()), audience.parse().unwrap());
        vec![one("first", "https://a.example"), one("second", "https://b.example")]
    }

    fn asked(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        authenticated(&servers(), &headers).map(ToString::to_string)
    }

    #[test]
    fn a_secret_stands_for_one_audience() {
        assert_eq!(asked(&["Bearer first"]).as_deref(), Some("https://a.example"));
        assert_eq!(asked(&["bearer second"]).as_deref(), Some("https://b.example"));
        let long = format!("Bearer {}", "x".repeat(257));
        for bad in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer third"],
            &["Basic first"],
            &["first"],
            &["Bearer first", "Bearer second"],
            &["Bearer first "],
            &[&long],
        ] {
            assert_eq!(asked(bad), None, "{bad:?}");
        }
        // The digest is no secret: whoever reads the file can't ask.
        assert_eq!(asked(&[&format!("Bearer {}", Digest::of(b"first"))]), None);
    }

    #[test]
    fn the_signed_form_is_asked_for_by_its_type() {
        let wants = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            wants_signed(&headers)
        };
        assert!(wants(SIGNED) && wants(&format!("text/html, {SIGNED};q=0.9")));
        assert!(!wants("application/json") && !wants("*/*") && !wants_signed(&HeaderMap::new()));
    }
}
