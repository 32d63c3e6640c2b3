//! The examples and the demonstration: they load without a problem, and permit and deny what they say.

use std::sync::Arc;

use super::*;
use crate::domain::agent::Agent;
use crate::domain::evidence::{Evidence, Selector};
use crate::domain::parameter::{Parameter, Value};
use crate::domain::time::Ttl;
use crate::policy::{Query, Verdict};

fn example(name: &str) -> Loaded {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(name);
    let loaded = load_dir(&dir).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    loaded
}

fn agent(loaded: &Loaded, facts: &[(&str, &str)]) -> Agent {
    let selectors = facts.iter().map(|(kind, value)| Selector::new(kind, value).unwrap());
    loaded.registry.identify(&Evidence::new(selectors, None).unwrap()).unwrap()
}

fn parameter(text: &str) -> Parameter {
    let (name, value) = text.split_once('=').unwrap();
    let integer = value.parse::<i64>().map(|value| Value::Integer(value.try_into().unwrap()));
    Parameter {
        name: name.parse().unwrap(),
        value: integer.unwrap_or_else(|_| Value::Text(value.parse().unwrap())),
    }
}

/// What catalogue and policies say: `+` permits, `forbidden`, or what stands in the way. Tiers are left out.
fn ask(
    loaded: &Loaded,
    agent: &Agent,
    action: &str,
    resource: &str,
    params: &[&str],
    purpose: Option<&str>,
) -> String {
    let tenant = agent.id.tenant();
    let Some((api, action)) = loaded.registry.action(tenant, &action.parse().unwrap()) else {
        return "action-unknown".to_owned();
    };
    let resource = resource.parse().unwrap();
    if !action.resource.matches(&resource, tenant) {
        return "not-permitted (shape)".to_owned();
    }
    let parameters: Vec<Parameter> = params.iter().map(|text| parameter(text)).collect();
    for given in &parameters {
        let rule = action.parameters.iter().find(|rule| rule.name == given.name).unwrap();
        if rule.check(&given.value).is_err() {
            return "parameter-out-of-bounds".to_owned();
        }
    }
    let purpose = purpose.map(|text| text.parse().unwrap());
    let query = Query {
        agent,
        api,
        action,
        resource: &resource,
        ttl: Ttl::DEFAULT,
        parameters: &parameters,
        purpose: purpose.as_ref(),
    };
    match loaded.policies.decide(&query) {
        Verdict::Allow { policies } => format!("+{}", policies[0]),
        Verdict::Failed => "failed".to_owned(),
        Verdict::Forbid { .. } => "forbidden".to_owned(),
        Verdict::NoPermit => "not-permitted".to_owned(),
    }
}

/// Rows of action, resource, parameters and the answer.
fn answers(loaded: &Loaded, agent: &Agent, rows: &[(&str, &str, &[&str], &str)]) {
    for (action, resource, params, expected) in rows {
        assert_eq!(
            ask(loaded, agent, action, resource, params, None),
            *expected,
            "{action} {resource} {params:?}"
        );
    }
}

#[test]
fn the_coding_agent_works_in_one_repository_only() {
    let loaded = example("coding");
    let coder = agent(&loaded, &[("unix.uid", "1000")]);
    answers(
        &loaded,
        &coder,
        &[
            ("repo.pull.open", "repo/acme/site", &[], "+coder-works-on-the-site"),
            ("repo.pull.close", "repo/acme/site", &[], "+coder-works-on-the-site"),
            ("repo.pull.open", "repo/acme/payroll", &[], "not-permitted"),
            ("repo.pull.open", "repo/acme/site-2", &[], "not-permitted"),
            ("repo.pull.open", "repo/acme", &[], "not-permitted (shape)"),
            ("repo.pull.merge", "repo/acme/site", &[], "+coder-asks-for-merges"),
            ("repo.pull.merge", "repo/acme/payroll", &[], "not-permitted"),
            ("repo.branch.delete", "repo/acme/site", &[], "action-unknown"),
        ],
    );
}

#[test]
fn the_procurement_agent_pays_up_to_its_ceiling() {
    let loaded = example("procurement");
    let buyer = agent(&loaded, &[("unix.uid", "1000")]);
    assert_eq!(buyer.principal(), "finance@example.org");
    let pay = "pay.invoice.pay";
    answers(
        &loaded,
        &buyer,
        &[
            ("pay.invoice.read", "invoice/4711", &[], "+buyer-reads-invoices"),
            (pay, "invoice/4711", &["amount_cents=90000", "currency=EUR"], "+buyer-pays-small-invoices"),
            (pay, "invoice/4711", &["amount_cents=300000", "currency=EUR"], "not-permitted"),
            (pay, "invoice/4711", &["amount_cents=500001", "currency=EUR"], "parameter-out-of-bounds"),
            (pay, "invoice/4711", &["amount_cents=90000", "currency=GBP"], "parameter-out-of-bounds"),
        ],
    );
    let big = ["amount_cents=300000", "currency=EUR"];
    assert_eq!(
        ask(&loaded, &buyer, pay, "invoice/1", &big, Some("purchase-order")),
        "+buyer-pays-small-invoices"
    );
}

#[test]
fn the_security_agent_never_writes_to_the_siem() {
    let loaded = example("security");
    let triage = agent(&loaded, &[("unix.uid", "1000")]);
    answers(
        &loaded,
        &triage,
        &[
            ("siem.alert.read", "siem/alert/17", &[], "+triage-reads-alerts"),
            ("ticket.item.create", "ticket/security", &["severity=high"], "+triage-opens-tickets"),
            ("ticket.item.create", "ticket/payroll", &["severity=high"], "not-permitted"),
            ("ticket.item.create", "ticket/security", &["severity=apocalypse"], "parameter-out-of-bounds"),
            ("siem.alert.close", "siem/alert/17", &[], "forbidden"),
            ("siem.rule.edit", "siem/rule/3", &[], "forbidden"),
        ],
    );
}

#[test]
fn the_support_agent_sees_one_tenant_and_named_fields() {
    let loaded = example("support");
    let acme = agent(&loaded, &[("unix.uid", "1000")]);
    let globex = agent(&loaded, &[("unix.uid", "1001")]);
    answers(
        &loaded,
        &acme,
        &[
            ("crm.account.status", "tenant/acme/account/7", &["field=plan"], "+acme-desk-reads-status"),
            (
                "crm.account.status",
                "tenant/acme/account/7",
                &["field=card_number"],
                "parameter-out-of-bounds",
            ),
            ("crm.account.status", "tenant/globex/account/7", &["field=plan"], "not-permitted (shape)"),
            ("crm-globex.account.status", "tenant/globex/account/7", &["field=plan"], "action-unknown"),
            ("crm-initech.account.status", "tenant/globex/account/7", &["field=plan"], "action-unknown"),
        ],
    );
    answers(
        &loaded,
        &globex,
        &[
            (
                "crm-globex.account.status",
                "tenant/globex/account/7",
                &["field=state"],
                "+globex-desk-reads-status",
            ),
            ("crm-globex.account.status", "tenant/globex/account/7", &["field=last_login"], "not-permitted"),
            ("crm.account.status", "tenant/acme/account/7", &["field=plan"], "action-unknown"),
        ],
    );
}

#[test]
fn the_orchestration_agent_scales_and_its_fleet_only_reads() {
    let loaded = example("orchestration");
    let scaler = agent(&loaded, &[("unix.uid", "1000")]);
    let scale = "infra.service.scale";
    answers(
        &loaded,
        &scaler,
        &[
            (scale, "cluster/prod/service/web", &["replicas=8"], "+scaler-scales"),
            (scale, "cluster/prod/service/web", &["replicas=20"], "not-permitted"),
            (scale, "cluster/staging/service/web", &["replicas=20"], "+scaler-scales"),
            (scale, "cluster/prod/service/web", &["replicas=51"], "parameter-out-of-bounds"),
            (scale, "cluster/prod/service/etcd", &["replicas=3"], "forbidden"),
            ("infra.node.drain", "cluster/prod/node/n1", &[], "+scaler-asks-to-drain"),
            ("infra.node.delete", "cluster/prod/node/n1", &[], "+scaler-asks-to-drain"),
        ],
    );
    let runner = agent(&loaded, &[("unix.uid", "1600"), ("systemd.unit", "dash.service")]);
    assert_eq!(runner.id.as_str(), "spiffe://example.org/tenant/default/agent/runner-dash.service");
    answers(
        &loaded,
        &runner,
        &[
            ("infra.service.read", "cluster/prod/service/web", &[], "+everyone-here-reads"),
            (scale, "cluster/prod/service/web", &["replicas=8"], "not-permitted"),
        ],
    );
}

#[test]
fn the_demonstration_lets_its_user_try_each_kind() {
    let dir = tempfile::tempdir().unwrap();
    crate::config::demo::write(dir.path(), 4242, &"dana".parse().unwrap()).unwrap();
    crate::config::demo::write(dir.path(), 4242, &"dana".parse().unwrap()).unwrap();
    let loaded = load_dir(dir.path()).unwrap_or_else(|problems| panic!("{problems}"));
    // Whoever tries it out puts in the keys and the second person.
    let unable = |problem: &Problem| match problem.key.as_str() {
        "quorum" => problem.message.contains("it can't be opened"),
        key => key.ends_with(".tier") && problem.message.contains("1 people must approve"),
    };
    assert!(loaded.warnings.len() == 3 && loaded.warnings.iter().all(unable), "{:#?}", loaded.warnings);
    assert_eq!(loaded.registry.operator_by_uid(4242).map(|operator| operator.name.as_str()), Some("dana"));
    let me = agent(&loaded, &[("unix.uid", "4242")]);
    answers(
        &loaded,
        &me,
        &[
            ("demo.read", "demo/hello", &[], "+demo-read"),
            ("demo.read", "demo/secret", &[], "forbidden"),
            ("demo.write", "demo/hello", &[], "+demo-write"),
            ("demo.delete", "demo/hello", &[], "+demo-write"),
            ("demo.transfer", "demo/checking", &["amount=1000"], "+demo-transfer"),
            ("demo.transfer", "demo/checking", &["amount=1001"], "parameter-out-of-bounds"),
            ("demo.transfer", "demo/savings", &["amount=101"], "not-permitted"),
        ],
    );
    let named = loaded.policies.actions_named_for(&me, &loaded.registry);
    assert_eq!(
        named.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["demo.delete", "demo.read", "demo.transfer", "demo.write"]
    );
    assert!(loaded.registry.apis().iter().map(Arc::as_ref).all(|api| api.owner.as_ref() == "you"));
}
