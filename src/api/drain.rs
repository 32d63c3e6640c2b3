//! Drain: the signal to stop taking work and to end what is in flight.

use tokio::sync::watch;

/// The side that starts the drain. Dropping it starts it too, so that a listener can't outlive its owner.
#[derive(Debug)]
pub struct DrainStart(watch::Sender<bool>);

/// The side that listeners watch.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

/// A drain that has not begun.
pub fn drain() -> (DrainStart, Drain) {
    let (sender, receiver) = watch::channel(false);
    (DrainStart(sender), Drain(receiver))
}

impl From<watch::Receiver<bool>> for Drain {
    /// A drain that begins when the value becomes true, or its sender is gone.
    fn from(stopped: watch::Receiver<bool>) -> Self {
        Self(stopped)
    }
}

impl DrainStart {
    /// Begins it. There is no way back.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Ends when it has begun.
    pub async fn begun(&self) {
        let mut receiver = self.0.clone();
        // An error means that the other side is gone, which is a beginning too.
        let _gone = receiver.wait_for(|begun| *begun).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_who_watches_sees_a_drain_begin() {
        let (start, drain) = drain();
        let other = drain.clone();
        assert!(!drain.has_begun());
        start.begin();
        drain.begun().await;
        other.begun().await;
        assert!(drain.has_begun());
    }

    #[tokio::test]
    async fn a_drain_begins_when_its_owner_is_gone() {
        let (start, drain) = drain();
        drop(start);
        drain.begun().await;
        assert!(drain.has_begun());
    }
}
