//! The countdown of an open session, on a terminal only.

use std::time::Duration;

use tokio::time::sleep;

use super::Client;
use crate::cli::client::Context;
use crate::cli::duration::{now, spoken};
use crate::cli::failure::Failure;
use crate::cli::text::clean;
use crate::domain::break_glass::text::What;
use crate::domain::statement::Statement;
use crate::proto::v1;

/// How often the broker is asked whether the session is still open.
const ASK_EVERY: u64 = 5;

/// What a session is for those who work under it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kind {
    /// Whether nothing that it gives is worth anything, and it shuts nothing.
    drill: bool,
    /// Whether it takes away, and gives no credentials.
    restricts: bool,
}

impl Kind {
    /// As the text that was signed says it. That of an extension says neither.
    pub(super) fn of(text: Option<&Statement>, what: Option<&What>) -> Self {
        let says = |key: &str| text.is_some_and(|text| text.value(key).is_some());
        let drill = matches!(what, Some(What::Open { drill: true, .. }));
        Self { drill, restricts: says("locks") || says("revokes") }
    }
}

/// What to do with an open session: one that has shut something gives no credentials, and its end lifts no lock.
pub(super) fn advice(progress: &v1::Progress, kind: Kind) -> String {
    let session = clean(&progress.session);
    let later = format!("later: hotwork break-glass extend {session} --reason TEXT --ssh-key KEY");
    let close = format!("hotwork break-glass close {session} --reason TEXT");
    if !progress.locks.is_empty() || progress.revocations > 0 {
        let done = format!("done:  hotwork lock rm LOCK for each, then\n       {close}");
        return format!("now:   hotwork lock list\n{later}\n{done}");
    }
    let issue = format!("hotwork issue --break-glass {session} ACTION --resource RESOURCE");
    let now = match (kind.restricts, kind.drill) {
        (true, true) => {
            "now:   nothing: a drill shuts nothing, and this playbook gives no credentials".to_owned()
        }
        (true, false) => "now:   hotwork lock list".to_owned(),
        (false, true) => format!("now:   {issue}\n       what it gives is refused everywhere: it is a drill"),
        (false, false) => format!("now:   {issue}"),
    };
    format!("{now}\n{later}\ndone:  {close}")
}

/// Shows how long the session lasts, until it ends or the terminal interrupts: the session stays as it is.
pub(super) async fn banner(
    context: &Context,
    client: &mut Client,
    session: &str,
    kind: Kind,
) -> Result<(), Failure> {
    if !(context.screen.interactive && context.screen.terminal) {
        return Ok(());
    }
    context.screen.note("the countdown can be left with Ctrl-C; the session stays open");
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        _ = interrupted => {
            context.screen.note("");
            Ok(())
        }
        counted = count(context, client, session, kind) => counted,
    }
}

async fn count(context: &Context, client: &mut Client, session: &str, kind: Kind) -> Result<(), Failure> {
    let name = if kind.drill { "BREAK-GLASS DRILL" } else { "BREAK-GLASS" };
    let mut ends = None;
    for second in 0_u64.. {
        if second % ASK_EVERY == 0 {
            ends = end(context, client, session).await?;
        }
        let left = ends.map_or(0, |ends: i64| u64::try_from(ends.saturating_sub(now())).unwrap_or_default());
        if left == 0 {
            context.screen.line(&format!("\r{name} is over                        \n"));
            return Ok(());
        }
        context.screen.line(&format!("\r{name} OPEN, ends in {:<12}", spoken(left)));
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// The end of the session in seconds, while it is open.
async fn end(context: &Context, client: &mut Client, session: &str) -> Result<Option<i64>, Failure> {
    let answer = context.call(client.list(context.request(v1::ListRequest {}))).await?;
    let open = |one: &&v1::Session| one.id == session && one.state() == v1::SessionState::Open;
    Ok(answer.sessions.iter().find(open).and_then(|one| one.end_time).map(|time| time.seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_shut_something_gives_no_credentials() {
        let session = "01a216c1-eef7-7bad-9e98-f041377f3e4b".to_owned();
        let expands = v1::Progress { session, ..v1::Progress::default() };
        let told = |progress: &v1::Progress, drill, restricts| advice(progress, Kind { drill, restricts });
        let plain = told(&expands, false, false);
        assert!(plain.contains("issue --break-glass 01a216c1") && !plain.contains("lock"), "{plain}");
        for shut in [
            v1::Progress { locks: vec![7], ..expands.clone() },
            v1::Progress { revocations: 1, ..expands.clone() },
        ] {
            let shut = told(&shut, false, true);
            assert!(shut.contains("lock rm") && !shut.contains("issue"), "{shut}");
        }
        // A drill shuts nothing, so that what it did does not tell what it is.
        let brake = told(&expands, true, true);
        assert!(!brake.contains("issue") && !brake.contains("lock") && brake.contains("drill"), "{brake}");
        assert!(told(&expands, true, false).contains("is refused everywhere"));
        assert!(!told(&expands, false, true).contains("issue"), "nothing of it could be shut");
    }
}
