//! Who is told when something happens that a person should know.
//!
//! A notifier must not block and must not fail the use case: what has to be durable is in the ledger, and the
//! [`outbox`] follows it. The rest of the room is how a notice gets to somebody: formats, HTTP, programs.

mod command;
mod cursor;
pub mod desk;
pub mod destination;
pub mod document;
mod format;
pub mod notice;
mod openings;
pub mod outbox;
mod post;
mod queue;
mod refusals;
pub mod secret;
pub mod url;

use std::fmt;

pub use document::Document;
pub use notice::{Kind, Notice, Severity};

/// Tells somebody. An implementer promises not to block, not to panic, and never to send evidence, tokens
/// or keys.
pub trait Notifier: Send + Sync {
    /// Tells of `notice`.
    fn notify(&self, notice: &Notice);
}

/// Tells the daemon's own log: emergencies as errors, which a person must act on now.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

impl Notifier for LogNotifier {
    fn notify(&self, notice: &Notice) {
        let (kind, details) = (notice.kind(), Details(notice));
        match notice.severity() {
            Severity::Critical => tracing::error!(%kind, %details, "notice: {}", notice.summary()),
            Severity::Info => tracing::info!(%kind, %details, "notice: {}", notice.summary()),
            Severity::Warning => tracing::warn!(%kind, %details, "notice: {}", notice.summary()),
        }
    }
}

/// A notice's details as one JSON object.
struct Details<'a>(&'a Notice);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.details())
    }
}

/// The test double: keeps what it was told.
#[derive(Debug, Default)]
pub struct KeptNotices(std::sync::Mutex<Vec<Notice>>);

impl KeptNotices {
    /// What was told so far, oldest first.
    pub fn all(&self) -> Vec<Notice> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Notifier for KeptNotices {
    fn notify(&self, notice: &Notice) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(notice.clone());
    }
}
