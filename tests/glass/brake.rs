//! The brake: what it shuts is shut when its caller goes away, and what an operator lifts stays lifted.

use hotwork::api::authz;
use hotwork::broker::break_glass::Act;
use hotwork::domain::ledger::Command;
use hotwork::domain::name::Reason;
use hotwork::domain::revocation::{Lock, Terms};

use crate::site::{Site, eventually};

#[tokio::test]
async fn a_brake_whose_caller_goes_away_shuts_all_the_same() {
    let site = Site::open().await;
    let text = site.text("freeze", false).await;
    let by = site.by("bob", authz::OPEN).await;
    let broker = site.broker();
    // The caller is gone at the moment in which the opening is durable: before anything else here is done, it is
    // looked at first at each turn.
    let opened = eventually("it opens", || broker.ledger().sessions().iter().next().is_some());
    tokio::select! {
        biased;
        () = opened => {}
        done = broker.sign_break_glass(&by, Act::Open, site.signed(&text, "bob")) => {
            panic!("the caller was to be gone by then: {done:?}")
        }
    }
    eventually("the lock is made", || broker.ledger().locks().iter().next().is_some()).await;
    let done = || broker.ledger().sessions().iter().next().is_some_and(|held| held.left.is_empty());
    eventually("it is recorded as done", done).await;
    let agent = "spiffe://example.org/tenant/default/agent/scaler".parse().unwrap();
    let selector = hotwork::domain::revocation::Selector::Agent(agent);
    let revoked = broker.ledger().revocations().deltas().any(|delta| delta.selector == selector);
    assert!(revoked, "and what the agent had has ended");
}

#[tokio::test]
async fn a_lock_of_a_brake_that_somebody_lifted_stays_lifted() {
    let site = Site::open().await;
    let session = site.opened("freeze", false, &["bob"]).await;
    let locks = || site.broker().ledger().locks().iter().map(|lock| lock.index).collect::<Vec<_>>();
    let size = || site.broker().ledger().status().size;
    assert_eq!(locks().len(), 1);
    let by = site.by("ruth", authz::UNLOCK).await;
    site.broker().unlock(&by, locks()[0]).await.unwrap();
    let before = size();
    // What a start does, and the daemon now and then.
    site.broker().finish_restrictions().await;
    assert_eq!((locks().len(), size()), (0, before), "nothing is locked or revoked anew");
    // An extension is signed anew, and locks anew.
    let seconds = Some(3_600);
    let reason: Reason = "it runs wild again".parse().unwrap();
    site.clock.advance_millis(60_000);
    let asked = hotwork::broker::break_glass::Prepare::Extend { reason, seconds, session };
    let text = site.prepared(asked).await;
    let extended = site.sign(&text, "carol").await.unwrap();
    assert_eq!(extended.restricted.map(|done| (done.locks.len(), done.revocations)), Some((1, 0)));
    assert_eq!(locks().len(), 1);
}

#[tokio::test]
async fn a_lock_of_one_tenant_is_not_taken_for_the_brake_s() {
    let site = Site::open().await;
    let session = site.opened("freeze", false, &["bob"]).await;
    let ledger = site.broker().ledger();
    // The refused are told which session it is. A revoker of another tenant locks the same for it, and for longer.
    let own = ledger.locks().iter().next().unwrap().lock.clone();
    let expires = own.terms.expires.plus_millis(86_400_000);
    let terms = Terms { expires, ..own.terms.clone() };
    let copy = Lock { tenants: vec!["other".parse().unwrap()], terms, ..own };
    ledger.submit(Command::Lock(copy)).await.unwrap();
    site.clock.advance_millis(60_000);
    let reason: Reason = "it runs wild again".parse().unwrap();
    let asked = hotwork::broker::break_glass::Prepare::Extend { reason, seconds: Some(3_600), session };
    let text = site.prepared(asked).await;
    let extended = site.sign(&text, "carol").await.unwrap();
    let locks = extended.restricted.unwrap().locks;
    let is_whole = |index: &u64| ledger.locks().get(*index).is_some_and(|held| held.lock.tenants.is_empty());
    assert!(!locks.is_empty() && locks.iter().all(is_whole), "{locks:?}");
}
