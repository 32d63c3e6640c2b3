//! Status lists and CRLs over HTTP: what resources fetch to learn of ends by themselves.
//!
//! Everybody gets the same bytes. The broker signs them at most once a second, whatever is asked.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use crate::broker::Broker;
use crate::broker::publish::{PublishError, StatusListFound};
use crate::domain::status_list::ListId;
use crate::signer::crl::Crls;

use super::http::{answer, not_found, problem};

/// draft-ietf-oauth-status-list section 8.1.
const STATUS_LIST: &str = "application/statuslist+jwt";
/// RFC 2585 section 4.2.
const CRL: &str = "application/pkix-crl";
const PEM: &str = "application/x-pem-file";
/// A moment only: what is cached can't tell of a revocation.
const MOMENT: &str = "public, max-age=5";

/// The routes.
pub fn routes(broker: Arc<Broker>) -> Router {
    Router::new()
        .route("/status/{hour}/{list}", get(status_list))
        .route("/crl.pem", get(bundle))
        .route("/crl/{name}", get(crl))
        .with_state(broker)
}

async fn status_list(
    State(broker): State<Arc<Broker>>,
    Path((hour, list)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    // Section 8.4: there are no lists of the past here.
    if query.is_some_and(|query| query.split('&').any(|one| one.starts_with("time="))) {
        return problem(StatusCode::NOT_IMPLEMENTED, "no-history", "only the present list is served");
    }
    let Some(list) = list_id(&hour, &list) else { return not_found().await };
    match broker.status_list(list).await {
        Ok(StatusListFound::List(token)) => {
            answer(StatusCode::OK, STATUS_LIST, MOMENT, shared(token, |token| token.as_bytes()))
        }
        Ok(StatusListFound::Gone) => problem(StatusCode::GONE, "gone", "all tokens of this list have ended"),
        Ok(StatusListFound::Unknown) => not_found().await,
        Err(error) => unavailable(&error),
    }
}

/// A list's name has one spelling.
fn list_id(hour: &str, list: &str) -> Option<ListId> {
    let id = ListId { hour: hour.parse().ok()?, list: list.parse().ok()? };
    (id.hour >= 0 && id.hour.to_string() == hour && id.list.to_string() == list).then_some(id)
}

async fn bundle(State(broker): State<Arc<Broker>>) -> Response {
    match broker.crls().await {
        Ok(crls) => answer(StatusCode::OK, PEM, MOMENT, shared(crls, |crls| crls.pem.as_bytes())),
        Err(error) => unavailable(&error),
    }
}

async fn crl(State(broker): State<Arc<Broker>>, Path(name): Path<String>) -> Response {
    let Some(which) = which(&name) else { return not_found().await };
    match broker.crls().await {
        Ok(crls) if which(&crls).is_some() => {
            let list = shared((crls, which), |(crls, which)| which(crls).unwrap_or_default());
            answer(StatusCode::OK, CRL, MOMENT, list)
        }
        Ok(_) => not_found().await,
        Err(error) => unavailable(&error),
    }
}

/// Something published, as bytes.
struct Shared<T>(T, fn(&T) -> &[u8]);

impl<T> AsRef<[u8]> for Shared<T> {
    fn as_ref(&self) -> &[u8] {
        (self.1)(&self.0)
    }
}

/// The body of an answer without a copy: a list can be long, and whoever asks for it need not read it.
fn shared<T: Send + 'static>(document: T, bytes: fn(&T) -> &[u8]) -> Bytes {
    Bytes::from_owner(Shared(document, bytes))
}

type Which = fn(&Crls) -> Option<&[u8]>;

fn which(name: &str) -> Option<Which> {
    match name {
        "action-ca.crl" => Some(|crls| Some(&crls.action)),
        "identity-ca.crl" => Some(|crls| Some(&crls.identity)),
        "root-ca.crl" => Some(|crls| crls.root.as_deref()),
        _ => None,
    }
}

fn unavailable(error: &PublishError) -> Response {
    match error {
        PublishError::Busy => {}
        PublishError::Clock(_) | PublishError::Mint(_) | PublishError::Read(_) => {
            tracing::error!(%error, "status lists and CRLs can't be published");
        }
    }
    let message = "it can't be made now; try again";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_name() {
        assert_eq!(list_id("498732", "0"), Some(ListId { hour: 498_732, list: 0 }));
        for (hour, list) in [
            ("0498732", "0"),
            ("498732", "00"),
            ("+498732", "0"),
            ("-1", "0"),
            ("498732", "-1"),
            ("498732", "4294967296"),
            ("", ""),
            ("99999999999999999999", "0"),
            ("x", "0"),
        ] {
            assert_eq!(list_id(hour, list), None, "{hour}/{list}");
        }
    }

    #[test]
    fn all_who_ask_are_sent_the_same_bytes_and_no_copies() {
        let list: Arc<str> = "x".repeat(100_000).into();
        let sent: Vec<Bytes> = (0..3).map(|_| shared(Arc::clone(&list), |list| list.as_bytes())).collect();
        assert!(sent.iter().all(|one| **one == *list.as_bytes() && one.as_ptr() == list.as_ptr()));
        drop(sent);
        assert_eq!(Arc::strong_count(&list), 1);
    }

    #[test]
    fn there_are_three_lists() {
        for name in ["action-ca.crl", "identity-ca.crl", "root-ca.crl"] {
            assert!(which(name).is_some());
        }
        assert!(which("action-ca.pem").is_none() && which("").is_none());
    }
}
