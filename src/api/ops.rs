//! The ops port: is it alive, is it ready, what does it count. For the machine's own watchers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::broker::Broker;

use super::drain::Drain;
use super::metrics::Metrics;

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Parts {
    broker: Arc<Broker>,
    metrics: Arc<Metrics>,
    drain: Drain,
}

/// The routes of the ops port.
pub fn routes(broker: Arc<Broker>, metrics: Arc<Metrics>, drain: Drain) -> Router {
    Router::new()
        .route("/healthz", get(async || answer(StatusCode::OK, TEXT, "ok\n".to_owned())))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Parts { broker, metrics, drain })
}

async fn ready(State(parts): State<Parts>) -> Response {
    readiness(parts.drain.has_begun(), parts.broker.status().problem)
}

fn readiness(draining: bool, problem: Option<String>) -> Response {
    if draining {
        return answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned());
    }
    match problem {
        None => answer(StatusCode::OK, TEXT, "ready\n".to_owned()),
        Some(problem) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not issuing: {problem}\n")),
    }
}

async fn scrape(State(parts): State<Parts>) -> Response {
    let live = parts.broker.live_or_bound().await;
    match parts.metrics.text(&parts.broker.status(), live, parts.broker.time()) {
        Ok(text) => answer(StatusCode::OK, OPEN_METRICS, text),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the metrics can't be written\n".to_owned())
        }
    }
}

fn answer(code: StatusCode, kind: &'static str, body: String) -> Response {
    (code, [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_ends_with_a_problem_and_with_a_drain() {
        assert_eq!(readiness(false, None).status(), StatusCode::OK);
        let stopped = readiness(false, Some("the ledger has stopped".into()));
        assert_eq!(stopped.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(readiness(true, None).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
