//! Policy files: loading is total, problems point into the text, and without a permit nothing is permitted.
#![no_main]

use std::sync::{Arc, OnceLock};

use hotwork::domain::agent::{Agent, AgentEntry, AgentState, Day, Rule};
use hotwork::domain::catalogue::{Access, Action, Api, ApiState, Binding, Tier};
use hotwork::domain::digest::Digest;
use hotwork::domain::name::AgentId;
use hotwork::domain::parameter::{ParameterKind, ParameterRule};
use hotwork::domain::registry::{Parts, Registry};
use hotwork::domain::resource::Resource;
use hotwork::domain::time::Ttl;
use hotwork::policy::{Policies, Query, Source, Verdict};

const AGENT: &str = "spiffe://example.org/tenant/acme/agent/coder";

libfuzzer_sys::fuzz_target!(|text: &str| {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    let registry = REGISTRY.get_or_init(registry);
    let source = Source { name: "file".to_owned(), path: "file.cedar".into(), text: text.to_owned() };
    let (policies, problems) = Policies::load(&[source], registry);
    let lines = text.split('\n').count();
    assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line) && problem.column > 0));
    let Some(policies) = policies else {
        assert!(!problems.is_empty(), "a load failed without saying why");
        return;
    };
    let (api, entry) = (&registry.apis()[0], &registry.agents()[0]);
    let id: AgentId = AGENT.parse().expect("an agent's id");
    let agent = Agent { id, entry: Arc::clone(entry) };
    let resource: Resource = "repo/acme/site".parse().expect("a resource");
    let query = Query {
        agent: &agent,
        api,
        action: &api.actions[0],
        resource: &resource,
        ttl: Ttl::DEFAULT,
        parameters: &[],
        purpose: None,
    };
    let verdict = policies.decide(&query);
    assert_eq!(policies.explain(&query).verdict, verdict);
    assert!(text.contains("permit") || !matches!(verdict, Verdict::Allow { .. }));
});

fn registry() -> Registry {
    let amount = ParameterKind::Integer { min: 0, max: 100 };
    let action = Action {
        name: "repo.pull.open".parse().expect("an action"),
        description: "Opens a pull request.".into(),
        access: Access::Write,
        resource: "repo/{owner}/{name}".parse().expect("a pattern"),
        parameters: vec![ParameterRule {
            name: "amount".parse().expect("a name"),
            required: false,
            kind: amount,
        }],
        ttl_max: Ttl::MAX,
        tier: Tier::Auto,
        approvals: std::num::NonZeroU8::MIN,
        rate: "10/s".parse().expect("a rate"),
        single_use: false,
        max_calls: None,
    };
    let api = Api {
        name: "repo".parse().expect("a name"),
        tenant: "acme".parse().expect("a name"),
        audience: "https://repo.example".parse().expect("an audience"),
        owner: "ada".into(),
        purpose: "Repositories.".into(),
        state: ApiState::Active,
        binding: Binding::Required,
        on_lost_feed: Default::default(),
        actions: vec![Arc::new(action)],
        enforcement: Default::default(),
    };
    let agent = AgentEntry {
        tenant: "acme".parse().expect("a name"),
        name: "coder".parse().expect("a name"),
        owner: "ada".into(),
        purpose: "Writes code.".into(),
        principal: None,
        groups: vec!["coders".parse().expect("a group")],
        rules: vec![Rule { kind: "unix.uid".parse().expect("a kind"), any_of: vec!["1000".into()] }],
        review: Day(100_000),
        state: AgentState::Active,
        identity: None,
    };
    Registry::new(Parts {
        trust_domain: "example.org".parse().expect("a trust domain"),
        issuer: "https://broker.example".parse().expect("an issuer"),
        digest: Digest::of(b"registry"),
        agents: vec![agent],
        apis: vec![api],
        operators: Vec::new(),
        playbooks: Vec::new(),
    })
}
