//! nginx's `auth_request`: `GET /authz/API` with the original request in headers that nginx sets. It answers
//! 204, 401 or 403 without a body.
//!
//! `/authz/API/mtls` also believes the client certificate in a header. It is a path of its own, so that a
//! configuration that forgets to set the header can't let a client set it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::verify::http::{Arrived, Denied};
use crate::verify::layer::refusal_headers;
use crate::verify::{Refusal, Verified};

use super::certificate::certificate;
use super::gate::{Gate, told};

/// The original request's method, path with query, and client certificate, as nginx sets them.
const METHOD: &str = "x-original-method";
const TARGET: &str = "x-original-target";
const CERTIFICATE: &str = "x-original-client-certificate";

pub(super) fn routes(gate: Arc<Gate>) -> Router {
    Router::new().route("/authz/{api}", get(plain)).route("/authz/{api}/mtls", get(mutual)).with_state(gate)
}

async fn plain(State(gate): State<Arc<Gate>>, Path(api): Path<String>, headers: HeaderMap) -> Response {
    answer(asked(&gate, &api, &headers, None).await)
}

async fn mutual(State(gate): State<Arc<Gate>>, Path(api): Path<String>, headers: HeaderMap) -> Response {
    let escaped = match once(&headers, CERTIFICATE) {
        Ok(text) => text.filter(|text| !text.is_empty()),
        Err(denied) => return answer(Err(denied)),
    };
    match escaped.map(|text| certificate(text).ok_or_else(malformed)).transpose() {
        Ok(der) => answer(asked(&gate, &api, &headers, der.as_deref()).await),
        Err(denied) => answer(Err(denied)),
    }
}

fn malformed() -> Denied {
    Denied { refusal: Refusal::Malformed, action: None }
}

/// A header that nginx sets, and that stands once.
fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Denied> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map_err(|_| malformed())).transpose()?;
    if values.next().is_some() { Err(malformed()) } else { Ok(value) }
}

async fn asked(gate: &Gate, api: &str, headers: &HeaderMap, der: Option<&[u8]>) -> Result<Verified, Denied> {
    let unmapped = || Denied { refusal: Refusal::Unmapped, action: None };
    let method = once(headers, METHOD)?.ok_or_else(unmapped)?;
    let target = once(headers, TARGET)?.ok_or_else(unmapped)?;
    gate.check(api, &Arrived { method, target, headers, certificate: der, args: None }).await
}

fn answer(checked: Result<Verified, Denied>) -> Response {
    match checked {
        Ok(verified) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let fields = told(&verified).map(|(name, value)| (HeaderName::from_static(name), value));
            set(&mut response, fields);
            // The next request is another decision.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(denied) => {
            let status = StatusCode::from_u16(denied.refusal.http_status()).unwrap_or(StatusCode::FORBIDDEN);
            let mut response = status.into_response();
            set(&mut response, refusal_headers(&denied));
            response
        }
    }
}

fn set(response: &mut Response, fields: impl IntoIterator<Item = (HeaderName, String)>) {
    for (name, value) in fields {
        // All are names, ids and codes, which headers can carry; one that were not is left out.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}
