//! One query in Cedar's terms: the request, and the few entities that policies can ask about.
//!
//! Built by its API for each query, without JSON. An ancestor that no policy names is left out: membership
//! can only be asked of a name that a policy has, so the answer is the same.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, Request, RestrictedExpression,
};

use crate::domain::agent::Agent;
use crate::domain::catalogue::{Action, Api};
use crate::domain::name::ActionName;
use crate::domain::parameter::{Parameter, Value};
use crate::domain::registry::Registry;
use crate::domain::resource::Resource;

use super::{Query, schema};

/// Cedar could not be asked. Nothing that a caller sends leads here; it denies.
#[derive(Debug)]
pub(super) struct Unaskable;

/// What does not change from query to query of one action.
pub(super) struct ActionFacts {
    /// The action's own name and its groups, as policies' heads have them.
    pub(super) words: Vec<Box<str>>,
    uid: EntityUid,
    groups: Vec<EntityUid>,
    context: Vec<(String, RestrictedExpression)>,
}

impl ActionFacts {
    pub(super) fn of(api: &Api, action: &Action, kinds: &Kinds) -> Self {
        let groups: Vec<&str> =
            std::iter::once(action.access.as_str()).chain(schema::group_of(&api.name)).collect();
        let uid = kinds.action(action.name.as_str());
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        Self {
            groups: groups.iter().map(|group| kinds.action(group)).collect(),
            words: std::iter::once(action.name.as_str()).chain(groups).map(Box::from).collect(),
            uid,
            context: vec![
                ("access".to_owned(), text(action.access.as_str())),
                ("api".to_owned(), text(api.name.as_str())),
                ("tier".to_owned(), text(action.tier.as_str())),
            ],
        }
    }

    pub(super) fn all(registry: &Registry, kinds: &Kinds) -> HashMap<ActionName, Self> {
        let pairs =
            registry.apis().iter().flat_map(|api| api.actions.iter().map(move |action| (api, action)));
        pairs.map(|(api, action)| (action.name.clone(), Self::of(api, action, kinds))).collect()
    }
}

/// The entity types, parsed once.
#[derive(Clone)]
pub(super) struct Kinds {
    action: EntityTypeName,
    agent: EntityTypeName,
    group: EntityTypeName,
    resource: EntityTypeName,
    tenant: EntityTypeName,
}

impl Kinds {
    /// # Errors
    /// When Cedar refuses one of our own words.
    pub(super) fn new() -> Result<Self, Unaskable> {
        let kind = |word: &str| word.parse().map_err(|_| Unaskable);
        Ok(Self {
            action: kind("Action")?,
            agent: kind("Agent")?,
            group: kind("Group")?,
            resource: kind("Resource")?,
            tenant: kind("Tenant")?,
        })
    }

    fn action(&self, name: &str) -> EntityUid {
        uid(&self.action, name)
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// The names that policies have anywhere in them: nothing else can be asked about.
pub(super) struct Named {
    kinds: Kinds,
    actions: HashSet<EntityUid>,
    groups: HashSet<Box<str>>,
    resources: HashSet<Box<str>>,
    tenants: HashSet<Box<str>>,
}

impl Named {
    pub(super) fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            actions: HashSet::new(),
            groups: HashSet::new(),
            resources: HashSet::new(),
            tenants: HashSet::new(),
        }
    }

    pub(super) fn add(&mut self, policy: &Policy) {
        for literal in policy.entity_literals() {
            let id = Box::from(literal.id().unescaped());
            match literal.type_name().basename() {
                "Action" => self.actions.insert(literal.clone()),
                "Group" => self.groups.insert(id),
                "Resource" => self.resources.insert(id),
                "Tenant" => self.tenants.insert(id),
                _ => false,
            };
        }
    }

    fn above_agent(&self, agent: &Agent) -> HashSet<EntityUid> {
        let tenant = agent.id.tenant().as_str();
        let groups = agent.entry.groups.iter().map(|group| group.as_str());
        groups
            .filter(|group| self.groups.contains(*group))
            .map(|group| uid(&self.kinds.group, group))
            .chain(self.tenants.contains(tenant).then(|| uid(&self.kinds.tenant, tenant)))
            .collect()
    }

    fn above_action(&self, facts: &ActionFacts) -> HashSet<EntityUid> {
        facts.groups.iter().filter(|group| self.actions.contains(group)).cloned().collect()
    }

    fn above_resource(&self, resource: &Resource) -> HashSet<EntityUid> {
        let named = resource.ancestors().filter(|above| self.resources.contains(*above));
        named.map(|above| uid(&self.kinds.resource, above)).collect()
    }
}

/// A query as Cedar takes it.
pub(super) struct Question {
    pub(super) request: Request,
    pub(super) entities: Entities,
}

impl Question {
    /// `with_context` says whether a policy that will be asked reads the context at all.
    ///
    /// # Errors
    /// When Cedar does not take it.
    pub(super) fn new(
        query: &Query<'_>,
        facts: &ActionFacts,
        named: &Named,
        with_context: bool,
    ) -> Result<Self, Unaskable> {
        let agent = uid(&named.kinds.agent, query.agent.id.as_str());
        let resource = uid(&named.kinds.resource, query.resource.as_str());
        // An entity without ancestors need not be there: Cedar knows that it is in nothing but itself.
        let entities = [
            (&agent, named.above_agent(query.agent)),
            (&resource, named.above_resource(query.resource)),
            (&facts.uid, named.above_action(facts)),
        ];
        let entities = entities.into_iter().filter(|(_, above)| !above.is_empty());
        let entities = entities.map(|(entity, above)| Entity::new_no_attrs(entity.clone(), above));
        let entities = Entities::from_entities(entities, None).map_err(|_| Unaskable)?;
        let context = if with_context { context(query, facts)? } else { Context::empty() };
        let request =
            Request::new(agent, facts.uid.clone(), resource, context, None).map_err(|_| Unaskable)?;
        Ok(Self { request, entities })
    }
}

fn context(query: &Query<'_>, facts: &ActionFacts) -> Result<Context, Unaskable> {
    let params = RestrictedExpression::new_record(query.parameters.iter().map(parameter));
    let ttl = RestrictedExpression::new_long(i64::from(query.ttl.seconds()));
    let purpose = query.purpose.map(|purpose| RestrictedExpression::new_string(purpose.as_str().to_owned()));
    let pairs = facts
        .context
        .iter()
        .cloned()
        .chain([("params".to_owned(), params.map_err(|_| Unaskable)?), ("ttl".to_owned(), ttl)])
        .chain(purpose.map(|purpose| ("purpose".to_owned(), purpose)));
    Context::from_pairs(pairs).map_err(|_| Unaskable)
}

fn parameter(parameter: &Parameter) -> (String, RestrictedExpression) {
    let value = match &parameter.value {
        Value::Flag(flag) => RestrictedExpression::new_bool(*flag),
        Value::Integer(integer) => RestrictedExpression::new_long(i64::from(*integer)),
        Value::Text(text) => RestrictedExpression::new_string(text.as_str().to_owned()),
    };
    (parameter.name.as_str().to_owned(), value)
}
