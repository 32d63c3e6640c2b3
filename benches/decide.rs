//! What a decision costs with 10, 1,000 and 10,000 policies, with conditions that Cedar evaluates and without: it
//! should cost the same for every number.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measure, not a product")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use hotwork::domain::agent::{Agent, AgentEntry, AgentState, Day, Rule};
use hotwork::domain::catalogue::{Access, Action, Api, ApiState, Binding, Tier};
use hotwork::domain::digest::Digest;
use hotwork::domain::name::AgentId;
use hotwork::domain::parameter::{Parameter, ParameterKind, ParameterRule, Value};
use hotwork::domain::registry::{Parts, Registry};
use hotwork::domain::time::Ttl;
use hotwork::policy::{Policies, Query, Source, Verdict};

fn entry(at: usize) -> AgentEntry {
    AgentEntry {
        tenant: "t".parse().unwrap(),
        name: format!("agent-{at}").parse().unwrap(),
        owner: "o".into(),
        purpose: "p".into(),
        principal: None,
        groups: vec![format!("group-{}", at % 100).parse().unwrap()],
        rules: vec![Rule { kind: "unix.uid".parse().unwrap(), any_of: vec![at.to_string().into()] }],
        review: Day(100_000),
        state: AgentState::Active,
        identity: None,
    }
}

fn action(at: usize) -> Arc<Action> {
    let kind = ParameterKind::Integer { min: 0, max: 1_000 };
    Arc::new(Action {
        name: format!("repo.pull.act{at}").parse().unwrap(),
        description: "d".into(),
        access: Access::Write,
        resource: "repo/{owner}/{name}".parse().unwrap(),
        parameters: vec![ParameterRule { name: "amount".parse().unwrap(), required: true, kind }],
        ttl_max: Ttl::MAX,
        tier: Tier::Auto,
        approvals: std::num::NonZeroU8::MIN,
        rate: "10/s".parse().unwrap(),
        single_use: false,
        max_calls: None,
    })
}

fn registry() -> Registry {
    let api = Api {
        name: "repo".parse().unwrap(),
        tenant: "t".parse().unwrap(),
        audience: "https://repo.example".parse().unwrap(),
        owner: "o".into(),
        purpose: "p".into(),
        state: ApiState::Active,
        binding: Binding::Required,
        on_lost_feed: Default::default(),
        actions: (0..10).map(action).collect(),
        enforcement: Default::default(),
    };
    Registry::new(Parts {
        trust_domain: "td".parse().unwrap(),
        issuer: "https://hotwork.example".parse().unwrap(),
        digest: Digest::of(b""),
        agents: (0..1_000).map(entry).collect(),
        apis: vec![api],
        operators: Vec::new(),
        playbooks: Vec::new(),
    })
}

/// Nine of ten policies are an agent's own; one is of a group. With conditions, one guard stands over all.
fn policies(count: usize, conditions: bool, registry: &Registry) -> Policies {
    let one = |at: usize| {
        let (agent, action) = (at % 1_000, at / 1_000 % 10);
        let who = if at % 10 == 9 {
            format!("principal in Group::\"group-{}\"", agent % 100)
        } else {
            format!("principal == Agent::\"spiffe://td/tenant/t/agent/agent-{agent}\"")
        };
        let condition =
            if conditions { "when { context.params.amount <= 500 && context.ttl <= 600 }" } else { "" };
        format!(
            "permit ({who}, action == Action::\"repo.pull.act{action}\", resource in Resource::\"repo/owner-{agent}\")\n\
             {condition};"
        )
    };
    let guard = "forbid (principal, action, resource) when { context.ttl > 800 };".to_owned();
    let all = (1..count).map(one).chain([one(0)]).chain(conditions.then_some(guard));
    let text = all.collect::<Vec<_>>().join("\n");
    let source = Source { name: "bench".to_owned(), path: "bench.cedar".into(), text };
    let (policies, problems) = Policies::load(&[source], registry);
    assert!(problems.is_empty(), "{problems:?}");
    policies.unwrap()
}

fn decide(criterion: &mut Criterion) {
    let registry = registry();
    let id: AgentId = "spiffe://td/tenant/t/agent/agent-0".parse().unwrap();
    let agent = Agent { id, entry: Arc::clone(registry.agents().first().unwrap()) };
    let value = Value::Integer(400.try_into().unwrap());
    let parameters = [Parameter { name: "amount".parse().unwrap(), value }];
    let api = registry.apis().first().unwrap();
    let mut group = criterion.benchmark_group("decide");
    for (count, conditions) in [10, 1_000, 10_000].into_iter().flat_map(|n| [(n, true), (n, false)]) {
        let policies = policies(count, conditions, &registry);
        let query = Query {
            agent: &agent,
            api,
            action: api.actions.first().unwrap(),
            resource: &"repo/owner-0/site".parse().unwrap(),
            ttl: Ttl::DEFAULT,
            parameters: &parameters,
            purpose: None,
        };
        assert!(matches!(policies.decide(&query), Verdict::Allow { .. }));
        let form = if conditions { "with conditions" } else { "without" };
        group.bench_function(format!("{count} policies, {form}"), |b| {
            b.iter(|| black_box(policies.decide(&query)));
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
