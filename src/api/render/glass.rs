//! Break-glass on the wire.

use std::fmt::Display;

use crate::broker::break_glass::{GlassProgress, GlassView, Prepared, ProposalView, SessionView};
use crate::domain::break_glass::{Phase, Signature, Step};
use crate::domain::digest::Digest;
use crate::domain::playbook::{Playbook, Restriction, Scope};
use crate::proto::v1;

use super::timestamp;

/// What is to be signed.
pub fn prepared(prepared: &Prepared) -> v1::PrepareResponse {
    v1::PrepareResponse {
        statement: prepared.statement.as_str().to_owned(),
        statement_id: prepared.proposal.statement.to_string(),
        sign_before: Some(timestamp(prepared.proposal.until)),
        signers_needed: count(prepared.needed),
        signers_able: texts(&prepared.able),
        signers_more: count(prepared.needed.saturating_sub(prepared.proposal.quorum.count())),
        unreviewed: prepared.unreviewed.iter().map(session).collect(),
        clock_doubted_since: prepared.doubted.map(timestamp),
    }
}

/// What a signature did.
pub fn progress(progress: &GlassProgress) -> v1::Progress {
    let restricted = progress.restricted.clone().unwrap_or_default();
    v1::Progress {
        statement_id: statement(&progress.step).map(|id| id.to_string()).unwrap_or_default(),
        signed_by: signers(&progress.signatures),
        signers_needed: count(progress.needed),
        signers_able: texts(&progress.able),
        signers_more: count(progress.more),
        unreviewed: progress.unreviewed.iter().map(session).collect(),
        session: progress.session.map(|session| session.to_string()).unwrap_or_default(),
        end_time: progress.until.map(timestamp),
        locks: restricted.locks,
        revocations: count(restricted.revocations),
        failures: restricted.failed,
        time: Some(timestamp(progress.time)),
        log_index: progress.index,
    }
}

/// What an operator sees.
pub fn list(view: &GlassView) -> v1::ListResponse {
    v1::ListResponse {
        sessions: view.sessions.iter().map(session).collect(),
        proposals: view.proposals.iter().map(proposal).collect(),
        playbooks: view.playbooks.iter().map(|one| playbook(one)).collect(),
        last_drill_time: view.last_drill.map(timestamp),
        clock_doubted_since: view.doubted.map(timestamp),
    }
}

fn session(view: &SessionView) -> v1::Session {
    let held = &view.held;
    let state = match view.phase {
        Phase::Open => v1::SessionState::Open,
        Phase::Over => v1::SessionState::ReviewOwed,
        Phase::Overdue => v1::SessionState::ReviewOverdue,
    };
    let ended = held.closed.as_ref().map_or(held.until, |over| over.time.min(held.until));
    v1::Session {
        id: held.session.to_string(),
        state: state.into(),
        playbook: held.opening.playbook.to_string(),
        ticket: held.opening.ticket.to_string(),
        reason: held.opening.reason.to_string(),
        drill: held.opening.drill,
        open_time: Some(timestamp(held.opened)),
        end_time: Some(timestamp(ended)),
        signed_by: signers(&held.signatures),
        closed_by: held.closed.as_ref().map(|over| over.closing.operator.to_string()).unwrap_or_default(),
        scope: Some(scope(&held.opening.scope)),
        log_index: held.index,
    }
}

fn proposal(view: &ProposalView) -> v1::Proposal {
    v1::Proposal {
        statement_id: view.pending.proposal.statement.to_string(),
        statement: view.statement.as_str().to_owned(),
        signed_by: signers(&view.signatures),
        signers_needed: count(view.needed),
        signers_able: texts(&view.able),
        sign_before: Some(timestamp(view.pending.proposal.until)),
    }
}

fn playbook(playbook: &Playbook) -> v1::Playbook {
    v1::Playbook {
        name: playbook.name.to_string(),
        purpose: playbook.purpose.to_string(),
        signers_needed: count(playbook.quorum.count()),
        duration_max: Some(prost_types::Duration { seconds: playbook.seconds_max.into(), nanos: 0 }),
        scope: Some(scope(&playbook.scope)),
    }
}

fn scope(scope: &Scope) -> v1::Scope {
    match scope {
        Scope::Expand(expansion) => v1::Scope {
            actions: texts(&expansion.actions),
            agents: texts(&expansion.agents),
            resources: texts(&expansion.resources),
            ..v1::Scope::default()
        },
        Scope::Restrict(Restriction { lock, revoke }) => {
            v1::Scope { locks: texts(lock), revokes: texts(revoke), ..v1::Scope::default() }
        }
    }
}

/// The text that a step is about.
const fn statement(step: &Step) -> Option<Digest> {
    match step {
        Step::Close(_) | Step::Restrict(_) | Step::Review(_) => None,
        Step::Extend(extended) => Some(extended.proposal.statement),
        Step::Open(opened) => Some(opened.proposal.statement),
        Step::Propose(proposed) => Some(proposed.proposal.statement),
        Step::Sign(signed) => Some(signed.statement),
    }
}

/// People, each once, in the order of their first signature.
fn signers(signatures: &[Signature]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for signature in signatures {
        let name = signature.operator.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn texts<T: Display>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
