//! `hotwork audit verify`: a log directory, a public key, and no broker.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::client::Context;
use super::failure::{Exit, Failure};
use super::text::clean;
use super::{files, table};
use crate::domain::note::VerifierKey;

/// Longest key or checkpoint file in bytes: a few lines, with witnesses' signatures.
const NOTE_BYTES_MAX: usize = 64 * 1024;
/// A check that is done sooner needs no progress bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// How far the check is.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Bytes checked.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A log that holds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Number of entries.
    pub entries: u64,
    /// Root hash, base64.
    pub root: String,
    /// Whether the witnessed checkpoint was found in it.
    pub witnessed: bool,
}

/// The first thing that does not hold, in words: segment, byte offset, entry, what.
#[derive(Clone, Debug)]
pub struct Damaged(pub String);

/// The one place that knows the store's verifier.
fn directory(
    _dir: &Path,
    _key: &VerifierKey,
    _witnessed: Option<&str>,
    _progress: &mut dyn FnMut(Seen),
) -> Result<Result<Verified, Damaged>, Failure> {
    Err(Failure::new(Exit::Failed, "not-built-in", "this build cannot verify a log directory")
        .hint("use a build of hotwork that has the store's verifier"))
}

/// Verifies the directory.
///
/// # Errors
/// With exit code 6 when it is damaged.
pub fn run(context: &Context, dir: &Path, key: &Path, checkpoint: Option<&Path>) -> Result<(), Failure> {
    let text = files::read(key, NOTE_BYTES_MAX)?;
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let key = VerifierKey::parse(text).map_err(|error| {
        Failure::usage(format!("--key: {error}")).hint("`hotwork audit key` prints it in the right form")
    })?;
    let witnessed = checkpoint.map(|path| files::read(path, NOTE_BYTES_MAX)).transpose()?;
    let witnessed = witnessed.as_ref().map(|bytes| std::str::from_utf8(bytes).unwrap_or_default());
    if !dir.is_dir() {
        return Err(Failure::file("open the directory", dir, &io::ErrorKind::NotADirectory.into()));
    }
    let mut bar = Bar::new(io::stderr().is_terminal());
    let outcome = directory(dir, &key, witnessed, &mut |seen| bar.at(seen));
    bar.end();
    match outcome? {
        Ok(verified) => show(context, &verified),
        Err(Damaged(what)) => Err(Failure::new(Exit::NegativeVerdict, "log-damaged", clean(&what)).hint(
            "keep the directory as it is, and compare it with another copy and with witnessed checkpoints",
        )),
    }
}

fn show(context: &Context, verified: &Verified) -> Result<(), Failure> {
    context.screen.show_value(
        verified,
        || vec![verified.root.clone()],
        |screen| {
            let witnessed = if verified.witnessed { "the checkpoint is part of it" } else { "" };
            let fields = [
                ("verdict", "every entry is as it was signed".to_owned()),
                ("entries", verified.entries.to_string()),
                ("root", verified.root.clone()),
                ("witnessed", witnessed.to_owned()),
            ];
            table::fields(screen, &fields)
        },
    )
}

/// A progress bar that comes only when it is needed.
struct Bar {
    start: Instant,
    terminal: bool,
    shown: Option<ProgressBar>,
}

impl Bar {
    fn new(terminal: bool) -> Self {
        Self { start: Instant::now(), terminal, shown: None }
    }

    fn at(&mut self, seen: Seen) {
        if self.shown.is_none() && self.terminal && self.start.elapsed() >= BAR_AFTER {
            let bar = ProgressBar::new(seen.total);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {eta} left") {
                bar.set_style(style);
            }
            self.shown = Some(bar);
        }
        if let Some(bar) = &self.shown {
            bar.set_position(seen.done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}
