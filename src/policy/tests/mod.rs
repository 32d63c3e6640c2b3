//! A small registry for the policy tests, and the tests by theme.

mod algebra;
mod decisions;
mod problems;

use std::sync::Arc;

use crate::domain::agent::{Agent, AgentEntry, AgentState, Day, Rule};
use crate::domain::catalogue::{Access, Action, Api, ApiState, Binding, Tier};
use crate::domain::digest::Digest;
use crate::domain::name::{AgentId, Purpose};
use crate::domain::parameter::{Parameter, ParameterKind, ParameterRule};
use crate::domain::registry::{Parts, Registry};
use crate::domain::time::Ttl;

use super::{Policies, Problem, Query, Severity, Source, Verdict};

fn entry(tenant: &str, name: &str, groups: &[&str]) -> AgentEntry {
    AgentEntry {
        tenant: tenant.parse().unwrap(),
        name: name.parse().unwrap(),
        owner: "o@example.org".into(),
        purpose: "p".into(),
        principal: None,
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        rules: vec![Rule { kind: "unix.uid".parse().unwrap(), any_of: vec!["1".into()] }],
        review: Day(100_000),
        state: AgentState::Active,
        identity: None,
    }
}

fn action(name: &str, access: Access, resource: &str) -> Arc<Action> {
    let kind = ParameterKind::Integer { min: -1_000_000_000, max: 1_000_000_000 };
    Arc::new(Action {
        name: name.parse().unwrap(),
        description: "d".into(),
        access,
        resource: resource.parse().unwrap(),
        parameters: vec![ParameterRule { name: "amount".parse().unwrap(), required: false, kind }],
        ttl_max: Ttl::MAX,
        tier: Tier::Auto,
        approvals: std::num::NonZeroU8::MIN,
        rate: "10/s".parse().unwrap(),
        single_use: false,
        max_calls: None,
    })
}

fn api(name: &str, tenant: &str, state: ApiState, actions: Vec<Arc<Action>>) -> Api {
    Api {
        name: name.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        audience: format!("https://{name}.example").parse().unwrap(),
        owner: "o".into(),
        purpose: "p".into(),
        state,
        binding: Binding::Required,
        on_lost_feed: Default::default(),
        actions,
        enforcement: Default::default(),
    }
}

fn registry() -> Registry {
    let repo = vec![
        action("repo.file.read", Access::Read, "repo/{owner}/{name}"),
        action("repo.pull.open", Access::Write, "repo/{owner}/{name}"),
    ];
    let pay = vec![action("pay.invoice.pay", Access::Destructive, "repo/{owner}/{name}")];
    let old = vec![action("old.thing.read", Access::Read, "old/{name}")];
    Registry::new(Parts {
        trust_domain: "td".parse().unwrap(),
        issuer: "https://hotwork.example".parse().unwrap(),
        digest: Digest::of(b""),
        agents: vec![
            entry("t", "a", &["one"]),
            entry("t", "b", &["one", "two"]),
            entry("u", "c", &["two"]),
            entry("t", "run-{unix.uid}", &["runners"]),
        ],
        apis: vec![
            api("old", "t", ApiState::Retired, old),
            api("pay", "t", ApiState::Active, pay),
            api("repo", "t", ApiState::Active, repo),
        ],
        operators: Vec::new(),
        playbooks: Vec::new(),
    })
}

fn source(text: &str) -> Source {
    Source { name: "file".to_owned(), path: "policies/file.cedar".into(), text: text.to_owned() }
}

fn load(text: &str) -> (Option<Policies>, Vec<Problem>) {
    Policies::load(&[source(text)], &registry())
}

fn loaded(text: &str) -> Policies {
    let (policies, problems) = load(text);
    policies.unwrap_or_else(|| panic!("{problems:#?}"))
}

/// A query in words.
#[derive(Debug)]
struct Asked {
    agent: Agent,
    action: &'static str,
    resource: &'static str,
    ttl: u32,
    parameters: Vec<Parameter>,
    purpose: Option<Purpose>,
}

impl Asked {
    fn new(agent: &str, action: &'static str, resource: &'static str) -> Self {
        let (tenant, name) = agent.split_once(':').unwrap();
        let id: AgentId = format!("spiffe://td/tenant/{tenant}/agent/{name}").parse().unwrap();
        let registry = registry();
        let entry = registry
            .agents()
            .iter()
            .find(|entry| entry.name.as_str() == id.name().as_str() && entry.tenant == *id.tenant())
            .or_else(|| registry.agents().last())
            .unwrap();
        Self {
            agent: Agent { id, entry: Arc::clone(entry) },
            action,
            resource,
            ttl: 60,
            parameters: Vec::new(),
            purpose: None,
        }
    }

    fn amount(mut self, amount: i64) -> Self {
        let value = crate::domain::parameter::Value::Integer(amount.try_into().unwrap());
        self.parameters = vec![Parameter { name: "amount".parse().unwrap(), value }];
        self
    }

    fn with<T>(&self, ask: impl FnOnce(&Query<'_>) -> T) -> T {
        let registry = registry();
        let wanted = self.action.parse().unwrap();
        let find = |api: &&Arc<Api>| api.actions.iter().any(|action| action.name == wanted);
        let api = registry.apis().iter().find(find).unwrap();
        let action = api.actions.iter().find(|action| action.name == wanted).unwrap();
        ask(&Query {
            agent: &self.agent,
            api,
            action,
            resource: &self.resource.parse().unwrap(),
            ttl: Ttl::from_seconds(self.ttl).unwrap(),
            parameters: &self.parameters,
            purpose: self.purpose.as_ref(),
        })
    }

    fn decided_by(&self, policies: &Policies) -> Verdict {
        self.with(|query| policies.decide(query))
    }
}
