//! Playbooks: what break-glass may do, declared and reviewed long before it is needed.
//!
//! A session is bound to the scope that was signed, so a later edit of the playbook changes no open session.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits::BREAK_GLASS_QUORUM_MAX;
use super::name::{ActionName, AgentId, NotifierName, OperatorName, PlaybookName};
use super::operator::{Operator, Role};
use super::resource::Resource;
use super::revocation::Selector;

/// A declared playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playbook {
    /// Its name.
    pub name: PlaybookName,
    /// What it is for.
    pub purpose: Arc<str>,
    /// What a session of it does.
    pub scope: Scope,
    /// The operators who may sign; all with the role `responder` when empty.
    pub responders: Vec<OperatorName>,
    /// How many of them must.
    pub quorum: Quorum,
    /// The longest life of a session in seconds, 1 to [`super::limits::BREAK_GLASS_SECONDS_MAX`].
    pub seconds_max: u32,
    /// Who is told whatever else they want to hear, besides all who hear of it anyway.
    pub notify: Vec<NotifierName>,
}

/// How many different people must sign: 1 to [`BREAK_GLASS_QUORUM_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Quorum(u8);

/// The number is no quorum.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 1 to {BREAK_GLASS_QUORUM_MAX} signers, got `{0}`")]
pub struct NotAQuorum(pub u8);

impl Quorum {
    /// Two people.
    pub const DEFAULT: Self = Self(2);

    /// How many.
    pub fn count(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<u8> for Quorum {
    type Error = NotAQuorum;

    fn try_from(count: u8) -> Result<Self, NotAQuorum> {
        if (1..=BREAK_GLASS_QUORUM_MAX).contains(&count) { Ok(Self(count)) } else { Err(NotAQuorum(count)) }
    }
}

impl From<Quorum> for u8 {
    fn from(quorum: Quorum) -> Self {
        quorum.0
    }
}

/// What a session does. Bounded at load, so that its record always fits into the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Credentials can be had that policy would not give.
    Expand(Expansion),
    /// Something is shut or ended.
    Restrict(Restriction),
}

/// Which credentials can be had. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expansion {
    /// For one of these actions.
    pub actions: Vec<ActionName>,
    /// By one of these agents.
    pub agents: Vec<AgentId>,
    /// For one of these resources, or anything below one, by whole path segments.
    pub resources: Vec<Resource>,
}

/// What is shut and ended. Fields in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restriction {
    /// Nothing that these name is issued while the session lasts.
    pub lock: Vec<Selector>,
    /// What these name ends when the session opens.
    pub revoke: Vec<Selector>,
}

impl Restriction {
    /// Whether it names nothing.
    pub const fn is_empty(&self) -> bool {
        self.lock.is_empty() && self.revoke.is_empty()
    }
}

impl Expansion {
    /// Whether `agent` can have a credential for `action` on `resource`.
    pub fn covers(&self, agent: &AgentId, action: &ActionName, resource: &Resource) -> bool {
        let below = |prefix: &Resource| {
            prefix == resource || resource.ancestors().any(|above| above == prefix.as_str())
        };
        self.agents.contains(agent) && self.actions.contains(action) && self.resources.iter().any(below)
    }
}

impl Scope {
    /// Which credentials can be had; none when it restricts.
    pub const fn expansion(&self) -> Option<&Expansion> {
        match self {
            Self::Expand(expansion) => Some(expansion),
            Self::Restrict(_) => None,
        }
    }

    /// Whether everything in it is of tenants that the operator sees. Others are shown nothing of it, and
    /// their signature opens nothing (promise P12).
    pub fn seen_by(&self, operator: &Operator) -> bool {
        if operator.tenants.is_empty() {
            return true;
        }
        let theirs = |selector: &Selector| match selector {
            Selector::Agent(agent) => operator.sees(agent.tenant()),
            Selector::Tenant(tenant) => operator.sees(tenant),
            Selector::Action(_)
            | Selector::All
            | Selector::Api(_)
            | Selector::Attested(_)
            | Selector::Credential(_)
            | Selector::Key(_)
            | Selector::Lineage(_)
            | Selector::Owner(_)
            | Selector::Principal(_)
            | Selector::Resource(_)
            | Selector::Serial(_) => false,
        };
        match self {
            Self::Expand(expansion) => expansion.agents.iter().all(|agent| operator.sees(agent.tenant())),
            Self::Restrict(Restriction { lock, revoke }) => lock.iter().chain(revoke).all(theirs),
        }
    }
}

impl Playbook {
    /// Whether the operator's signature counts.
    pub fn may_sign(&self, operator: &Operator) -> bool {
        let named = self.responders.is_empty() || self.responders.contains(&operator.name);
        named && operator.may(Role::Responder) && self.scope.seen_by(operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentId {
        format!("spiffe://td/tenant/t/agent/{name}").parse().unwrap()
    }

    fn operator(name: &str, roles: &[Role], tenants: &[&str]) -> Operator {
        Operator {
            name: name.parse().unwrap(),
            uid: None,
            roles: roles.to_vec(),
            tenants: tenants.iter().map(|tenant| tenant.parse().unwrap()).collect(),
            ssh_keys: Vec::new(),
            own: Vec::new(),
            aliases: Vec::new(),
        }
    }

    fn playbook(scope: Scope, responders: &[&str]) -> Playbook {
        Playbook {
            name: "repair".parse().unwrap(),
            purpose: "tests".into(),
            scope,
            responders: responders.iter().map(|name| name.parse().unwrap()).collect(),
            quorum: Quorum::DEFAULT,
            seconds_max: 60,
            notify: Vec::new(),
        }
    }

    fn expansion() -> Scope {
        Scope::Expand(Expansion {
            actions: vec!["infra.node.delete".parse().unwrap()],
            agents: vec![agent("fixer")],
            resources: vec!["cluster/prod".parse().unwrap()],
        })
    }

    #[test]
    fn a_scope_covers_whole_segments_of_its_own_actions_and_agents() {
        let scope = expansion();
        let covers = |holder: &str, action: &str, resource: &str| {
            let scope = scope.expansion().unwrap();
            scope.covers(&agent(holder), &action.parse().unwrap(), &resource.parse().unwrap())
        };
        assert!(covers("fixer", "infra.node.delete", "cluster/prod"));
        assert!(covers("fixer", "infra.node.delete", "cluster/prod/node/n1"));
        assert!(!covers("fixer", "infra.node.delete", "cluster/prod2"));
        assert!(!covers("fixer", "infra.node.delete", "cluster"));
        assert!(!covers("fixer", "infra.node.drain", "cluster/prod"));
        assert!(!covers("fixer2", "infra.node.delete", "cluster/prod"));
    }

    #[test]
    fn only_responders_who_see_all_of_it_sign() {
        let anybody = playbook(expansion(), &[]);
        assert!(anybody.may_sign(&operator("a", &[Role::Responder], &[])));
        assert!(anybody.may_sign(&operator("a", &[Role::Responder], &["t", "u"])));
        assert!(!anybody.may_sign(&operator("a", &[Role::Responder], &["u"])));
        assert!(!anybody.may_sign(&operator("a", &[Role::Admin, Role::Approver], &[])));
        let named = playbook(expansion(), &["b"]);
        assert!(!named.may_sign(&operator("a", &[Role::Responder], &[])));
        assert!(named.may_sign(&operator("b", &[Role::Responder], &[])));
        let freeze = |lock| playbook(Scope::Restrict(Restriction { lock, revoke: vec![] }), &[]);
        let of_t = operator("a", &[Role::Responder], &["t"]);
        assert!(freeze(vec![Selector::Tenant("t".parse().unwrap())]).may_sign(&of_t));
        assert!(freeze(vec![Selector::Agent(agent("x"))]).may_sign(&of_t));
        assert!(!freeze(vec![Selector::All]).may_sign(&of_t));
        assert!(!freeze(vec![Selector::Tenant("u".parse().unwrap())]).may_sign(&of_t));
    }

    #[test]
    fn a_quorum_is_held_to_its_bounds() {
        assert_eq!(Quorum::try_from(0), Err(NotAQuorum(0)));
        assert_eq!(Quorum::try_from(BREAK_GLASS_QUORUM_MAX).map(Quorum::count), Ok(8));
        assert_eq!(Quorum::try_from(BREAK_GLASS_QUORUM_MAX + 1), Err(NotAQuorum(9)));
        assert_eq!(Quorum::DEFAULT.count(), 2);
    }
}
