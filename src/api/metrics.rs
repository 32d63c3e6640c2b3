//! What is counted. Labels are closed sets: never an agent, a resource or anything a caller can choose.

mod turned_away;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::attest::AttestError;
use crate::broker::break_glass::GlassStatus;
use crate::broker::inventory::{Live, Status};
use crate::broker::{IssueError, Issued};
use crate::domain::credential::Kind;
use crate::domain::emergency::Cause;
use crate::domain::time::Timestamp;
use crate::notify::desk::DestinationView;
use crate::store::LedgerError;

use turned_away::{Refusals, Sampled};
pub use turned_away::{RefusedConnections, RejectedOperators};

/// Upper bounds of the issue latency's buckets in seconds: from a third of a good commit to the request timeout.
const ISSUE_SECONDS: [f64; 12] =
    [0.0003, 0.0006, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 10.0];

type Labelled<L, M> = Family<L, M>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// A destination of notices: the configuration's own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NotifierLabel {
    notifier: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// What an emergency is without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

/// The gauges of break-glass.
#[derive(Debug, Default)]
struct GlassGauges {
    open: Gauge,
    owed: Gauge,
    overdue: Gauge,
    since_drill: Gauge<f64, AtomicU64>,
}

impl GlassGauges {
    fn register(&self, registry: &mut Registry) {
        let help = "Break-glass sessions that are open";
        registry.register("break_glass_sessions_open", help, self.open.clone());
        let help = "Break-glass sessions whose review is owed";
        registry.register("break_glass_reviews_owed", help, self.owed.clone());
        let help = "Break-glass sessions whose review is overdue";
        registry.register("break_glass_reviews_overdue", help, self.overdue.clone());
        let help = "Time since the last drill that was done whole, in seconds; infinite when there was none";
        registry.register("break_glass_drill_age_seconds", help, self.since_drill.clone());
    }

    fn set(&self, status: &GlassStatus) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.open.set(gauge(status.open));
        self.owed.set(gauge(status.owed));
        self.overdue.set(gauge(status.overdue));
        // What was never tried is as old as can be, so that one threshold tells both.
        self.since_drill.set(status.drill_age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
    }
}

/// What is counted of each destination of notices.
#[derive(Debug, Default)]
struct Notices {
    pending: Labelled<NotifierLabel, Gauge>,
    oldest: Labelled<NotifierLabel, Gauge<f64, AtomicU64>>,
    delivered: Labelled<NotifierLabel, Counter>,
    failed: Labelled<NotifierLabel, Counter>,
}

impl Notices {
    fn register(&self, registry: &mut Registry) {
        registry.register("notices_pending", "Notices that were not delivered yet", self.pending.clone());
        let help = "Age of the oldest notice that was not delivered yet, in seconds";
        registry.register("notices_oldest_seconds", help, self.oldest.clone());
        registry.register("notices_delivered", "Notices delivered", self.delivered.clone());
        let help = "Notices given up: refused by the receiver, or dropped because too many waited";
        registry.register("notices_failed", help, self.failed.clone());
    }

    fn show(&self, views: &[DestinationView], now: Timestamp) {
        for view in views {
            let label = NotifierLabel { notifier: view.name.to_string() };
            let age_ms = view.oldest.map_or(0, |oldest| now.millis_since(oldest).max(0));
            self.pending.get_or_create(&label).set(i64::try_from(view.pending).unwrap_or(i64::MAX));
            self.oldest.get_or_create(&label).set(Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64());
            raise(&self.delivered.get_or_create(&label), view.delivered);
            raise(&self.failed.get_or_create(&label), view.failed);
        }
    }
}

/// Brings a counter up to what was counted elsewhere.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// The daemon's metrics. One value, made at the start and passed to the edges.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    issued_tokens: Counter,
    issued_certificates: Counter,
    issue_seconds: Histogram,
    denied: Labelled<ReasonLabel, Counter>,
    rejected: Labelled<ReasonLabel, Counter>,
    strangers: Refusals,
    failed: Labelled<ReasonLabel, Counter>,
    connections: Labelled<KindLabel, Gauge>,
    refused: Refusals,
    issuing: Gauge,
    emergency: Labelled<CauseLabel, Gauge>,
    live: Gauge,
    live_at_most: Gauge,
    log_entries: Gauge,
    epoch: Gauge,
    subscribers: Gauge,
    subscribers_away: Gauge,
    feed_lag: Gauge<f64, AtomicU64>,
    locks: Gauge,
    break_glass: GlassGauges,
    notices: Notices,
    rejected_said: Sampled,
}

impl Metrics {
    /// Metrics of a daemon of this version, all at nought.
    pub fn new(version: &'static str) -> Self {
        let issued: Labelled<KindLabel, Counter> = Family::default();
        let of_kind = |kind| issued.get_or_create(&KindLabel { kind }).clone();
        let mut metrics = Self {
            registry: Registry::with_prefix("hotwork"),
            issued_tokens: of_kind("token"),
            issued_certificates: of_kind("certificate"),
            issue_seconds: Histogram::new(ISSUE_SECONDS),
            denied: Family::default(),
            rejected: Family::default(),
            strangers: Family::default(),
            failed: Family::default(),
            connections: Family::default(),
            refused: Family::default(),
            issuing: Gauge::default(),
            emergency: Family::default(),
            live: Gauge::default(),
            live_at_most: Gauge::default(),
            log_entries: Gauge::default(),
            epoch: Gauge::default(),
            subscribers: Gauge::default(),
            subscribers_away: Gauge::default(),
            feed_lag: Gauge::default(),
            locks: Gauge::default(),
            break_glass: GlassGauges::default(),
            notices: Notices::default(),
            rejected_said: Sampled::default(),
        };
        metrics.register(issued.clone(), version);
        metrics
    }

    fn register(&mut self, issued: Labelled<KindLabel, Counter>, version: &'static str) {
        let registry = &mut self.registry;
        registry.register("build", "Facts about the build", Info::new([("version", version)]));
        registry.register("credentials_issued", "Credentials issued, by kind", issued);
        registry.register("requests_denied", "Requests denied, by reason", self.denied.clone());
        let help = "Callers that were not attested, by reason";
        registry.register("attestations_rejected", help, self.rejected.clone());
        let help = "Operators' calls of callers who are none, or at another door, by listener and reason";
        registry.register("operators_rejected", help, self.strangers.clone());
        let help = "Requests that ended without a decision, by reason";
        registry.register("requests_failed", help, self.failed.clone());
        let help = "Time from a parsed request to a recorded credential, in seconds";
        registry.register("issue_duration_seconds", help, self.issue_seconds.clone());
        registry.register("connections", "Open connections, by listener", self.connections.clone());
        let help = "Connections over TCP that came to nothing, by listener and reason";
        registry.register("connections_refused", help, self.refused.clone());
        registry.register(
            "issuing",
            "1 while credentials are issued, 0 after a failure",
            self.issuing.clone(),
        );
        let help = "1 while the broker runs in an emergency, by what it does without";
        registry.register("emergency", help, self.emergency.clone());
        let help = "Credentials that are live; at most as many while credentials_live_at_most is 1";
        registry.register("credentials_live", help, self.live.clone());
        let help = "1 while some of them may have been ended: there were too many to look at each";
        registry.register("credentials_live_at_most", help, self.live_at_most.clone());
        registry.register("log_entries", "Entries of the log", self.log_entries.clone());
        registry.register("revocation_epoch", "The newest epoch of revocations", self.epoch.clone());
        let help = "Verifiers that follow the revocations";
        registry.register("revocation_subscribers", help, self.subscribers.clone());
        let help = "Verifiers that do not follow and may still go on with what they last heard";
        registry.register("revocation_subscribers_away", help, self.subscribers_away.clone());
        let help = "Age of the oldest revocation that a connected verifier has not acknowledged, in seconds";
        registry.register("revocation_feed_lag_seconds", help, self.feed_lag.clone());
        registry.register("locks", "Locks in force", self.locks.clone());
        self.break_glass.register(registry);
        self.notices.register(registry);
    }

    /// The registry as text, in the OpenMetrics format, with the gauges as they are in `status` and `live` at `now`.
    ///
    /// # Errors
    /// When a metric can't be written, which is a defect.
    pub fn text(&self, status: &Status, live: Live, now: Timestamp) -> Result<String, std::fmt::Error> {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.issuing.set(i64::from(status.problem.is_none()));
        for cause in Cause::ALL {
            let is = status.emergency.as_ref().is_some_and(|emergency| emergency.causes.contains(&cause));
            self.emergency.get_or_create(&CauseLabel { cause: cause.code() }).set(i64::from(is));
        }
        self.show_live(live);
        self.log_entries.set(gauge(status.ledger.size));
        self.epoch.set(gauge(status.feed.epoch));
        self.subscribers.set(i64::try_from(status.feed.connected).unwrap_or(i64::MAX));
        self.subscribers_away.set(i64::try_from(status.feed.away).unwrap_or(i64::MAX));
        self.feed_lag.set(Duration::from_millis(status.feed.lag_ms.max(0).unsigned_abs()).as_secs_f64());
        self.locks.set(i64::try_from(status.locks).unwrap_or(i64::MAX));
        self.break_glass.set(&status.break_glass);
        self.notices.show(&status.notifiers, now);
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn show_live(&self, live: Live) {
        self.live.set(i64::try_from(live.count).unwrap_or(i64::MAX));
        self.live_at_most.set(i64::from(live.at_most));
    }

    /// The gauge of one listener's open connections.
    pub fn connections(&self, listener: &'static str) -> Gauge {
        self.connections.get_or_create(&KindLabel { kind: listener }).clone()
    }

    /// What counts the connections of one listener that came to nothing.
    pub fn refused_connections(&self, listener: &'static str) -> RefusedConnections {
        RefusedConnections::new(&self.refused, listener)
    }

    /// What counts the calls at one listener that are operators' and were made by none.
    pub fn rejected_operators(&self, listener: &'static str) -> RejectedOperators {
        RejectedOperators::new(&self.strangers, listener)
    }

    /// Counts one request to issue, by what came of it.
    pub fn issue<M>(&self, kind: Kind, took: Duration, result: &Result<Issued<M>, IssueError>) {
        let error = match result {
            Ok(_) => {
                self.issue_seconds.observe(took.as_secs_f64());
                match kind {
                    Kind::Certificate => self.issued_certificates.inc(),
                    Kind::Token => self.issued_tokens.inc(),
                };
                return;
            }
            Err(error) => error,
        };
        match error {
            IssueError::Attest(error) => self.attestation(error),
            IssueError::Denied { reason, .. } => {
                self.denied.get_or_create(&ReasonLabel { reason: reason.code() }).inc();
            }
            IssueError::Ledger(
                LedgerError::Clock(_) | LedgerError::ClockAhead { .. } | LedgerError::ClockBehind { .. },
            ) => self.fail("clock-untrusted"),
            IssueError::Ledger(_) => self.fail("ledger"),
            IssueError::NotPut(_) => self.fail("not-announced"),
            IssueError::NotRepeatable => self.fail("not-repeatable"),
            IssueError::Pending(_) => {
                self.denied.get_or_create(&ReasonLabel { reason: "approval-required" }).inc();
            }
            IssueError::Seal(_) => self.fail("minting"),
            IssueError::TooMany(_) => self.fail("rate-limited"),
        }
    }

    /// Counts a caller that was not attested, and now and then says so in the log.
    pub fn attestation(&self, error: &AttestError) {
        match error {
            AttestError::Rejected(rejected) => {
                self.rejected.get_or_create(&ReasonLabel { reason: rejected.code() }).inc();
                if self.rejected_said.is_due() {
                    tracing::warn!(
                        reason = rejected.code(),
                        "attestation rejected; others in this second are counted only"
                    );
                }
            }
            AttestError::Unavailable { attestor, .. } => {
                tracing::error!(attestor, %error, "an attestor can't run");
                self.fail("attestor-unavailable");
            }
        }
    }

    fn fail(&self, reason: &'static str) {
        self.failed.get_or_create(&ReasonLabel { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_a_bound_says_so() {
        let metrics = Metrics::new("1");
        for (at_most, flag) in [(true, 1), (false, 0)] {
            metrics.show_live(Live { count: 7, at_most });
            let mut text = String::new();
            text::encode(&mut text, &metrics.registry).unwrap();
            assert!(text.contains("hotwork_credentials_live 7\n"), "{text}");
            assert!(text.contains(&format!("hotwork_credentials_live_at_most {flag}\n")), "{text}");
        }
    }
}
