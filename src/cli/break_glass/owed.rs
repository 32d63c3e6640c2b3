//! What stands in the way of another session of a playbook: those of it that nobody has reviewed.

use crate::cli::duration::{now, relative};
use crate::cli::text::clean;
use crate::proto::v1;

/// Says which reviews are owed, and that one more person signs for that.
pub(super) fn said(unreviewed: &[v1::Session], more: i32) -> Option<String> {
    if unreviewed.is_empty() {
        return None;
    }
    let mut lines: Vec<String> = unreviewed.iter().map(line).collect();
    if more > 0 {
        lines.push(
            "therefore one more person must sign than the playbook says, until that is reviewed".to_owned(),
        );
    }
    Some(lines.join("\n"))
}

fn line(session: &v1::Session) -> String {
    let (id, ticket) = (clean(&session.id), clean(&session.ticket));
    let what = match session.state() {
        v1::SessionState::Open => return format!("session {id} ({ticket}) of this playbook is still open"),
        v1::SessionState::ReviewOverdue => "is OVERDUE",
        v1::SessionState::ReviewOwed | v1::SessionState::Unspecified => "is owed",
    };
    let ended = relative(session.end_time.as_ref(), now());
    format!(
        "the review of session {id} ({ticket}, ended {ended}) {what}; somebody who did not sign it looks at it:\n  \
         hotwork break-glass review {id} --finding TEXT"
    )
}
