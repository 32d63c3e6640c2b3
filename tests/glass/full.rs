//! The brake while the ledger's queue is full: whoever keeps it full keeps nothing off, and is waited for no longer than
//! the call has.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hotwork::api::authz;
use hotwork::broker::break_glass::Act;
use hotwork::clock::ManualClock;
use hotwork::domain::clock::{Clock, Untrustworthy};
use hotwork::domain::ledger::Command;
use hotwork::domain::limits::INSIST_MS_MAX;
use hotwork::domain::revocation::Unlock;
use hotwork::domain::time::Timestamp;
use hotwork::store::{Ledger, LedgerError};

use crate::site::{Site, eventually};

/// A clock that the ledger's writer waits for, as for a disk that does not answer.
struct Held {
    time: Arc<ManualClock>,
    is_held: Mutex<bool>,
    changed: Condvar,
    /// The writer has come to it, and waits.
    waits: AtomicBool,
}

impl Clock for Held {
    fn now(&self) -> Result<Timestamp, Untrustworthy> {
        if std::thread::current().name() == Some("ledger") {
            let held = self.is_held.lock().unwrap();
            self.waits.store(*held, Ordering::Release);
            drop(self.changed.wait_while(held, |is_held| *is_held).unwrap());
            self.waits.store(false, Ordering::Release);
        }
        self.time.now()
    }
}

impl Held {
    fn hold(&self, is_held: bool) {
        *self.is_held.lock().unwrap() = is_held;
        self.changed.notify_all();
    }
}

/// Lets the writer go when the test ends, however it does: the site waits for it.
struct Holding(Arc<Held>);

impl std::ops::Deref for Holding {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.hold(false);
    }
}

async fn held_site() -> (Site, Holding) {
    let mut held = None;
    let site = Site::open_on(|time| {
        let clock = Arc::new(Held {
            time,
            is_held: Mutex::new(false),
            changed: Condvar::new(),
            waits: AtomicBool::new(false),
        });
        held = Some(Arc::clone(&clock));
        clock
    })
    .await;
    (site, Holding(held.unwrap()))
}

/// Fills every place of the queue, those of what is vital too, without a turn for anybody else here.
fn fill(ledger: &Ledger) {
    let unlock = || Command::Unlock(Unlock { lock: u64::MAX, operator: "ruth".parse().unwrap() });
    let is_full = || {
        let submitted = pin!(ledger.submit(unlock()));
        let answer = submitted.poll(&mut Context::from_waker(Waker::noop()));
        matches!(answer, Poll::Ready(Err(LedgerError::Busy)))
    };
    // The writer takes a group out before it waits for the clock.
    let mut times = 0;
    while times < 3 {
        times = if is_full() { times + 1 } else { 0 };
        if times > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Opens the brake; when this returns its session is open, the queue is full, and nothing of the brake is done.
async fn opened_before_a_full_queue(site: &Site, clock: &Held) {
    let text = site.text("freeze", false).await;
    let by = site.by("bob", authz::OPEN).await;
    let ledger = site.broker().ledger();
    clock.hold(true);
    let taken = eventually("the opening is with the writer", || clock.waits.load(Ordering::Acquire));
    tokio::select! {
        biased;
        () = taken => clock.hold(false),
        done = site.broker().sign_break_glass(&by, Act::Open, site.signed(&text, "bob")) => {
            panic!("the queue was to be full by then: {done:?}")
        }
    }
    // Nobody else of this thread has a turn from here on, so what follows the opening comes too late.
    let end = Instant::now() + Duration::from_secs(30);
    while ledger.sessions().iter().next().is_none() {
        assert!(Instant::now() < end, "it does not open");
        std::thread::sleep(Duration::from_millis(1));
    }
    clock.hold(true);
    fill(ledger);
    assert!(ledger.locks().iter().next().is_none(), "nothing is locked yet");
}

fn is_done(site: &Site) -> bool {
    let ledger = site.broker().ledger();
    let left = ledger.sessions().iter().next().is_some_and(|session| session.left.is_empty());
    left && ledger.locks().iter().next().is_some()
}

#[tokio::test]
async fn a_full_queue_keeps_no_brake_off() {
    let (site, clock) = held_site().await;
    opened_before_a_full_queue(&site, &clock).await;
    let began = eventually("it is done", || is_done(&site));
    assert!(tokio::time::timeout(Duration::from_millis(500), began).await.is_err(), "the queue was full");
    clock.hold(false);
    eventually("the brake is on", || is_done(&site)).await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_stays_full_is_waited_for_as_long_as_a_call_has_and_the_brake_is_not_forgotten() {
    let (site, clock) = held_site().await;
    opened_before_a_full_queue(&site, &clock).await;
    let began = tokio::time::Instant::now();
    site.broker().finish_restrictions().await;
    let waited = began.elapsed();
    let most = Duration::from_millis(INSIST_MS_MAX);
    assert!((most / 2..=most).contains(&waited), "{waited:?} by the clock of the test");
    assert!(!is_done(&site), "nothing could be locked");
    tokio::time::resume();
    clock.hold(false);
    site.broker().finish_restrictions().await;
    eventually("the brake is on", || is_done(&site)).await;
}
