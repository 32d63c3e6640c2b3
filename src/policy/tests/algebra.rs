//! The slices decide as the whole set would.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, Request, RestrictedExpression,
};
use proptest::prelude::*;

use super::*;

/// The decision over all policies, all ancestors and the whole context, written without the index.
fn unsliced(policies: &Policies, query: &Query<'_>) -> Verdict {
    let uid = |kind: &str, id: &str| format!("{kind}::\"{id}\"").parse::<EntityUid>().unwrap();
    let agent = uid("Agent", query.agent.id.as_str());
    let resource = uid("Resource", query.resource.as_str());
    let action = uid("Action", query.action.name.as_str());
    let groups = query.agent.entry.groups.iter().map(|group| uid("Group", group.as_str()));
    let above = groups.chain([uid("Tenant", query.agent.id.tenant().as_str())]).collect();
    let paths = query.resource.ancestors().map(|path| uid("Resource", path)).collect();
    let words = [query.action.access.as_str(), query.api.name.as_str()].map(|word| uid("Action", word));
    let entities = [
        Entity::new_no_attrs(agent.clone(), above),
        Entity::new_no_attrs(resource.clone(), paths),
        Entity::new_no_attrs(action.clone(), words.into_iter().collect()),
    ];
    let amount = query.parameters.iter().map(|p| match &p.value {
        crate::domain::parameter::Value::Integer(i) => {
            ("amount".to_owned(), RestrictedExpression::new_long((*i).into()))
        }
        other @ (crate::domain::parameter::Value::Flag(_) | crate::domain::parameter::Value::Text(_)) => {
            panic!("{other:?}")
        }
    });
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let mut pairs = vec![
        ("access".to_owned(), text(query.action.access.as_str())),
        ("api".to_owned(), text(query.api.name.as_str())),
        ("params".to_owned(), RestrictedExpression::new_record(amount).unwrap()),
        ("tier".to_owned(), text(query.action.tier.as_str())),
        ("ttl".to_owned(), RestrictedExpression::new_long(i64::from(query.ttl.seconds()))),
    ];
    pairs.extend(query.purpose.map(|purpose| ("purpose".to_owned(), text(purpose.as_str()))));
    let request = Request::new(agent, action, resource, Context::from_pairs(pairs).unwrap(), None).unwrap();
    let entities = Entities::from_entities(entities, None).unwrap();
    let response = Authorizer::new().is_authorized(&request, &policies.all, &entities);
    let mut names: Vec<_> =
        response.diagnostics().reason().map(|id| id.to_string().parse().unwrap()).collect();
    names.sort();
    match response.decision() {
        _ if response.diagnostics().errors().next().is_some() => Verdict::Failed,
        Decision::Allow => Verdict::Allow { policies: names },
        Decision::Deny if names.is_empty() => Verdict::NoPermit,
        Decision::Deny => Verdict::Forbid { policies: names },
    }
}

fn policy() -> impl Strategy<Value = String> {
    let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
    let principal = prop::sample::select(vec![
        "principal",
        "principal is Agent",
        "principal == Agent::\"spiffe://td/tenant/t/agent/a\"",
        "principal in Agent::\"spiffe://td/tenant/t/agent/b\"",
        "principal in Group::\"one\"",
        "principal is Agent in Group::\"two\"",
        "principal in Group::\"runners\"",
        "principal in Tenant::\"t\"",
        "principal in Tenant::\"u\"",
    ]);
    let action = prop::sample::select(vec![
        "action",
        "action == Action::\"repo.file.read\"",
        "action in [Action::\"repo.pull.open\", Action::\"repo.pull.open\", Action::\"pay\"]",
        "action in [Action::\"repo.pull.open\", Action::\"write\"]",
        "action in Action::\"read\"",
        "action in Action::\"repo\"",
        "action in Action::\"destructive\"",
    ]);
    let resource = prop::sample::select(vec![
        "resource",
        "resource == Resource::\"repo/acme/site\"",
        "resource in Resource::\"repo/acme\"",
        "resource in Resource::\"repo\"",
        "resource is Resource",
        "resource is Resource in Resource::\"repo/acme\"",
    ]);
    let condition = prop::sample::select(vec![
        "",
        "",
        "when { context.ttl < 100 }",
        "when { context.ttl * 4611686018427387904 > 0 }",
        "unless { context.params has amount && context.params.amount < 50 }",
        "when { principal in Group::\"two\" }",
        "when { resource in [Resource::\"repo/acme\", Resource::\"repo/x/y\"] }",
        "when { action in Action::\"repo\" || context has purpose && context.purpose == \"x\" }",
    ]);
    (effect, principal, action, resource, condition)
        .prop_map(|(effect, p, a, r, condition)| format!("{effect} ({p}, {a}, {r}) {condition};"))
}

fn asked() -> impl Strategy<Value = Asked> {
    let agent = prop::sample::select(vec!["t:a", "t:b", "u:c", "t:run-7"]);
    let action = prop::sample::select(vec!["repo.file.read", "repo.pull.open", "pay.invoice.pay"]);
    let resource =
        prop::sample::select(vec!["repo/acme/site", "repo/acme/other", "repo/x/y", "repo/acme-2/site"]);
    let amount = prop::option::of(0_i64..100);
    (agent, action, resource, amount, prop::sample::select(vec![1, 99, 100]), any::<bool>()).prop_map(
        |(agent, action, resource, amount, ttl, purpose)| {
            let asked = Asked::new(agent, action, resource);
            let mut asked = if let Some(amount) = amount { asked.amount(amount) } else { asked };
            asked.ttl = ttl;
            asked.purpose = purpose.then(|| "x".parse().unwrap());
            asked
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_slices_decide_as_the_whole_set_would(
        texts in prop::collection::vec(policy(), 0..12),
        asked in prop::collection::vec(asked(), 6),
    ) {
        let policies = loaded(&texts.join("\n"));
        for asked in asked {
            let (sliced, whole) = asked.with(|query| (policies.decide(query), unsliced(&policies, query)));
            prop_assert_eq!(sliced, whole, "{} on {}\n{}", asked.action, asked.resource, texts.join("\n"));
        }
    }
}
