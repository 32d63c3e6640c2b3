//! `hotwork notify`: whether notices reach the people that they are for.

use super::args::operator::Notify;
use super::client::Context;
use super::duration::relative;
use super::failure::{Exit, Failure};
use super::{table, text};
use crate::proto::v1;

/// `hotwork notify`. Gives the exit code: 1 when nobody was told, 10 when some were and some were not.
///
/// # Errors
/// When the broker refuses, or can't be reached.
pub async fn run(context: &Context, command: &Notify) -> Result<u8, Failure> {
    let Notify::Test { name } = command;
    let mut client = context.admin().await?;
    let name = name.as_ref().map(ToString::to_string).unwrap_or_default();
    let message = context.request(v1::TestNotifierRequest { name });
    let answer = context.call(client.test_notifier(message)).await.map_err(|failure| match failure.code {
        "NOT_FOUND" => {
            failure.hint("the names are those of [[notify]] in hotworkd.toml; `hotwork status` shows them")
        }
        _ => failure,
    })?;
    let told = answer.tests.iter().filter(|test| test.delivered).count();
    let names = || answer.tests.iter().map(|test| test.name.clone()).collect();
    context.screen.show(&answer, names, |screen| {
        let rows: Vec<_> = answer.tests.iter().map(row).collect();
        table::rows(screen, ["NOTIFIER", "TOLD", "PROBLEM"], &rows)
    })?;
    if told == answer.tests.len() {
        return Ok(0);
    }
    context.screen.note("not everybody was told; `hotworkd check` looks at the files with the secrets");
    Ok(if told == 0 { Exit::Failed } else { Exit::Partial }.number())
}

fn row(test: &v1::NotifierTest) -> [String; 3] {
    let told = if test.delivered { "yes" } else { "no" };
    [test.name.clone(), told.to_owned(), test.problem.clone()]
}

/// One line of `hotwork status` about a destination.
pub fn told(notifier: &v1::Notifier, now: i64) -> String {
    let mut line = match notifier.pending {
        0 => format!("{}: all delivered", notifier.name),
        pending => {
            let oldest = relative(notifier.oldest_pending_time.as_ref(), now);
            format!("{}: {pending} UNDELIVERED, the oldest of {oldest}", notifier.name)
        }
    };
    if notifier.failed > 0 {
        line = format!("{line}, {} given up", notifier.failed);
    }
    if !notifier.problem.is_empty() {
        line = format!("{line}, {}", notifier.problem);
    }
    text::clean(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_with_its_age_and_why() {
        let notifier = v1::Notifier {
            name: "oncall".to_owned(),
            pending: 2,
            oldest_pending_time: Some(prost_types::Timestamp { seconds: 40, nanos: 0 }),
            failed: 1,
            problem: "connect: refused\u{1b}[2J".to_owned(),
            ..v1::Notifier::default()
        };
        let line = told(&notifier, 100);
        assert!(
            line.starts_with("oncall: 2 UNDELIVERED, the oldest of 1m ago, 1 given up, connect: refused")
        );
        assert!(!line.contains('\u{1b}'));
        let quiet = v1::Notifier { name: "oncall".to_owned(), ..v1::Notifier::default() };
        assert_eq!(told(&quiet, 100), "oncall: all delivered");
    }
}
