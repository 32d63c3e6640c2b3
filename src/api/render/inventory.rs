//! Agents, APIs, actions, explanations and status as the wire shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::api::published::Published;
use crate::attest::Attested;
use crate::broker::Rules;
use crate::broker::announce::Tried;
use crate::broker::break_glass::GlassStatus;
use crate::broker::explain::Explained;
use crate::broker::inventory::{AgentView, Live, Status};
use crate::domain::agent::{AgentState, Day, Rule};
use crate::domain::catalogue::{Access, Action, Api, ApiState, Binding, Tier};
use crate::domain::denial::Reason;
use crate::domain::entry::{Entry, Event};
use crate::domain::lost_feed::Grace;
use crate::domain::parameter::{ParameterKind, ParameterRule};
use crate::notify::desk::DestinationView;
use crate::proto::v1;

use super::credential::tier;
use super::timestamp;

/// An agent's entry with what the ledger knows of it.
pub fn agent(view: &AgentView) -> v1::Agent {
    let entry = &view.entry;
    v1::Agent {
        id: view.id.clone(),
        tenant: entry.tenant.to_string(),
        owner: entry.owner.to_string(),
        purpose: entry.purpose.to_string(),
        state: agent_state(entry.state).to_owned(),
        review_date: day(entry.review),
        rules: entry.rules.iter().map(rule).collect(),
        groups: entry.groups.iter().map(ToString::to_string).collect(),
        live_credentials: view.live.count,
        last_issue_time: view.last_issue.map(timestamp),
        live_is_upper_bound: view.live.at_most,
        principal: entry.principal.as_deref().unwrap_or_default().to_owned(),
        identity_certificate: entry.identity.is_some(),
        server_names: entry.identity.iter().flat_map(|own| &own.names).map(ToString::to_string).collect(),
    }
}

const fn agent_state(state: AgentState) -> &'static str {
    match state {
        AgentState::Active => "active",
        AgentState::Suspended => "suspended",
    }
}

fn rule(rule: &Rule) -> String {
    format!("{} = {}", rule.kind, rule.any_of.join(" | "))
}

/// A day as `YYYY-MM-DD`.
pub fn day(day: Day) -> String {
    // Days since the epoch fit a civil date for as long as the calendar has four-digit years.
    let date = i32::try_from(day.0).ok().and_then(|days| {
        jiff::civil::Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
    });
    date.map(|date| date.to_string()).unwrap_or_default()
}

/// Who the caller was attested to be.
pub fn who_am_i(attested: &Attested) -> v1::WhoAmIResponse {
    let agent = attested.agent();
    v1::WhoAmIResponse {
        agent: agent.id.to_string(),
        tenant: agent.id.tenant().to_string(),
        owner: agent.entry.owner.to_string(),
        purpose: agent.entry.purpose.to_string(),
        selectors: attested.evidence().selectors().map(ToString::to_string).collect(),
        evidence_sha256: attested.evidence().digest().to_string(),
        review_date: day(agent.entry.review),
    }
}

/// An API with its actions.
pub fn api(api: &Api) -> v1::Api {
    v1::Api {
        name: api.name.to_string(),
        tenant: api.tenant.to_string(),
        audience: api.audience.to_string(),
        owner: api.owner.to_string(),
        purpose: api.purpose.to_string(),
        state: api_state(api.state).to_owned(),
        actions: api.actions.iter().map(|each| action(api, each)).collect(),
        on_lost_feed: api.on_lost_feed.as_str().to_owned(),
        on_lost_feed_seconds_max: api.on_lost_feed.grace().map_or(0, Grace::seconds),
    }
}

const fn api_state(state: ApiState) -> &'static str {
    match state {
        ApiState::Active => "active",
        ApiState::Retired => "retired",
    }
}

/// An action of `api` with its limits.
pub fn action(api: &Api, action: &Action) -> v1::Action {
    v1::Action {
        name: action.name.to_string(),
        description: action.description.to_string(),
        access: access(action.access).into(),
        tier: tier(action.tier).into(),
        resource_pattern: action.resource.as_str().to_owned(),
        ttl_max: Some(prost_types::Duration { seconds: action.ttl_max.seconds().into(), nanos: 0 }),
        rate: action.rate.to_string(),
        parameters: action.parameters.iter().map(parameter_rule).collect(),
        audience: api.audience.to_string(),
        bearer_allowed: match api.binding {
            Binding::DangerousBearer => true,
            Binding::Required => false,
        },
        single_use: action.single_use,
        max_calls: action.max_calls.map_or(0, std::num::NonZeroU32::get),
        approvals: if action.tier == Tier::Approval { action.approvals.get().into() } else { 0 },
    }
}

/// An access class.
pub const fn access(access: Access) -> v1::Access {
    match access {
        Access::Destructive => v1::Access::Destructive,
        Access::Read => v1::Access::Read,
        Access::Write => v1::Access::Write,
    }
}

fn parameter_rule(rule: &ParameterRule) -> v1::ParameterRule {
    let mut message =
        v1::ParameterRule { name: rule.name.to_string(), required: rule.required, ..Default::default() };
    match &rule.kind {
        ParameterKind::Flag => message.r#type = "flag".to_owned(),
        ParameterKind::Integer { min, max } => {
            message.r#type = "integer".to_owned();
            (message.min, message.max) = (Some(*min), Some(*max));
        }
        ParameterKind::Text { one_of } => {
            message.r#type = "text".to_owned();
            message.one_of = one_of.iter().map(ToString::to_string).collect();
        }
    }
    message
}

/// A decision with what would be said now. `None` when the entry is no decision.
pub fn explanation(explained: &Explained) -> Option<v1::ExplainResponse> {
    let response = decision(&explained.entry)?;
    Some(v1::ExplainResponse {
        time: Some(timestamp(explained.entry.time)),
        now: explained.now.clone(),
        suggestion: explained.suggestion.clone(),
        log_index: explained.index,
        ..response
    })
}

fn decision(entry: &Entry) -> Option<v1::ExplainResponse> {
    match &entry.event {
        Event::Deny(denial) => Some(v1::ExplainResponse {
            decision_id: denial.id.to_string(),
            agent: denial.agent.to_string(),
            action: denial.action.to_string(),
            resource: denial.resource.to_string(),
            effect: v1::Effect::Deny.into(),
            reason: denial.reason.code().to_owned(),
            detail: denial.reason.meaning().to_owned(),
            policies: denial.policies.iter().map(ToString::to_string).collect(),
            registry_sha256: denial.registry.to_string(),
            ..Default::default()
        }),
        Event::Issue(issuance) => Some(v1::ExplainResponse {
            decision_id: issuance.id.to_string(),
            agent: issuance.agent.to_string(),
            action: issuance.action.to_string(),
            resource: issuance.resource.to_string(),
            effect: v1::Effect::Allow.into(),
            policies: issuance.policies.iter().map(ToString::to_string).collect(),
            credential_id: issuance.id.to_string(),
            registry_sha256: issuance.registry.to_string(),
            ..Default::default()
        }),
        Event::Ask(asked) => Some(v1::ExplainResponse {
            decision_id: asked.id.to_string(),
            agent: asked.terms.agent.to_string(),
            action: asked.terms.action.to_string(),
            resource: asked.terms.resource.to_string(),
            effect: v1::Effect::Pending.into(),
            reason: Reason::ApprovalRequired.code().to_owned(),
            detail: Reason::ApprovalRequired.meaning().to_owned(),
            policies: asked.policies.iter().map(ToString::to_string).collect(),
            registry_sha256: asked.registry.to_string(),
            ..Default::default()
        }),
        Event::BreakGlass(_)
        | Event::Call(_)
        | Event::Decide(_)
        | Event::Consume(_)
        | Event::Enroll(_)
        | Event::Emergency(_)
        | Event::Load(_)
        | Event::Merge(_)
        | Event::Lock(_)
        | Event::Release(_)
        | Event::Remove(_)
        | Event::Revoke(_)
        | Event::Rotate(_)
        | Event::Start(_)
        | Event::Unlock(_) => None,
    }
}

/// How the broker is.
pub fn status(status: &Status, live: Live, rules: &Rules, published: &Published) -> v1::GetStatusResponse {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    v1::GetStatusResponse {
        version: status.about.version.to_owned(),
        trust_domain: published.trust_domain.to_string(),
        start_time: Some(timestamp(published.started)),
        issuing: status.problem.is_none(),
        problem: status.problem.clone().unwrap_or_default(),
        registry_sha256: rules.registry.digest().to_string(),
        agents: count(rules.registry.agents().len()),
        policies: count(rules.policies.len()),
        log_size: status.ledger.size,
        log_root: STANDARD.encode(status.ledger.root.as_bytes()),
        live_credentials: live.count,
        live_is_upper_bound: live.at_most,
        dev: status.about.dev,
        revocation_epoch: status.feed.epoch,
        verifiers_connected: count(status.feed.connected),
        verifiers_current: count(status.feed.current),
        verifiers_away: count(status.feed.away),
        locks: count(status.locks),
        notifiers: status.notifiers.iter().map(notifier).collect(),
        break_glass: Some(break_glass(&status.break_glass)),
        emergency: status.emergency.is_some(),
    }
}

fn break_glass(status: &GlassStatus) -> v1::BreakGlassStatus {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let age = |age: std::time::Duration| {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        prost_types::Duration { seconds, nanos: 0 }
    };
    v1::BreakGlassStatus {
        sessions_open: count(status.open),
        reviews_owed: count(status.owed),
        reviews_overdue: count(status.overdue),
        proposals: count(status.proposals),
        drill_age: status.drill_age.map(age),
    }
}

fn notifier(view: &DestinationView) -> v1::Notifier {
    v1::Notifier {
        name: view.name.to_string(),
        pending: u64::try_from(view.pending).unwrap_or(u64::MAX),
        oldest_pending_time: view.oldest.map(timestamp),
        delivered: view.delivered,
        failed: view.failed,
        problem: view.problem.clone().unwrap_or_default(),
    }
}

/// What came of one try to tell a destination.
pub fn notifier_test(tried: &Tried) -> v1::NotifierTest {
    let problem = tried.outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
    v1::NotifierTest { name: tried.name.to_string(), delivered: tried.outcome.is_ok(), problem }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::render::credential::tests::record;
    use crate::domain::agent::AgentEntry;
    use crate::domain::entry::VERSION;
    use crate::domain::lost_feed::OnLostFeed;
    use crate::domain::time::{Timestamp, Ttl};

    #[test]
    fn days_are_dates() {
        for (days, text) in [(0, "1970-01-01"), (20_780, "2026-11-23"), (-1, "1969-12-31")] {
            assert_eq!(day(Day(days)), text);
        }
        assert_eq!(day(Day(i64::MAX)), "");
    }

    #[test]
    fn an_agent_shows_its_rules_as_they_are_declared() {
        let entry = AgentEntry {
            tenant: "acme".parse().unwrap(),
            name: "runner-{unix.uid}".parse().unwrap(),
            owner: "ann".into(),
            purpose: "builds".into(),
            principal: None,
            groups: vec!["ci".parse().unwrap()],
            rules: vec![Rule { kind: "unix.uid".parse().unwrap(), any_of: vec!["1".into(), "2".into()] }],
            review: Day(20_780),
            state: AgentState::Suspended,
            identity: None,
        };
        let view = AgentView {
            id: "x".into(),
            entry: Arc::new(entry),
            live: Live { count: 3, at_most: true },
            last_issue: None,
        };
        let shown = agent(&view);
        assert_eq!(shown.rules, ["unix.uid = 1 | 2"]);
        assert_eq!((shown.state.as_str(), shown.review_date.as_str()), ("suspended", "2026-11-23"));
        assert_eq!(shown.last_issue_time, None);
    }

    #[test]
    fn an_action_shows_its_limits() {
        let action = Action {
            name: "pay.invoice.settle".parse().unwrap(),
            description: "Pays".into(),
            access: Access::Destructive,
            resource: "invoice/{id}".parse().unwrap(),
            parameters: vec![ParameterRule {
                name: "amount".parse().unwrap(),
                required: true,
                kind: ParameterKind::Integer { min: 1, max: 500 },
            }],
            ttl_max: Ttl::from_seconds(60).unwrap(),
            tier: Tier::BreakGlass,
            approvals: std::num::NonZeroU8::MIN,
            rate: "10/m".parse().unwrap(),
            single_use: true,
            max_calls: None,
        };
        let api = Api {
            name: "pay".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            audience: "https://pay.example".parse().unwrap(),
            owner: "ann".into(),
            purpose: "pays".into(),
            state: ApiState::Retired,
            binding: Binding::DangerousBearer,
            on_lost_feed: OnLostFeed::DangerousBestEffort(Grace::from_seconds(60).unwrap()),
            actions: vec![Arc::new(action)],
            enforcement: Default::default(),
        };
        let shown = super::api(&api);
        assert_eq!(shown.state, "retired");
        assert_eq!((&*shown.on_lost_feed, shown.on_lost_feed_seconds_max), ("dangerous-best-effort", 60));
        let action = &shown.actions[0];
        assert_eq!((action.access(), action.tier()), (v1::Access::Destructive, v1::Tier::BreakGlass));
        assert_eq!((action.rate.as_str(), action.bearer_allowed, action.single_use), ("10/m", true, true));
        assert_eq!((action.parameters[0].min, action.parameters[0].max), (Some(1), Some(500)));
    }

    #[test]
    fn only_decisions_are_explained() {
        let issuance = Box::new(record().issuance);
        let entry = |event| Entry { event, time: Timestamp::from_seconds(1_000), v: VERSION };
        let explained = |event| Explained {
            entry: entry(event),
            index: 4,
            now: "allowed by pay#0".into(),
            suggestion: String::new(),
        };
        let allowed = explanation(&explained(Event::Issue(issuance))).unwrap();
        assert_eq!((allowed.effect(), allowed.log_index), (v1::Effect::Allow, 4));
        assert_eq!(allowed.policies, ["pay#0"]);
        let start = crate::domain::entry::Start { dev: false, version: "1".into() };
        assert_eq!(explanation(&explained(Event::Start(start))), None);
    }
}
