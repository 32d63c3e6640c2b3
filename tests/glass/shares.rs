//! Whoever has an operator's certificate and nothing good in mind: what they ask for takes none of the places that others have,
//! and none of those that stop them.

use std::time::Duration;

use hotwork::api::authz;
use hotwork::broker::lock::LockTerms;
use hotwork::broker::operate::{Caller, OperateError, Requirement};
use hotwork::broker::revoke::Revoke;
use hotwork::broker::underway::{Share, TooManyCalls};
use hotwork::domain::clock::Clock as _;
use hotwork::domain::revocation::Selector;

use crate::site::Site;

/// Whether another call of that person finds a place, and if not, of which share there was none.
async fn full(site: &Site, name: &str, row: Requirement) -> Option<Share> {
    let caller = Caller::Certificate(name.parse().unwrap());
    match site.broker().authorize(&caller, row).await {
        Ok(_) => None,
        Err(OperateError::TooMany(TooManyCalls(share))) => Some(share),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn reads_of_one_operator_keep_off_nobody_else_no_brake_and_fill_no_log() {
    let site = Site::open().await;
    let broker = site.broker();
    let mut reads = Vec::new();
    for _ in 0..Share::Read.places() {
        reads.push(site.by("alice", authz::LIST_AGENTS).await);
    }
    let size = broker.ledger().status().size;
    for row in [authz::LIST_AGENTS, authz::GET_STATUS, authz::LIST_ENTRIES] {
        assert_eq!(full(&site, "alice", row).await, Some(Share::Read), "{}", row.rpc);
    }
    assert_eq!(broker.ledger().status().size, size, "whoever has so many could fill the log");
    // What she needs to see of an emergency, to open it, and to stop something: by the same certificate.
    for row in [authz::LIST_BREAK_GLASS, authz::LIST_LOCKS, authz::PREPARE, authz::OPEN, authz::CLOSE] {
        assert_eq!(full(&site, "alice", row).await, None, "{}", row.rpc);
    }
    let terms = LockTerms { ttl_seconds: 60, message: "stop".parse().unwrap() };
    broker.lock(&site.by("alice", authz::LOCK).await, Selector::All, terms).await.unwrap();
    let everything =
        Revoke { selector: Selector::All, issued_before: None, reason: "stop".parse().unwrap(), lock: None };
    broker.revoke(&site.by("alice", authz::REVOKE).await, everything).await.unwrap();
    assert_eq!(full(&site, "ruth", authz::LIST_LOCKS).await, None);
    // A call is over when nothing has its proof any more.
    let kept = reads[0].clone();
    reads.remove(0);
    assert_eq!(full(&site, "alice", authz::LIST_AGENTS).await, Some(Share::Read));
    drop(kept);
    assert_eq!(full(&site, "alice", authz::LIST_AGENTS).await, None);
    drop(reads);
    assert_eq!(broker.underway().count(), 0);
}

#[tokio::test]
async fn a_full_share_of_anything_else_keeps_no_brake_off() {
    let site = Site::open().await;
    for row in [authz::LIST_AGENTS, authz::LIST_LOCKS, authz::RELOAD_REGISTRY] {
        let mut held = Vec::new();
        for _ in 0..row.share.places() {
            held.push(site.by("alice", row).await);
        }
        assert_eq!(full(&site, "alice", row).await, Some(row.share), "{}", row.rpc);
        for brake in authz::TABLE.iter().filter(|brake| brake.share == Share::Brake) {
            assert_eq!(full(&site, "alice", *brake).await, None, "{} beside {}", brake.rpc, row.rpc);
        }
    }
}

#[tokio::test]
async fn whose_role_does_not_cover_it_has_no_more_places_either() {
    let site = Site::open().await;
    let (mut held, caller) = (Vec::new(), Caller::Certificate("sam".parse().unwrap()));
    for _ in 0..Share::Urgent.places() {
        held.push(site.by("sam", authz::LIST_LOCKS).await);
    }
    let tried = |row: Requirement| site.broker().authorize(&caller, row);
    let size = site.broker().ledger().status().size;
    // Only responders prepare.
    let refused = tried(authz::PREPARE).await;
    assert!(matches!(refused, Err(OperateError::TooMany(TooManyCalls(Share::Urgent)))), "{refused:?}");
    assert_eq!(site.broker().ledger().status().size, size);
    held.pop();
    let refused = tried(authz::PREPARE).await;
    assert!(matches!(refused, Err(OperateError::Role { .. })), "{refused:?}");
    assert_eq!(site.broker().ledger().status().size, size + 1, "a refused role is recorded");
    assert!(tried(authz::LIST_LOCKS).await.is_ok(), "and takes its place no longer than that");
}

#[tokio::test]
async fn what_is_counted_has_places_of_its_own() {
    let site = Site::open().await;
    let broker = site.broker();
    let alice = Caller::Certificate("alice".parse().unwrap());
    let begun = |share: Share| -> Vec<_> {
        std::iter::from_fn(|| broker.underway().begin(&alice, share).ok()).take(100).collect()
    };
    let reads = begun(Share::Read);
    assert_eq!(reads.len(), Share::Read.places());
    // A look that would keep her brakes off for as long as it counts.
    assert_eq!(full(&site, "alice", authz::REVOKE_DRY_RUN).await, Some(Share::Read));
    let counted = async || {
        site.clock.advance_millis(1_000);
        let (issued_before, reason) = (Some(site.clock.now().unwrap()), "stop".parse().unwrap());
        let asked = Revoke { selector: Selector::All, issued_before, reason, lock: None };
        let done = broker.revoke(&site.by("alice", authz::REVOKE).await, asked).await.unwrap();
        broker.revoked(done, Duration::from_millis(1)).await.count
    };
    assert!(counted().await.complete, "reads keep no count off");
    let mut counts = begun(Share::Count);
    assert!(!counted().await.complete, "nobody counts beside sixteen others, and the revocation stands");
    counts.pop();
    assert!(counted().await.complete);
}
