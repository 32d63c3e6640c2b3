//! What the process is told by signals, from its first start on.
//!
//! A handler stays when the runtime that asked for it goes, and a signal that comes while the daemon starts anew would
//! reach nobody. So one thread listens for as long as the process lives, and says what it heard to whoever serves.

use std::io;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::Failure;

/// What was heard so far.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// SIGTERM or SIGINT.
    stop: bool,
    /// SIGHUPs.
    reloads: u64,
}

/// The signals of the process, as one who serves has heard them. A clone has heard as much.
#[derive(Clone)]
pub(super) struct Signals {
    told: watch::Receiver<Heard>,
    /// SIGHUPs that were answered.
    reloads: u64,
}

/// What somebody wants of whoever serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Load the registry anew.
    Reload,
    /// Stop.
    Stop,
}

impl Signals {
    /// Listens from now on. Before, a signal does what it does to every process.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn listen() -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(format!("signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listening = {
            let _inside = runtime.enter();
            Listening::new().map_err(failed)?
        };
        let (heard, told) = watch::channel(Heard::default());
        let note = move || runtime.block_on(listening.note(&heard));
        thread::Builder::new().name("signals".to_owned()).spawn(note).map_err(failed)?;
        Ok(Self { told, reloads: 0 })
    }

    /// Those of a process to which nobody says anything, until the sender is dropped.
    #[cfg(test)]
    pub(super) fn silent() -> (impl Drop, Self) {
        let (heard, told) = watch::channel(Heard::default());
        (heard, Self { told, reloads: 0 })
    }

    /// The next thing that somebody wants; at once what was wanted before this was asked and not answered.
    pub(super) async fn next(&mut self) -> Wanted {
        let answered = self.reloads;
        let new = |heard: &Heard| heard.stop || heard.reloads != answered;
        match self.told.wait_for(new).await.map(|heard| *heard) {
            Ok(Heard { stop: false, reloads }) => {
                self.reloads = reloads;
                Wanted::Reload
            }
            // Without the thread nobody could stop the daemon any more.
            Ok(Heard { stop: true, .. }) | Err(_) => Wanted::Stop,
        }
    }

    /// Ends when somebody wants the daemon to stop.
    pub(super) async fn stopped(&mut self) {
        let _thread_ended = self.told.wait_for(|heard| heard.stop).await.is_err();
    }
}

/// The signals that are listened to.
struct Listening {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Listening {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn note(mut self, heard: &watch::Sender<Heard>) {
        loop {
            let stop = tokio::select! {
                _ = self.terminate.recv() => true,
                _ = self.interrupt.recv() => true,
                _ = self.hangup.recv() => false,
            };
            heard.send_modify(|heard| {
                heard.stop |= stop;
                heard.reloads = heard.reloads.wrapping_add(u64::from(!stop));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_said_before_it_was_asked_is_heard_once_and_a_stop_for_ever() {
        let (heard, told) = watch::channel(Heard::default());
        let mut signals = Signals { told, reloads: 0 };
        heard.send_modify(|heard| heard.reloads = 2);
        let mut other = signals.clone();
        assert_eq!(signals.next().await, Wanted::Reload);
        assert_eq!(other.next().await, Wanted::Reload);
        heard.send_modify(|heard| heard.stop = true);
        for _ in 0..2 {
            assert_eq!(signals.next().await, Wanted::Stop);
            signals.stopped().await;
        }
        drop(heard);
        let (_, told) = watch::channel(Heard::default());
        assert_eq!(Signals { told, reloads: 0 }.next().await, Wanted::Stop);
    }
}
