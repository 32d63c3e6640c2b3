//! The countdown of an open session, on a terminal only.

use std::time::Duration;

use tokio::time::sleep;

use super::Client;
use crate::cli::client::Context;
use crate::cli::duration::{now, spoken};
use crate::cli::failure::Failure;
use crate::cli::text::clean;
use crate::proto::v1;

/// How often the broker is asked whether the session is still open.
const ASK_EVERY: u64 = 5;

/// What to do with an open session: one that has shut something gives no credentials, and its end lifts no lock.
pub(super) fn advice(progress: &v1::Progress) -> String {
    let session = clean(&progress.session);
    if !progress.locks.is_empty() || progress.revocations > 0 {
        return format!(
            "now:   hotwork lock list\n\
             later: hotwork break-glass extend {session} --reason TEXT --ssh-key KEY\n\
             done:  hotwork lock rm LOCK for each, then\n       \
             hotwork break-glass close {session} --reason TEXT"
        );
    }
    format!(
        "now:   hotwork issue --break-glass {session} ACTION --resource RESOURCE\n\
         later: hotwork break-glass extend {session} --reason TEXT --ssh-key KEY\n\
         done:  hotwork break-glass close {session} --reason TEXT"
    )
}

/// Shows how long the session lasts, until it ends or the terminal interrupts: the session stays as it is.
pub(super) async fn banner(context: &Context, client: &mut Client, session: &str) -> Result<(), Failure> {
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
        counted = count(context, client, session) => counted,
    }
}

async fn count(context: &Context, client: &mut Client, session: &str) -> Result<(), Failure> {
    let mut ends = None;
    for second in 0_u64.. {
        if second % ASK_EVERY == 0 {
            ends = end(context, client, session).await?;
        }
        let left = ends.map_or(0, |ends: i64| u64::try_from(ends.saturating_sub(now())).unwrap_or_default());
        if left == 0 {
            context.screen.line("\rBREAK-GLASS is over                        \n");
            return Ok(());
        }
        context.screen.line(&format!("\rBREAK-GLASS OPEN, ends in {:<12}", spoken(left)));
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
        assert!(
            advice(&expands).contains("issue --break-glass 01a216c1") && !advice(&expands).contains("lock")
        );
        for shut in
            [v1::Progress { locks: vec![7], ..expands.clone() }, v1::Progress { revocations: 1, ..expands }]
        {
            assert!(advice(&shut).contains("lock rm") && !advice(&shut).contains("issue"));
        }
    }
}
