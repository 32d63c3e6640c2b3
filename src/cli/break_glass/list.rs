//! `break-glass list`: sessions, what can be signed, playbooks.

use crate::cli::client::Context;
use crate::cli::duration::{absolute, now, relative, spoken};
use crate::cli::failure::Failure;
use crate::cli::output::Screen;
use crate::cli::{table, words};
use crate::proto::v1;

/// `hotwork break-glass list`.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let mut client = context.break_glass().await?;
    let answer = context.call(client.list(context.request(v1::ListRequest {}))).await?;
    let names = || answer.sessions.iter().map(|session| session.id.clone()).collect();
    context.screen.show(&answer, names, |screen| shown(screen, &answer))
}

fn shown(screen: &Screen, answer: &v1::ListResponse) -> String {
    let mut text = sessions(screen, &answer.sessions);
    if !answer.proposals.is_empty() {
        text.push('\n');
        text.push_str(&proposals(screen, &answer.proposals));
    }
    text.push('\n');
    text.push_str(&playbooks(screen, &answer.playbooks));
    let drill =
        answer.last_drill_time.as_ref().map_or_else(|| "never".to_owned(), |time| absolute(Some(time)));
    text.push_str(&format!("\nlast drill: {drill}\n"));
    text
}

fn sessions(screen: &Screen, sessions: &[v1::Session]) -> String {
    let now = now();
    let row = |session: &v1::Session| {
        let drill = if session.drill { " (drill)" } else { "" };
        [
            session.id.clone(),
            words::session_state(session.state),
            format!("{}{drill}", session.playbook),
            session.ticket.clone(),
            relative(session.end_time.as_ref(), now),
            session.signed_by.join(", "),
        ]
    };
    let rows: Vec<_> = sessions.iter().map(row).collect();
    table::rows(screen, ["SESSION", "STATE", "PLAYBOOK", "TICKET", "ENDS", "SIGNED BY"], &rows)
}

fn proposals(screen: &Screen, proposals: &[v1::Proposal]) -> String {
    let now = now();
    let row = |proposal: &v1::Proposal| {
        let said = |key: &str| {
            let line = proposal.statement.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        [
            proposal.statement_id.get(..12).unwrap_or_default().to_owned(),
            said("asks"),
            said("playbook"),
            said("ticket"),
            format!("{} of {}", proposal.signed_by.len(), proposal.signers_needed),
            proposal.signed_by.join(", "),
            relative(proposal.sign_before.as_ref(), now),
        ]
    };
    let rows: Vec<_> = proposals.iter().map(row).collect();
    table::rows(screen, ["TO SIGN", "ASKS", "PLAYBOOK", "TICKET", "SIGNERS", "SIGNED BY", "ENDS"], &rows)
}

fn playbooks(screen: &Screen, playbooks: &[v1::Playbook]) -> String {
    let row = |playbook: &v1::Playbook| {
        let scope = playbook.scope.clone().unwrap_or_default();
        let longest = playbook.duration_max.map_or(0, |duration| duration.seconds.max(0).unsigned_abs());
        let does = if scope.actions.is_empty() {
            let shut = scope.locks.iter().map(|what| format!("locks {what}"));
            shut.chain(scope.revokes.iter().map(|what| format!("revokes {what}")))
                .collect::<Vec<_>>()
                .join("; ")
        } else {
            format!("{} on {}", scope.actions.join(", "), scope.resources.join(", "))
        };
        [
            playbook.name.clone(),
            playbook.signers_needed.to_string(),
            spoken(longest),
            does,
            playbook.purpose.clone(),
        ]
    };
    let rows: Vec<_> = playbooks.iter().map(row).collect();
    table::rows(screen, ["PLAYBOOK", "SIGNERS", "LASTS", "DOES", "PURPOSE"], &rows)
}
