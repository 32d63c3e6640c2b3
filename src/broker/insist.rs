//! Insist: what must get into the log is submitted again while the ledger's queue is full, until a moment that whoever needs
//! it sets. Whoever keeps the queue full must not keep the brake off, nor their own refused calls out of the log.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ledger::Command;
use crate::domain::limits::{INSIST_MS_MAX, INSIST_WAIT_MS, INSIST_WAIT_MS_MAX};
use crate::store::{LedgerError, Recorded};

use super::Broker;

/// Until when what begins now is tried.
pub(super) fn patience() -> Instant {
    let now = Instant::now();
    now.checked_add(Duration::from_millis(INSIST_MS_MAX)).unwrap_or(now)
}

impl Broker {
    /// Submits, and again while the queue is full: once at least, and no later than `end`.
    pub(super) async fn insist(&self, command: Command, end: Instant) -> Result<Recorded, LedgerError> {
        tried(end, || self.ledger.submit(command.clone())).await
    }
}

async fn tried<T, F>(end: Instant, mut submit: impl FnMut() -> F) -> Result<T, LedgerError>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let mut wait = Duration::from_millis(INSIST_WAIT_MS);
    loop {
        let done = submit().await;
        let late = Instant::now().checked_add(wait).is_none_or(|next| next > end);
        if late || !matches!(done, Err(LedgerError::Busy)) {
            return done;
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(Duration::from_millis(INSIST_WAIT_MS_MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_waited_for_until_one_moment_however_much_is_to_be_done() {
        let (began, end) = (Instant::now(), patience());
        for _ in 0..64 {
            let done: Result<(), _> = tried(end, || ready(Err(LedgerError::Busy))).await;
            assert!(matches!(done, Err(LedgerError::Busy)));
        }
        assert!(began.elapsed() <= Duration::from_millis(INSIST_MS_MAX), "all of it, not each");
        let mut tries = 0;
        let done = tried(patience(), || {
            tries += 1;
            ready(if tries < 5 { Err(LedgerError::Busy) } else { Ok(tries) })
        });
        assert_eq!(done.await.ok(), Some(5));
        // Everything else is no matter of patience.
        let mut tries = 0;
        let done: Result<(), _> = tried(patience(), || {
            tries += 1;
            ready(Err(LedgerError::EmergencyFull))
        })
        .await;
        assert!(matches!((done, tries), (Err(LedgerError::EmergencyFull), 1)));
    }
}
