//! What policies decide, and what is said about it.

use super::*;

const A: &str = "spiffe://td/tenant/t/agent/a";

fn names(verdict: &Verdict) -> (char, Vec<String>) {
    match verdict {
        Verdict::Allow { policies } => ('+', policies.iter().map(ToString::to_string).collect()),
        Verdict::Failed => ('!', Vec::new()),
        Verdict::Forbid { policies } => ('-', policies.iter().map(ToString::to_string).collect()),
        Verdict::NoPermit => ('0', Vec::new()),
    }
}

fn verdict(policies: &Policies, asked: &Asked) -> String {
    let (sign, names) = names(&asked.decided_by(policies));
    format!("{sign}{}", names.join(","))
}

#[test]
fn without_a_policy_everything_is_denied() {
    let policies = loaded("");
    assert!(policies.is_empty());
    assert_eq!(verdict(&policies, &Asked::new("t:a", "repo.pull.open", "repo/acme/site")), "0");
}

#[test]
fn each_form_of_head_permits_whom_it_names_and_nobody_else() {
    let open = "action == Action::\"repo.pull.open\", resource";
    for (head, permitted) in [
        (format!("principal == Agent::\"{A}\", {open}"), [true, false, false, false]),
        (format!("principal in Group::\"one\", {open}"), [true, true, false, false]),
        (format!("principal is Agent in Tenant::\"t\", {open}"), [true, true, false, true]),
        (format!("principal in Group::\"runners\", {open}"), [false, false, false, true]),
        (format!("principal is Agent, {open}"), [true, true, true, true]),
        (
            "principal in Group::\"two\", action in Action::\"write\", resource".into(),
            [false, true, true, false],
        ),
        (
            "principal in Group::\"two\", action in Action::\"repo\", resource".into(),
            [false, true, true, false],
        ),
        ("principal in Group::\"two\", action in Action::\"pay\", resource".into(), [false; 4]),
        ("principal in Group::\"one\", action in [Action::\"repo.file.read\"], resource".into(), [false; 4]),
    ] {
        let policies = loaded(&format!("@id(\"p\") permit ({head});"));
        for (agent, permitted) in ["t:a", "t:b", "u:c", "t:run-7"].into_iter().zip(permitted) {
            let expected = if permitted { "+p" } else { "0" };
            let asked = Asked::new(agent, "repo.pull.open", "repo/acme/site");
            assert_eq!(verdict(&policies, &asked), expected, "{head} for {agent}");
        }
    }
}

#[test]
fn a_resource_grant_ends_at_its_own_segment() {
    let policies = loaded(&format!(
        "permit (principal == Agent::\"{A}\", action in Action::\"repo\", resource in Resource::\"repo/acme\");"
    ));
    let of = |resource| verdict(&policies, &Asked::new("t:a", "repo.pull.open", resource));
    assert_eq!(of("repo/acme/site"), "+file#1");
    assert_eq!(of("repo/acme-evil/site"), "0");
    assert_eq!(of("repo/other/acme"), "0");
}

#[test]
fn forbid_beats_permit() {
    let policies = loaded(
        "@id(\"yes\") permit (principal in Group::\"one\", action in Action::\"repo\", resource);
         @id(\"no\") forbid (principal, action in Action::\"write\", resource == Resource::\"repo/acme/prod\");",
    );
    assert_eq!(verdict(&policies, &Asked::new("t:a", "repo.pull.open", "repo/acme/prod")), "-no");
    assert_eq!(verdict(&policies, &Asked::new("t:a", "repo.pull.open", "repo/acme/site")), "+yes");
    assert_eq!(verdict(&policies, &Asked::new("t:a", "repo.file.read", "repo/acme/prod")), "+yes");
}

#[test]
fn parameters_lifetime_and_purpose_are_visible_to_policies() {
    let policies = loaded(&format!(
        "permit (principal == Agent::\"{A}\", action == Action::\"pay.invoice.pay\", resource)
         when {{ context.params has amount && context.params.amount <= 500 && context.ttl <= 60
                 && context has purpose && context.purpose == \"invoice\" && context.access == \"destructive\"
                 && context.tier == \"auto\" && context.api == \"pay\" }};"
    ));
    let ask = |amount, ttl, purpose: Option<&str>| {
        let mut asked = Asked::new("t:a", "pay.invoice.pay", "repo/acme/7").amount(amount);
        asked.ttl = ttl;
        asked.purpose = purpose.map(|text| text.parse().unwrap());
        verdict(&policies, &asked)
    };
    assert_eq!(ask(500, 60, Some("invoice")), "+file#1");
    assert_eq!(ask(501, 60, Some("invoice")), "0");
    assert_eq!(ask(500, 61, Some("invoice")), "0");
    assert_eq!(ask(500, 60, Some("fun")), "0");
    assert_eq!(ask(500, 60, None), "0");
}

#[test]
fn a_policy_that_can_not_be_evaluated_denies_although_another_permits() {
    let policies = loaded(
        "permit (principal in Group::\"one\", action in Action::\"pay\", resource);
         forbid (principal in Group::\"one\", action in Action::\"pay\", resource)
         when { context.params has amount && context.params.amount * 9223372036854775807 == 0 };",
    );
    let asked = Asked::new("t:a", "pay.invoice.pay", "repo/acme/7");
    assert_eq!(verdict(&policies, &asked), "+file#1");
    let asked = asked.amount(2);
    assert_eq!(verdict(&policies, &asked), "!");
    let explanation = asked.with(|query| policies.explain(query));
    assert!(explanation.suggestion.contains("can't be evaluated"), "{explanation:?}");
}

#[test]
fn the_actions_listed_are_those_that_a_permit_names() {
    let policies = loaded(
        "permit (principal in Group::\"one\", action in Action::\"repo\", resource);
         permit (principal in Group::\"two\", action == Action::\"pay.invoice.pay\", resource);
         permit (principal in Tenant::\"t\", action == Action::\"old.thing.read\", resource);
         forbid (principal, action == Action::\"pay.invoice.pay\", resource) when { context.ttl > 60 };",
    );
    let listed = |agent: &str| {
        let agent = Asked::new(agent, "repo.file.read", "repo/x/y").agent;
        let names = policies.actions_named_for(&agent, &registry());
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listed("t:a"), ["repo.file.read", "repo.pull.open"]);
    assert_eq!(listed("t:b"), ["pay.invoice.pay", "repo.file.read", "repo.pull.open"]);
    assert!(listed("u:c").is_empty(), "an action of another tenant's API does not show");
}

#[test]
fn an_explanation_names_the_nearest_policy_and_one_change() {
    let table = [
        (
            "",
            "t:a",
            "",
            "add a policy: permit (principal == Agent::\"spiffe://td/tenant/t/agent/a\", action == \
          Action::\"repo.pull.open\", resource == Resource::\"repo/acme/site\");",
        ),
        (
            "principal in Group::\"one\", action in Action::\"repo\", resource == Resource::\"repo/acme/other\"",
            "t:a",
            "p",
            "let policy `p` cover resource `repo/acme/site` besides `repo/acme/other`",
        ),
        (
            "principal in Group::\"one\", action in Action::\"repo\", resource in Resource::\"repo/other\"",
            "t:a",
            "p",
            "let policy `p` cover resource `repo/acme/site` besides what is in `repo/other`",
        ),
        (
            "principal in Group::\"two\", action in Action::\"repo\", resource",
            "t:a",
            "p",
            "put agent `spiffe://td/tenant/t/agent/a` into group `two`, which policy `p` permits `repo.pull.open`",
        ),
        (
            "principal in Tenant::\"u\", action in Action::\"repo\", resource in Resource::\"repo/x\"",
            "t:a",
            "p",
            "let policy `p`, which permits `repo.pull.open`, cover agent `spiffe://td/tenant/t/agent/a`, and cover \
          resource `repo/acme/site`",
        ),
        (
            "principal in Group::\"one\", action == Action::\"repo.file.read\", resource",
            "t:a",
            "p",
            "add `Action::\"repo.pull.open\"` to the actions of policy `p`, which permits this agent others, for \
          resource `repo/acme/site`",
        ),
    ];
    for (head, agent, nearest, suggestion) in table {
        let text = if head.is_empty() { String::new() } else { format!("@id(\"p\") permit ({head});") };
        let asked = Asked::new(agent, "repo.pull.open", "repo/acme/site");
        let explanation = asked.with(|query| loaded(&text).explain(query));
        assert_eq!(explanation.verdict, Verdict::NoPermit);
        assert_eq!(explanation.suggestion, suggestion);
        let names: Vec<String> = explanation.nearest.iter().map(ToString::to_string).collect();
        assert_eq!(names.join(","), nearest);
    }
}

#[test]
fn an_explanation_says_when_only_a_condition_stands_in_the_way_or_a_forbid_does() {
    let policies = loaded(
        "@id(\"short\") permit (principal in Group::\"one\", action in Action::\"repo\", resource) when { context.ttl < 10 };
         @id(\"frozen\") forbid (principal, action == Action::\"repo.pull.open\", resource in Resource::\"repo/frozen\");",
    );
    let explain =
        |resource| Asked::new("t:a", "repo.pull.open", resource).with(|query| policies.explain(query));
    assert!(explain("repo/acme/site").suggestion.contains("conditions of policy `short`"));
    assert_eq!(explain("repo/frozen/x").suggestion, "narrow or remove each forbid that applies: `frozen`");
}
