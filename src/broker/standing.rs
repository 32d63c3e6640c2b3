//! Standing: whether the certificate that opened a connection is good *now*. Asked for every RPC, and
//! waited for beside it, because a connection must not outlive what it was opened with (promise P6).

use std::future::Future;
use std::time::Duration;

use crate::attest::x509::{Certified, Standing};
use crate::domain::clock::Untrustworthy;

use super::Broker;

/// Why a peer's certificate is not good.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StandingError {
    /// The time can't be told, so nobody knows.
    #[error(transparent)]
    Clock(#[from] Untrustworthy),
    /// It has ended by itself.
    #[error("the client certificate has expired")]
    Expired,
    /// It is not enrolled: it was removed, or never was.
    #[error("the client certificate is not enrolled, or was removed")]
    Removed,
}

impl Broker {
    /// Whether the peer's certificate is good now.
    ///
    /// # Errors
    /// [`StandingError`]; then nothing is served.
    pub fn check_standing(&self, peer: &Certified) -> Result<(), StandingError> {
        let now = self.clock.now()?;
        if now >= peer.expires {
            return Err(StandingError::Expired);
        }
        match &peer.standing {
            Standing::Enrolled(who, serial) if self.ledger.enrollments().holds(serial, who, now) => Ok(()),
            Standing::Enrolled(..) => Err(StandingError::Removed),
            // A workload that was taken out of the registry is nobody, which attestation finds out.
            Standing::Workload(_) => Ok(()),
        }
    }

    /// Ends when the peer's certificate is no longer good, at the latest after `longest`.
    pub fn standing_ends(&self, peer: &Certified, longest: Duration) -> impl Future<Output = ()> + use<> {
        let left = self.clock.now().map_or(0, |now| peer.expires.millis_since(now));
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default()).min(longest);
        let mut enrollments = self.ledger.watch_enrollments();
        let standing = peer.standing.clone();
        let (clock, expires) = (std::sync::Arc::clone(&self.clock), peer.expires);
        let removed = async move {
            let Standing::Enrolled(who, serial) = &standing else { return std::future::pending().await };
            loop {
                let now = clock.now().unwrap_or(expires);
                if !enrollments.borrow_and_update().holds(serial, who, now) {
                    return;
                }
                // Without a ledger nobody vouches for anybody.
                if enrollments.changed().await.is_err() {
                    return;
                }
            }
        };
        async move {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = removed => {}
            }
        }
    }
}
