//! `hotwork audit verify`: a log directory, a public key, and no broker.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::client::Context;
use super::failure::{Exit, Failure};
use super::text::clean;
use super::{files, table};
use crate::domain::note::VerifierKey;
use crate::store::verify::{self, AuditError, Progress, Report};

/// Longest key or checkpoint file in bytes: a few lines, with witnesses' signatures.
const NOTE_BYTES_MAX: usize = 64 * 1024;
/// A check that is done sooner needs no progress bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// A log that holds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    /// Number of entries.
    entries: u64,
    /// Root hash, base64, as in a checkpoint.
    root: String,
    /// Whether a checkpoint that was kept elsewhere was found in it.
    witnessed: bool,
    /// Entries that the emergency journal alone has until the next good start.
    emergency: u64,
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
    let outcome = verify::directory(dir, &key, witnessed, &mut |progress| bar.at(progress));
    bar.end();
    let report = outcome.map_err(|error| refused(&error))?;
    let root = STANDARD.encode(report.root.as_bytes());
    let Report { entries, witnessed, emergency, .. } = report;
    show(context, &Checked { entries, root, witnessed, emergency })
}

fn refused(error: &AuditError) -> Failure {
    match error {
        AuditError::Damaged(_) => {
            Failure::new(Exit::NegativeVerdict, "log-damaged", clean(&error.to_string())).hint(
                "keep the directory as it is, and compare it with another copy and with kept checkpoints",
            )
        }
        AuditError::Io { path, source } => Failure::file("read", path, source),
        AuditError::Witness => Failure::new(Exit::NegativeVerdict, "witness-unsigned", error.to_string())
            .hint("check that --key and --checkpoint are of the same log"),
    }
}

fn show(context: &Context, verified: &Checked) -> Result<(), Failure> {
    context.screen.show_value(
        verified,
        || vec![verified.root.clone()],
        |screen| {
            let emergency =
                if verified.emergency > 0 { verified.emergency.to_string() } else { String::new() };
            let witnessed = if verified.witnessed { "the checkpoint is part of it" } else { "" };
            let fields = [
                ("verdict", "every entry is as it was signed".to_owned()),
                ("entries", verified.entries.to_string()),
                ("root", verified.root.clone()),
                ("witnessed", witnessed.to_owned()),
                ("in emergency", emergency),
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

    fn at(&mut self, progress: Progress) {
        if self.shown.is_none() && self.terminal && self.start.elapsed() >= BAR_AFTER {
            let bar = ProgressBar::new(progress.bytes_total);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {eta} left") {
                bar.set_style(style);
            }
            self.shown = Some(bar);
        }
        if let Some(bar) = &self.shown {
            bar.set_position(progress.bytes);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}
