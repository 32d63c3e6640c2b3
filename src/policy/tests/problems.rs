//! Every kind of problem, with its exact place and message.

use super::*;

const HEAD: &str = "principal in Group::\"one\", action in Action::\"repo\", resource";

fn report(text: &str) -> Vec<String> {
    let (_, problems) = load(text);
    let line = |p: &Problem| {
        let policy = p.policy.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{}:{}:{}: {}: {policy}: {}", p.path.display(), p.line, p.column, p.severity, p.message)
    };
    problems.iter().map(line).collect()
}

#[test]
fn a_problem_has_its_place_and_says_what_is_wrong() {
    for (text, expected) in [
        (
            "permit (principal == Agent::\"spiffe://td/tenant/t/agent/zed\", action in Action::\"repo\", resource);",
            "1:22: error: file#1: no registered agent (a template's agents are reached by a group) is called `spiffe://td/tenant/t/agent/zed`",
        ),
        (
            "permit (principal == Agent::\"spiffe://td/tenant/t/agent/run-1\", action in Action::\"repo\", resource);",
            "1:22: error: file#1: no registered agent (a template's agents are reached by a group) is called `spiffe://td/tenant/t/agent/run-1`",
        ),
        (
            "permit (principal in Group::\"none\", action in Action::\"repo\", resource);",
            "1:22: error: file#1: no agent is in a group called `none`",
        ),
        (
            "permit (principal in Tenant::\"none\", action in Action::\"repo\", resource);",
            "1:22: error: file#1: no agent or API is of a tenant called `none`",
        ),
        (
            "\n\n  permit (principal in Group::\"one\",\n   action == Action::\"repo.pull.close\", resource);",
            "4:14: error: file#1: no action, API or access class is called `repo.pull.close`",
        ),
        (
            "permit (principal in Group::\"one\", action in Action::\"repo\", resource in Resource::\"repo/../x\");",
            "1:74: error: file#1: nothing can be called `repo/../x`",
        ),
        (
            "permit (principal in Group::\"one\", action in Action::\"repo\", resource == Resource::\"repo/acme\");",
            "1:74: error: file#1: it can never match: none of its actions takes the resource `repo/acme`",
        ),
        (
            "permit (principal in Group::\"one\", action in Action::\"repo\", resource in Resource::\"other/acme\");",
            "1:74: error: file#1: it can never match: none of its actions takes the resource `other/acme`",
        ),
        (
            "permit (principal, action in Action::\"repo\", resource);",
            "1:1: warning: file#1: wildcard grant: it permits every agent of every tenant; name agents, a group or a tenant",
        ),
        (
            "permit (principal in Group::\"one\", action, resource);",
            "1:1: warning: file#1: wildcard grant: it permits every action there is or will be; name actions or a group of them",
        ),
        (
            "permit (principal in Group::\"one\", action in Action::\"old\", resource);",
            "1:1: warning: file#1: it grants actions of retired APIs only; remove it, the API is `old`",
        ),
        (
            "@id(\"a b\") permit (principal in Group::\"one\", action in Action::\"repo\", resource);",
            "1:1: error: : policy id: expected letters, digits, `.`, `_`, `-`, `/` or `#`, 128 bytes at most, got `a b`",
        ),
    ] {
        assert_eq!(report(text), [format!("policies/file.cedar:{expected}")], "{text}");
    }
}

#[test]
fn what_the_strict_validator_finds_has_its_place() {
    for (condition, place, words) in [
        ("context.params.amount > 5", "2:8", "optional attribute"),
        ("context.params has amount && context.params.amount > \"5\"", "2:", "unexpected type"),
        ("context.secret == \"x\"", "2:8", "attribute `secret`"),
        ("context.ttl > 5 && false", "1:1", "it can never match"),
        ("context.access == \"rеad\"", "2:26", "not what it looks like"),
    ] {
        let found = report(&format!("permit ({HEAD})\nwhen {{ {condition} }};"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(&format!("policies/file.cedar:{place}")), "{found:#?}");
        assert!(found[0].contains(": error: file#1: ") && found[0].contains(words), "{found:#?}");
    }
}

#[test]
fn one_bad_policy_hides_no_other() {
    let text = format!(
        "permit ({HEAD}) when {{ ;\n@id(\"twice\") permit ({HEAD});\npermit (principal == ?principal, action, resource);\n\
         @id(\"twice\") permit ({HEAD});\npermit (principal in Group::\"no\", action in [Action::\"x.y\"], resource);"
    );
    let found = report(&text);
    let places: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let at = |line: usize| {
        places.iter().filter(|p| p.starts_with(&format!("policies/file.cedar:{line}:"))).count()
    };
    assert_eq!((at(1), at(2), at(4), at(5)), (1, 0, 1, 2), "{found:#?}");
    assert!(at(3) >= 1, "a template is no policy: {found:#?}");
    assert!(
        found.iter().any(|line| line.contains("another policy at policies/file.cedar:2 has the id `twice`"))
    );
}

#[test]
fn a_warning_loads_and_an_error_does_not() {
    let (policies, problems) = load("permit (principal, action in Action::\"repo\", resource);");
    assert!(policies.is_some());
    assert_eq!(problems.iter().map(|p| p.severity).collect::<Vec<_>>(), [Severity::Warning]);
    assert!(load("permit (principal in Group::\"none\", action in Action::\"repo\", resource);").0.is_none());
}
