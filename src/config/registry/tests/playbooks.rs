//! Playbooks: what is read, and every kind of problem.

use super::problems::good;
use super::*;
use crate::domain::playbook::Scope;
use crate::domain::revocation::Selector;
use crate::notify::destination::{Destination, Program, Target, Wanted};
use crate::notify::notice::Severity;

const PLAYBOOK: &str = "name = \"repair\"\npurpose = \"p\"\nkind = \"expand\"\nquorum = 2\nmax_time = \"10m\"\nactions = [\"demo.read\"]\nagents = [\"default/me\"]\nresources = [\"demo\"]\n";
const FREEZE: &str =
    "name = \"freeze\"\npurpose = \"p\"\nkind = \"restrict\"\nquorum = 1\nlock = [{ all = true }]\n";

fn operator(name: &str, roles: &str, rest: &str) -> String {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI";
    let fill = match name {
        "alice" => "A",
        "bob" => "B",
        _ => "C",
    };
    // 32 bytes of a key after the length, in base64.
    let blob = format!("{key}{}", fill.repeat(43));
    format!("[[operator]]\nname = \"{name}\"\nroles = [{roles}]\nssh_keys = [\"{blob}\"]\n{rest}\n")
}

/// A good registry with three responders, an admin and this playbook.
fn scene(playbook: &str) -> tempfile::TempDir {
    let dir = good();
    let people = [
        operator("alice", "\"responder\", \"revoker\"", "uid = 0"),
        operator("bob", "\"responder\"", ""),
        operator("carol", "\"responder\"", ""),
        operator("dave", "\"admin\"", "").replace("ssh_keys", "#"),
    ];
    put(dir.path(), "operators.toml", people.concat());
    put(dir.path(), "playbooks/a.toml", playbook);
    dir
}

#[test]
fn a_playbook_is_read_as_it_was_written() {
    let dir = scene(PLAYBOOK);
    put(dir.path(), "playbooks/b.toml", FREEZE);
    let loaded = load_dir(dir.path()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    let [repair, freeze] = loaded.registry.playbooks() else { panic!() };
    assert_eq!((repair.name.as_str(), repair.quorum.count(), repair.seconds_max), ("repair", 2, 600));
    let expansion = repair.scope.expansion().unwrap();
    assert_eq!(expansion.agents[0].as_str(), "spiffe://example.org/tenant/default/agent/me");
    assert_eq!(loaded.registry.responders(repair).count(), 3);
    assert_eq!(
        (freeze.quorum.count(), freeze.seconds_max),
        (1, 1_800),
        "half an hour unless it says otherwise"
    );
    assert!(matches!(&freeze.scope, Scope::Restrict(shut) if shut.lock == [Selector::All]));
    let before = loaded.registry.digest();
    put(dir.path(), "playbooks/b.toml", format!("{FREEZE}# a word\n"));
    assert_ne!(load_dir(dir.path()).unwrap().registry.digest(), before, "a playbook is part of the registry");
}

#[test]
fn every_selector_of_a_brake_is_read() {
    let lock = "[{ action = \"demo.read\" }, { agent = \"default/me\" }, { api = \"demo\" }, { attested = \"unix.uid=7\" }, \
                { owner = \"o\" }, { principal = \"p\" }, { resource = \"demo/x\" }, { tenant = \"default\" }]";
    let dir = scene(&FREEZE.replace("[{ all = true }]", lock));
    let loaded = load_dir(dir.path()).unwrap_or_else(|problems| panic!("{problems}"));
    let Scope::Restrict(shut) = &loaded.registry.playbooks()[0].scope else { panic!() };
    let kinds: Vec<&str> = shut.lock.iter().map(Selector::kind).collect();
    assert_eq!(kinds, ["action", "agent", "api", "attested", "owner", "principal", "resource", "tenant"]);
}

#[test]
fn every_problem_of_a_playbook_is_told_with_its_place() {
    let rows: &[(&str, &str, &str)] = &[
        ("kind = \"expand\"\n", "", "1:1: kind: missing; it has no default"),
        ("\"expand\"", "\"open\"", "3:8: kind: expected one of `expand`, `restrict`, got `open`"),
        (
            "quorum = 2",
            "quorum = 1",
            "4:1: quorum: a playbook that expands what can be had needs 2 signers or more, got `1`",
        ),
        ("quorum = 2", "quorum = 9", "4:1: quorum: expected 1 to 8 signers, got `9`"),
        ("quorum = 2", "quorum = 0", "4:1: quorum: expected 1 to 8 signers, got `0`"),
        ("\"10m\"", "\"5h\"", "5:1: max_time: expected 1 s to 14400 s, got `18000 s`"),
        ("\"10m\"", "\"0s\"", "5:1: max_time: expected 1 s to 14400 s, got `0 s`"),
        (
            "[\"demo.read\"]",
            "[]",
            "6:1: actions: missing or empty; a playbook that expands names actions, agents and resources",
        ),
        ("demo.read", "demo.writ", "6:1: actions: no such action of an active API: `demo.writ`"),
        ("default/me", "default/you", "7:1: agents: no such agent: `default/you`"),
        ("default/me", "me", "7:11: agents[0]: expected an agent as `TENANT/NAME`, got `me`"),
        (
            "[\"demo\"]",
            "[\"cluster\"]",
            "8:1: resources: no resource of `demo.read` (`demo/{name}`) is below any of these",
        ),
        (
            "[\"demo\"]",
            "[\"demo/a/b\"]",
            "8:1: resources: no resource of `demo.read` (`demo/{name}`) is below any of these",
        ),
        ("max_time", "responders = [\"eve\"]\nmax_time", "5:1: responders: no such operator: `eve`"),
        (
            "max_time",
            "responders = [\"alice\", \"bob\", \"carol\", \"dave\"]\nmax_time",
            "5:1: responders: `dave` lacks the role `responder`, or does not see the tenants of it",
        ),
    ];
    for (from, to, expected) in rows {
        let dir = scene(&PLAYBOOK.replacen(from, to, 1));
        assert_eq!(lines(dir.path()), [format!("error: playbooks/a.toml:{expected}")], "{from} -> {to}");
    }
    let dir = scene(&PLAYBOOK.replace("purpose", "lock = [{ all = true }]\npurpose"));
    assert!(
        lines(dir.path())[0].contains("lock: unknown key"),
        "what expands does not lock: {:?}",
        lines(dir.path())
    );
}

#[test]
fn every_problem_of_a_brake_is_told_with_its_place() {
    for (from, to, expected) in [
        ("{ all = true }", "{ all = false }", "5:9: lock[0]: `all` is `true` or not there"),
        ("{ all = true }", "{ }", "5:9: lock[0]: expected one selector, such as"),
        ("{ all = true }", "{ all = true, tenant = \"t\" }", "5:9: lock[0]: expected one selector, such as"),
        ("{ all = true }", "{ lineage = \"x\" }", "5:9: lock[0]: unknown selector, expected one of `action`"),
        ("{ all = true }", "\"all\"", "5:9: lock[0]: expected a table, got a text"),
        ("[{ all = true }]", "[]", "5:1: lock: a playbook that restricts names what it locks or revokes"),
    ] {
        let dir = scene(&FREEZE.replacen(from, to, 1));
        let found = lines(dir.path());
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("error: playbooks/a.toml:{expected}")),
            "{to}: {found:?}"
        );
    }
    let many = vec!["{ api = \"demo\" }"; 33].join(", ");
    let dir = scene(&FREEZE.replace("{ all = true }", &many));
    assert_eq!(
        lines(dir.path()),
        ["error: playbooks/a.toml:5:8: lock: expected at most 32 items, found `33`"]
    );
}

#[test]
fn a_scope_that_no_record_holds_is_refused_at_load() {
    let long = |at: usize| format!("{{ owner = \"{at:0500}\" }}");
    let lock =
        |count: usize| FREEZE.replace("{ all = true }", &(0..count).map(long).collect::<Vec<_>>().join(", "));
    assert!(lines(scene(&lock(20)).path()).is_empty());
    let found = lines(scene(&lock(30)).path());
    assert!(found[0].contains("kind: what it names takes"), "{found:?}");
    let odd = lines(scene(&FREEZE.replace("{ all = true }", "{ owner = \"team caf\u{e9}\" }")).path());
    assert!(odd[0].contains("can't be signed, because it is not printable ASCII"), "{odd:?}");
}

#[test]
fn a_playbook_that_nobody_could_open_or_review_is_pointed_out() {
    let dir = scene(PLAYBOOK);
    let two =
        [operator("alice", "\"responder\", \"revoker\"", ""), operator("bob", "\"responder\"", "")].concat();
    put(dir.path(), "operators.toml", &two);
    let said = |people: &[String]| {
        put(dir.path(), "operators.toml", people.concat());
        lines(dir.path())
    };
    let admin = |rest: &str| operator("dave", "\"admin\"", rest).replace("ssh_keys", "#");
    let none = said(std::slice::from_ref(&two));
    assert!(none.len() == 1 && none[0].contains("nobody is left to review it: 2 people sign"), "{none:?}");
    let stranger = said(&[two.clone(), admin("tenants = [\"other\"]")]);
    assert!(stranger[0].contains("nobody is left to review it"), "who sees it not does not: {stranger:?}");
    let one = said(&[two.clone(), admin("")]);
    assert!(one.len() == 1 && one[0].contains("one person alone could review it"), "{one:?}");
    let three = said(&[two.clone(), admin(""), operator("carol", "\"responder\"", "")]);
    assert!(three.is_empty(), "{three:?}");
    put(dir.path(), "operators.toml", two.replacen("ssh_keys", "#", 1));
    assert!(
        lines(dir.path())[0].contains("it can't be opened: 2 people must sign, and 1 of"),
        "{:?}",
        lines(dir.path())
    );
    let dir = scene(PLAYBOOK);
    put(dir.path(), "playbooks/b.toml", PLAYBOOK);
    assert!(lines(dir.path())[0].contains("playbook declared already at"), "{:?}", lines(dir.path()));
}

#[test]
fn a_sealed_copy_loads_to_the_same_registry() {
    let dir = scene(PLAYBOOK);
    let loaded = load_dir(dir.path()).unwrap();
    let (trust_domain, issuer) = ("example.org".parse().unwrap(), "https://hotwork.example".parse().unwrap());
    let again = load_sealed(&loaded.files, &trust_domain, &issuer, TODAY).unwrap();
    assert_eq!(again.registry.digest(), loaded.registry.digest());
    assert_eq!(again.files, loaded.files);
    assert_eq!(again.registry.playbooks(), loaded.registry.playbooks());
    assert_eq!((again.policies.len(), again.registry.operators().len()), (1, 4));
}

fn destination(name: &str) -> Destination {
    let program = Program { path: "/bin/true".into(), arguments: Vec::new() };
    let wanted = Wanted { severity_min: Severity::Critical, kinds: Vec::new() };
    Destination { name: name.parse().unwrap(), target: Target::Command(program), wanted }
}

#[test]
fn whom_a_playbook_names_must_be_there() {
    let dir = scene(&format!("{PLAYBOOK}notify = [\"oncall\", \"pager\"]\n"));
    let loaded = load_dir(dir.path()).unwrap_or_else(|problems| panic!("{problems}"));
    let said = |known: &[Destination]| {
        let problems = loaded.untold(known);
        problems
            .iter()
            .map(|one| one.to_string().replace(&format!("{}/", dir.path().display()), ""))
            .collect()
    };
    let none = |name: &str| {
        format!("playbooks/a.toml:9:1: notify: no [[notify]] of hotworkd.toml has this name: `{name}`")
    };
    let found: Vec<String> = said(&[]);
    assert_eq!(found, [none("oncall"), none("pager")]);
    let found: Vec<String> = said(&[destination("oncall"), destination("other")]);
    assert_eq!(found, [none("pager")]);
    let found: Vec<String> = said(&[destination("oncall"), destination("pager")]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn an_action_that_nobody_can_approve_is_told_with_its_place() {
    let dir = scene(PLAYBOOK);
    let api = fs::read_to_string(dir.path().join("apis/demo.toml")).unwrap();
    let with = |approvals: &str, people: &str| {
        put(dir.path(), "apis/demo.toml", api.replace("tier = \"auto\"", approvals));
        put(dir.path(), "operators.toml", people);
        // Fewer people are a problem of the playbook, too.
        lines(dir.path()).into_iter().filter(|line| line.contains("apis/")).collect::<Vec<_>>()
    };
    let two = "tier = \"approval\"\napprovals = 2";
    let responders =
        ["alice", "bob", "carol"].map(|name| operator(name, "\"responder\", \"revoker\"", "")).concat();
    let approver = |name: &str, rest: &str| operator(name, "\"approver\", \"responder\", \"revoker\"", rest);
    let told = |key: &str, line: usize, needed: usize, able: usize| {
        format!(
            "warning: apis/demo.toml:{line}:1: action[0].{key}: `demo.read` can't be had: {needed} people must approve, \
             and {able} operators of tenant `default` have the role `approver` and `ssh_keys`"
        )
    };
    assert_eq!(with("tier = \"approval\"", &responders), [told("tier", 13, 1, 0)]);
    let some = [approver("alice", ""), approver("bob", "tenants = [\"other\"]"), approver("carol", "")];
    // Two of them are enough for two, and bob does not see the tenant.
    assert_eq!(with(two, &some.concat()), Vec::<String>::new());
    let keyless = some.concat().replacen("ssh_keys", "#", 1);
    let found = with(two, &keyless);
    assert!(found.contains(&told("approvals", 14, 2, 1)), "{found:?}");
    assert_eq!(with("tier = \"auto\"", &responders), Vec::<String>::new());
}
