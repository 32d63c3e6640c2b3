//! The daemon's own log: JSON lines or readable text on stderr. What is counted is in `api/metrics.rs`.

use std::ffi::OsStr;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How the lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, for collectors.
    #[default]
    Json,
    /// For people, in colours where the terminal has them.
    Pretty,
}

/// The log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error("expected a level such as `info` or `warn,hotwork=debug`, got `{0}`")]
    Level(String, #[source] ParseError),
    /// There is a log already.
    #[error("the log was set up before")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up the log on stderr, once, for the whole process.
///
/// # Errors
/// When `level` is not a filter, or the log was set up before.
pub fn init(format: Format, level: &str, colours: bool) -> Result<(), TelemetryError> {
    let filter = filter(level)?;
    let result = match format {
        Format::Json => json(filter, std::io::stderr).try_init(),
        Format::Pretty => tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colours)
            .with_target(false)
            .with_writer(std::io::stderr)
            .finish()
            .try_init(),
    };
    result.map_err(TelemetryError::Twice)
}

/// Whether a terminal may be coloured, from the values of `NO_COLOR`, which says nothing when it is empty
/// (no-color.org), and of `TERM`, which is `dumb` where escapes are shown as they are.
pub fn wants_color(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// The libraries that read what peers send are heard from `error` on unless the level names them: they warn of single frames, so
/// that a peer could fill the disk with lines.
const PEERS: &str = "h2=error,hyper=error,hyper_util=error,rustls=error";

/// Checks a level, so that a configuration can be refused before anything starts.
///
/// # Errors
/// When it is not a filter.
pub fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    // Of two directives for one target the later is in force.
    EnvFilter::try_new(level)
        .and_then(|_| EnvFilter::try_new(format!("{PEERS},{level}")))
        .map_err(|error| TelemetryError::Level(level.to_owned(), error))
}

fn json<W>(filter: EnvFilter, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_json_object_with_its_fields_whatever_the_values_hold() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = json(filter("info").unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(name = "a\nb\u{1b}[0m\"", "state changed");
            tracing::debug!("not shown");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(line["message"], "state changed");
        assert_eq!(line["name"], "a\nb\u{1b}[0m\"");
    }

    #[test]
    fn what_a_peer_sends_writes_no_lines_unless_they_are_asked_for() {
        let lines = |level: &str| {
            let kept = Kept::default();
            let writer = kept.clone();
            let subscriber = json(filter(level).unwrap(), move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent");
                tracing::error!(target: "h2::proto", "broken");
                tracing::warn!(target: "hotwork::api", "ours");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            text.lines().count()
        };
        assert_eq!((lines("info"), lines("debug"), lines("info,h2=warn"), lines("off")), (2, 2, 3, 1));
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(filter("info,hotwork=debug").is_ok());
        assert!(filter("hotwork=loud").is_err());
    }
}
