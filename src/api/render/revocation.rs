//! Revocations, locks and verifiers, for operators and for the feed.

use std::collections::HashMap;

use crate::broker::lock::Locked;
use crate::broker::revoke::Revoked;
use crate::broker::verifiers::VerifierView;
use crate::domain::lost_feed::Grace;
use crate::domain::name::Audience;
use crate::domain::revocation::feed::Delta;
use crate::domain::revocation::{InForce, Selector};
use crate::proto::v1;

use super::timestamp;

/// A selector.
pub fn selector(selector: &Selector) -> v1::RevocationSelector {
    use v1::revocation_selector::Selector as Wire;
    let wire = match selector {
        Selector::Action(action) => Wire::Action(action.to_string()),
        Selector::Agent(agent) => Wire::Agent(agent.to_string()),
        Selector::All => Wire::All(true),
        Selector::Api(api) => Wire::Api(api.to_string()),
        Selector::Attested(fact) => {
            Wire::Attested(v1::AttestedFact { kind: fact.kind.to_string(), value: (*fact.value).to_owned() })
        }
        Selector::Credential(id) => Wire::CredentialId(id.to_string()),
        Selector::Key(key) => Wire::KeyId(key.to_string()),
        Selector::Lineage(lineage) => Wire::Lineage(lineage.to_string()),
        Selector::Owner(owner) => Wire::Owner(owner.to_string()),
        Selector::Principal(principal) => Wire::Principal(principal.to_string()),
        Selector::Resource(resource) => Wire::ResourcePrefix(resource.to_string()),
        Selector::Serial(serial) => Wire::Serial(serial.to_string()),
        Selector::Tenant(tenant) => Wire::Tenant(tenant.to_string()),
    };
    v1::RevocationSelector { selector: Some(wire) }
}

/// One end, for the feed.
pub fn delta(delta: &Delta) -> v1::Revoked {
    v1::Revoked {
        epoch: delta.epoch,
        selector: Some(selector(&delta.selector)),
        tenants: delta.tenants.iter().map(ToString::to_string).collect(),
        issued_until: delta.until.map(timestamp),
        time: Some(timestamp(delta.time)),
        forget_time: delta.forget.map(timestamp),
        log_index: delta.epoch.saturating_sub(1),
    }
}

/// What a revocation did, or would do.
pub fn revoked(revoked: &Revoked) -> v1::RevokeResponse {
    let (done, stops) = (revoked.done.as_ref(), revoked.stops.as_ref());
    v1::RevokeResponse {
        live_credentials: revoked.count.live,
        live_is_lower_bound: !revoked.count.complete,
        time: done.map(|done| timestamp(done.time)),
        log_index: done.map(|done| done.index),
        epoch: done.map(crate::broker::revoke::Done::epoch),
        verifiers: done.map(|done| done.verifiers.iter().map(verifier).collect()).unwrap_or_default(),
        residual_time: done.and_then(|done| done.residual).map(timestamp),
        key_ended_for_good: done.is_some_and(|done| done.for_good),
        lock_id: done.filter(|done| done.locked).map(|done| done.index),
        agents_stopped: stops.and_then(|stops| stops.agents).map(number),
        actions_stopped: stops.and_then(|stops| stops.actions).map(number),
        approvals_stopped: stops.map(|stops| number(stops.approvals)),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A lock with what it bears on.
pub fn locked(locked: &Locked) -> v1::LockResponse {
    v1::LockResponse {
        lock: Some(lock(&locked.held)),
        agents_stopped: locked.stops.agents.map(number),
        actions_stopped: locked.stops.actions.map(number),
        approvals_stopped: number(locked.stops.approvals),
        live_credentials: locked.live.live,
        live_is_lower_bound: !locked.live.complete,
    }
}

/// A lock.
pub fn lock(held: &InForce) -> v1::Lock {
    v1::Lock {
        id: held.index,
        selector: Some(selector(&held.lock.selector)),
        tenants: held.lock.tenants.iter().map(ToString::to_string).collect(),
        operator: held.lock.operator.to_string(),
        message: held.lock.terms.message.to_string(),
        create_time: Some(timestamp(held.time)),
        expire_time: Some(timestamp(held.lock.terms.expires)),
    }
}

/// A verifier.
pub fn verifier(view: &VerifierView) -> v1::Verifier {
    let label = view.id.label.as_ref().map(|label| format!("#{label}")).unwrap_or_default();
    v1::Verifier {
        name: format!("{}{label}", view.id.identity),
        connected: view.streams > 0,
        connect_time: view.since.map(timestamp),
        acknowledged_epoch: view.acknowledged.map_or(0, |(epoch, _)| epoch),
        acknowledge_time: view.acknowledged.map(|(_, time)| timestamp(time)),
        streams: number(view.streams),
        away: view.away.map_or(0, |away| number(away.instances)),
        away_since: view.away.map(|away| timestamp(away.since)),
        away_until: view.away.map(|away| timestamp(away.until())),
    }
}

/// How long verifiers go on without the feed, by audience.
pub fn lost_feed(graces: &HashMap<&Audience, Grace>) -> v1::LostFeed {
    let one = |(audience, grace): (&&Audience, &Grace)| v1::BestEffort {
        audience: audience.to_string(),
        seconds_max: grace.seconds(),
    };
    let mut best_effort: Vec<_> = graces.iter().map(one).collect();
    best_effort.sort_unstable_by(|a, b| a.audience.cmp(&b.audience));
    v1::LostFeed { best_effort }
}
