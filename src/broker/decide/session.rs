//! Decisions under a break-glass session.

use std::sync::Arc;

use crate::broker::announce::Announced;
use crate::domain::agent::Agent;
use crate::domain::break_glass::{Held, Phase};
use crate::domain::denial::Reason;
use crate::domain::id::Lineage;
use crate::domain::playbook::Expansion;
use crate::domain::request::ActionRequest;
use crate::domain::time::Timestamp;

use super::{Allowed, Denied, Holder, Rules, capped};

/// The open session of this id that is for this agent. Anybody else gets the answer of one that is not there.
pub(super) fn open(
    session: Option<&Announced>,
    id: Lineage,
    agent: &Agent,
    now: Timestamp,
) -> Result<Arc<Held>, Reason> {
    let held = session.map(Announced::held).filter(|held| held.session == id);
    let open = held.filter(|held| held.phase(now) == Phase::Open);
    let for_agent = |held: &&Arc<Held>| {
        held.opening.scope.expansion().is_some_and(|expansion| expansion.agents.contains(&agent.id))
    };
    open.filter(for_agent).map(Arc::clone).ok_or(Reason::SessionNotOpen)
}

/// The decision under a break-glass session: what was signed stands in the place of the policies and of the tier. The
/// catalogue's caps hold all the same.
pub(super) fn judge<'a>(
    held: &Held,
    rules: &'a Rules,
    agent: &Agent,
    request: &ActionRequest,
    holder: &Holder,
    now: Timestamp,
) -> Result<Allowed<'a>, Denied> {
    let (api, action) = capped(rules, agent, request, holder, now)?;
    let covers = |expansion: &Expansion| expansion.covers(&agent.id, &request.action, &request.resource);
    if held.opening.scope.expansion().is_some_and(covers) {
        return Ok((Vec::new(), api, action));
    }
    Err(Reason::SessionScope.into())
}
