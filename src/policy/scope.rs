//! A policy's scope as plain values: whom, which actions and which resources it names in its head.

use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};

use crate::domain::agent::Agent;
use crate::domain::catalogue::{Action, Api};
use crate::domain::name::PolicyName;
use crate::domain::resource::Resource;

use super::schema;

/// What is known of one policy besides its conditions.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) name: PolicyName,
    pub(super) permit: bool,
    pub(super) who: Who,
    pub(super) which: Which,
    pub(super) to: To,
    /// Whether the policy is its head, and [`Meta::to`] says all of the head's resource: then there is
    /// nothing that Cedar would have to evaluate.
    pub(super) plain: bool,
    /// Whether the text reads the context at all.
    pub(super) reads_context: bool,
}

/// Whom a policy's head names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Agent(Arc<str>),
    Any,
    Group(Arc<str>),
    /// Something that is no principal: it never applies.
    Nobody,
    Tenant(Arc<str>),
}

/// Which actions a policy's head names: actions and groups of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Any,
    Named(Vec<Arc<str>>),
}

/// Which resources a policy's head names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    Any,
    At(Arc<str>),
    Below(Arc<str>),
}

impl Meta {
    pub(super) fn of(name: PolicyName, policy: &Policy, text: &str) -> Self {
        let resource = policy.resource_constraint();
        Self {
            name,
            permit: policy.effect() == Effect::Permit,
            who: who(&policy.principal_constraint()),
            which: which(policy.action_constraint()),
            to: to(&resource),
            plain: !policy.has_non_scope_constraint() && only_resources(&resource),
            reads_context: text.contains("context"),
        }
    }
}

impl Who {
    pub(super) fn covers(&self, agent: &Agent) -> bool {
        match self {
            Self::Agent(id) => **id == *agent.id.as_str(),
            Self::Any => true,
            Self::Group(name) => agent.entry.groups.iter().any(|group| **name == *group.as_str()),
            Self::Nobody => false,
            Self::Tenant(name) => **name == *agent.id.tenant().as_str(),
        }
    }
}

impl Which {
    pub(super) fn covers(&self, api: &Api, action: &Action) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => names.iter().any(|name| {
                **name == *action.name.as_str()
                    || **name == *action.access.as_str()
                    || schema::group_of(&api.name) == Some(name)
            }),
        }
    }
}

impl To {
    pub(super) fn covers(&self, resource: &Resource) -> bool {
        match self {
            Self::Any => true,
            Self::At(path) => **path == *resource.as_str(),
            Self::Below(path) => {
                **path == *resource.as_str() || resource.ancestors().any(|above| **path == *above)
            }
        }
    }
}

fn who(constraint: &PrincipalConstraint) -> Who {
    match constraint {
        PrincipalConstraint::Any => Who::Any,
        PrincipalConstraint::Is(kind) if kind.to_string() == "Agent" => Who::Any,
        PrincipalConstraint::Is(_) => Who::Nobody,
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => {
            named(uid)
        }
    }
}

fn named(uid: &EntityUid) -> Who {
    let id: Arc<str> = uid.id().unescaped().into();
    match uid.type_name().to_string().as_str() {
        "Agent" => Who::Agent(id),
        "Group" => Who::Group(id),
        "Tenant" => Who::Tenant(id),
        _ => Who::Nobody,
    }
}

fn which(constraint: ActionConstraint) -> Which {
    let name = |uid: &EntityUid| Arc::from(uid.id().unescaped());
    match constraint {
        ActionConstraint::Any => Which::Any,
        ActionConstraint::Eq(uid) => Which::Named(vec![name(&uid)]),
        ActionConstraint::In(uids) => Which::Named(uids.iter().map(name).collect()),
    }
}

/// Whether the constraint speaks of nothing but resources, so that [`To`] means the same.
fn only_resources(constraint: &ResourceConstraint) -> bool {
    let is_resource = |kind: &EntityTypeName| kind.to_string() == "Resource";
    match constraint {
        ResourceConstraint::Any => true,
        ResourceConstraint::Is(kind) => is_resource(kind),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => is_resource(uid.type_name()),
        ResourceConstraint::IsIn(kind, uid) => is_resource(kind) && is_resource(uid.type_name()),
    }
}

fn to(constraint: &ResourceConstraint) -> To {
    let path = |uid: &EntityUid| Arc::from(uid.id().unescaped());
    match constraint {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => To::Any,
        ResourceConstraint::Eq(uid) => To::At(path(uid)),
        ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => To::Below(path(uid)),
    }
}
