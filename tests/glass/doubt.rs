//! A broker whose clock is far ahead of its log: nothing is swept, dropped, rotated, signed or locked by that clock, so that
//! once it is right everything is as it was.

use std::sync::Arc;

use hotwork::api::authz;
use hotwork::app::build::App;
use hotwork::broker::Broker;
use hotwork::broker::enroll::EnrollError;
use hotwork::broker::introspect::Shown;
use hotwork::broker::lock::LockTerms;
use hotwork::broker::operate::{Authorized, Caller, Requirement};
use hotwork::broker::publish::PublishError;
use hotwork::broker::release::ReleaseShownError;
use hotwork::broker::rotate::RotateError;
use hotwork::clock::ManualClock;
use hotwork::config::Config;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::enrollment::Enrolled;
use hotwork::domain::limits::CLOCK_BEHIND_MS_MAX;
use hotwork::domain::revocation::Selector;
use hotwork::domain::time::Timestamp;
use hotwork::signer::csr;
use hotwork::signer::token_keys::Phase;
use hotwork::store::LedgerError;

use crate::site::Site;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

async fn started(dir: &std::path::Path, now: Timestamp) -> App {
    let config = Config::load(&dir.join("config/hotworkd.toml")).unwrap_or_else(|bad| panic!("{bad}"));
    App::build_on(config, None, Arc::new(ManualClock::new(now))).await.unwrap()
}

async fn by(broker: &Broker, name: &str, row: Requirement) -> Authorized {
    broker.authorize(&Caller::Certificate(name.parse().unwrap()), row).await.unwrap()
}

fn phases(broker: &Broker) -> Vec<Phase> {
    broker.token_keys().0.iter().map(|key| key.phase).collect()
}

fn verifier(name: &str) -> Enrolled {
    Enrolled::Verifier(name.parse().unwrap())
}

/// What would be lost or in force for a year, if a clock that is far ahead were taken for the time.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_lasts_is_done_by_a_clock_that_the_log_does_not_believe() {
    let Site { app, clock, dir, .. } = Site::open().await;
    let start = clock.now().unwrap();
    let admin = by(&app.broker, "sam", authz::ENROLL).await;
    let (key, _) = csr::generate().unwrap();
    app.broker.enroll(&admin, verifier("mesh"), &key, 30 * 86_400).await.unwrap();
    app.broker.rotate_token_key(&admin, false).await.unwrap();
    assert_eq!(phases(&app.broker), [Phase::Signing, Phase::Published]);
    drop(app);

    let broker = started(dir.path(), start.plus_millis(100 * DAY_MS)).await.broker;
    let digest = broker.ledger().index_digest().unwrap();
    assert_eq!(broker.sweep().await.unwrap(), 0);
    assert_eq!(broker.ledger().index_digest().unwrap(), digest, "all of it is 100 days old by that clock");
    let dropped = broker.drop_token_keys().await.unwrap_err();
    assert!(matches!(dropped, RotateError::Ledger(LedgerError::ClockAhead { .. })), "{dropped:?}");
    assert_eq!(phases(&broker), [Phase::Signing, Phase::Published], "no switch, and nothing is erased");
    let admin = by(&broker, "sam", authz::ENROLL).await;
    let rotated = broker.rotate_token_key(&admin, true).await.unwrap_err();
    assert!(matches!(rotated, RotateError::Ledger(LedgerError::ClockAhead { .. })), "{rotated:?}");
    let enrolled = broker.enroll(&admin, verifier("late"), &key, 86_400).await.unwrap_err();
    assert!(matches!(enrolled, EnrollError::Ledger(LedgerError::ClockAhead { .. })), "{enrolled:?}");
    // Whoever reads them at the right time would take them for new for a hundred days.
    let signed = broker.crls().await.unwrap_err();
    assert!(matches!(signed, PublishError::Clock(LedgerError::ClockAhead { .. })), "{signed:?}");
    let answer = broker.sign_introspection(&serde_json::json!({}), &"https://api.example".parse().unwrap());
    assert!(matches!(answer, Err(PublishError::Clock(LedgerError::ClockAhead { .. }))), "{answer:?}");
    // By that clock it has expired, so that there would be nothing to give back.
    let released = broker.release_shown(&Shown::Token("x".to_owned())).await.unwrap_err();
    assert!(matches!(released, ReleaseShownError::Ledger(LedgerError::ClockAhead { .. })), "{released:?}");
    // Locks are set all the same, and last as long as was said.
    let terms = LockTerms { ttl_seconds: 3_600, message: "not now".parse().unwrap() };
    let selector = Selector::Tenant("other".parse().unwrap());
    let lock = broker.lock(&by(&broker, "ruth", authz::LOCK).await, selector, terms).await.unwrap();
    assert_eq!(lock.held.lock.terms.expires, start.plus_millis(HOUR_MS));
    drop(broker);

    let broker = started(dir.path(), start.plus_millis(60_000)).await.broker;
    assert_eq!(broker.status().problem, None);
    assert_eq!(phases(&broker), [Phase::Signing, Phase::Published]);
    assert_eq!(broker.locks(by(&broker, "ruth", authz::LOCK).await.operator()).len(), 1);
    assert_eq!(broker.enrollments().iter().filter(|one| one.who == verifier("mesh")).count(), 1);
    assert!(broker.crls().await.is_ok());
}

/// The other way round: what ends by a clock that is behind would end later than was said.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_a_clock_that_is_behind_lasts_as_long_as_was_said() {
    let Site { app, clock, .. } = Site::open().await;
    let start = app.broker.ledger().status().high_water;
    clock.advance_millis(-CLOCK_BEHIND_MS_MAX - HOUR_MS);
    let terms = LockTerms { ttl_seconds: 60, message: "not now".parse().unwrap() };
    let ruth = by(&app.broker, "ruth", authz::LOCK).await;
    let lock = app.broker.lock(&ruth, Selector::Tenant("other".parse().unwrap()), terms).await.unwrap();
    assert_eq!(lock.held.lock.terms.expires, start.plus_millis(60_000));
    assert_eq!(app.broker.locks(ruth.operator()).len(), 1);
}
