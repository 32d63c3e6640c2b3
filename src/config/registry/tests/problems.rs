//! Every kind of problem, with its exact file, line, column, key and message.

use super::*;

const API: &str = "name = \"demo\"\ntenant = \"default\"\naudience = \"https://demo.example\"\nowner = \"o\"\npurpose = \"p\"\n\n[[action]]\nname = \"demo.read\"\ndescription = \"d\"\naccess = \"read\"\nresource = \"demo/{name}\"\nttl_max = \"5m\"\ntier = \"auto\"\nrate = \"10/s\"\n";
pub(super) const AGENT: &str = "name = \"me\"\ntenant = \"default\"\nowner = \"o\"\npurpose = \"p\"\ngroups = [\"g\"]\nreview = \"2027-01-01\"\n\n[rules]\n\"unix.uid\" = 1000\n";
pub(super) const OPERATORS: &str =
    "[[operator]]\nname = \"alice\"\nuid = 0\nroles = [\"admin\", \"revoker\"]\n";
pub(super) const POLICY: &str =
    "permit (principal in Group::\"g\", action == Action::\"demo.read\", resource);\n";

pub(super) fn good() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "apis/demo.toml", API);
    put(dir.path(), "agents/me.toml", AGENT);
    put(dir.path(), "operators.toml", OPERATORS);
    put(dir.path(), "policies/p.cedar", POLICY);
    dir
}

/// The problems after `from` became `to` in the file.
pub(super) fn changed(file: &str, from: &str, to: &str) -> Vec<String> {
    let dir = good();
    let path = dir.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    lines(dir.path())
}

pub(super) fn table(file: &str, rows: &[(&str, &str, &str)]) {
    for (from, to, expected) in rows {
        // A name that could not be read is unknown to the policies, too: those lines are about another file.
        let mut found = changed(file, from, to);
        found.retain(|line| !line.contains("policies/p.cedar"));
        assert_eq!(found, [format!("error: {file}:{expected}")], "{from} -> {to}");
    }
}

#[test]
fn a_good_registry_has_no_problem() {
    let dir = good();
    let loaded = load_dir(dir.path()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let registry = &loaded.registry;
    assert_eq!((registry.apis().len(), registry.agents().len(), registry.operators().len()), (1, 1, 1));
    assert_eq!(loaded.policies.len(), 1);
}

#[test]
fn problems_of_apis() {
    table(
        "apis/demo.toml",
        &[
            (
                "name = \"demo\"",
                "name = \"Demo\"",
                "1:8: name: expected a lowercase letter or digit, then lowercase letters, digits or `-`, 63 bytes at most, got `Demo`",
            ),
            ("tenant = \"default\"\n", "", "1:1: tenant: missing; it has no default"),
            (
                "https://demo",
                "demo",
                "3:12: audience: expected an absolute URI such as `https://api.example`, printable ASCII, 256 bytes at most, got `demo.example`",
            ),
            (
                "owner = \"o\"",
                "owner = \" \"",
                "4:9: owner: expected one line of text, 1 to 500 bytes, got ` `",
            ),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\nbinding = \"none\"",
                "6:11: binding: expected one of `required`, `dangerous-bearer`, got `none`",
            ),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\non_lost_feed = \"open\"",
                "6:16: on_lost_feed: expected one of `strict`, `dangerous-best-effort`, got `open`",
            ),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\non_lost_feed_max = \"60s\"",
                "6:1: on_lost_feed_max: only `on_lost_feed = \"dangerous-best-effort\"` has a bound; leave it out",
            ),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\non_lost_feed = \"dangerous-best-effort\"",
                "1:1: on_lost_feed_max: missing; say for how long, 300 s at most",
            ),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\non_lost_feed = \"dangerous-best-effort\"\non_lost_feed_max = \"301s\"",
                "7:1: on_lost_feed_max: expected 1 s to 300 s, got `301 s`",
            ),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\nstate = \"gone\"",
                "6:9: state: expected one of `active`, `retired`, got `gone`",
            ),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\nporpoise = 1",
                "6:1: porpoise: unknown key, expected one of `name`, `tenant`, `audience`, `owner`, `purpose`, `state`, `binding`, `on_lost_feed`, `on_lost_feed_max`, `origin`, `action`",
            ),
            (
                "access = \"read\"",
                "access = \"admin\"",
                "10:10: action[0].access: expected one of `read`, `write`, `destructive`, got `admin`",
            ),
            (
                "demo/{name}",
                "demo/*",
                "11:12: action[0].resource: expected a resource path whose segments are fixed texts, `{name}` or `{tenant}`, got `demo/*`",
            ),
            ("5m", "16m", "12:11: action[0].ttl_max: expected 1 s to 900 s, got `960 s`, got `16m`"),
            (
                "\"auto\"",
                "\"sometimes\"",
                "13:8: action[0].tier: expected one of `auto`, `approval`, `break_glass`, got `sometimes`",
            ),
            (
                "10/s",
                "0/s",
                "14:8: action[0].rate: expected a rate such as `10/s`, `100/m` or `1000/h`, got `0/s`",
            ),
            (
                "rate = \"10/s\"",
                "rate = \"10/s\"\nsingle_use = 1",
                "15:14: action[0].single_use: expected `true` or `false`, got an integer",
            ),
            (
                "rate = \"10/s\"",
                "rate = \"10/s\"\n[action.params.resource]\ntype = \"flag\"",
                "15:1: action[0].params.resource: tokens use this name for something else; no parameter can be called `resource`",
            ),
            (
                "rate = \"10/s\"",
                "rate = \"10/s\"\n[action.params.x]\ntype = \"float\"",
                "16:1: action[0].params.x.type: expected one of `flag`, `integer`, `text`, got `float`",
            ),
            (
                "rate = \"10/s\"",
                "rate = \"10/s\"\n[action.params.x]\ntype = \"integer\"",
                "15:1: action[0].params.x.max: missing; an integer has a ceiling",
            ),
            (
                "rate = \"10/s\"",
                "rate = \"10/s\"\n[action.params.x]\ntype = \"integer\"\nmin = 5\nmax = 4",
                "18:1: action[0].params.x.max: expected min <= max within 2^53-1, got `5` and `4`",
            ),
            (
                "rate = \"10/s\"",
                "rate = \"10/s\"\n[action.params.x]\ntype = \"text\"\none_of = [\"a\", \"é\"]",
                "17:16: action[0].params.x.one_of[1]: expected printable ASCII, 1 to 256 bytes, got `é`",
            ),
        ],
    );
}

#[test]
fn an_action_of_another_word_is_refused_with_the_policy_that_names_it() {
    let found = changed("apis/demo.toml", "demo.read", "repo.read");
    assert_eq!(
        found[0],
        "error: apis/demo.toml:8:1: action[0].name: the first word of an action of API `demo` is `demo`, got `repo.read`"
    );
    assert_eq!(
        found[1],
        "error: policies/p.cedar:1:44: p#1: no action, API or access class is called `demo.read`"
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn an_api_can_not_take_the_name_of_an_access_class() {
    let text = API.replace("\"demo\"", "\"read\"").replace("demo.read", "read.x.y");
    let dir = good();
    put(dir.path(), "apis/read.toml", text.replace("demo.example", "read.example"));
    let found = lines(dir.path());
    assert_eq!(
        found,
        ["error: apis/read.toml:1:1: name: policies call an access class so; an API can't be called `read`"]
    );
}

#[test]
fn problems_of_agents() {
    table(
        "agents/me.toml",
        &[
            (
                "name = \"me\"",
                "name = \"a/b\"",
                "1:8: name: expected a name, or a name with `{selector.kind}` placeholders, got `a/b`",
            ),
            (
                "name = \"me\"",
                "name = \"me-{unix.pid}\"",
                "1:1: name: no attestor establishes `unix.pid`; expected one of `container.id`, `systemd.unit`, `cgroup.path`, `container.image`, `unix.sha256`, `unix.exe`, `unix.uid`, `unix.gid`, `unix.groups`, `x509.spki_sha256`, `x509.spiffe_id`, `x509.issuer_sha256`, `x509.trust_domain`",
            ),
            (
                "name = \"me\"",
                "name = \"me-{unix.groups}\"",
                "1:1: name: a process has several of `unix.groups`, so it makes no name",
            ),
            ("owner = \"o\"\n", "", "1:1: owner: missing; it has no default"),
            (
                "purpose = \"p\"",
                "purpose = \"p\"\nprincipal = \"spiffe://td/x\"",
                "5:13: principal: expected a name of printable ASCII without spaces, 1 to 256 bytes, that is no SPIFFE ID, got `spiffe://td/x`",
            ),
            ("2027-01-01", "2027-1-1", "6:10: review: expected a day such as `2027-06-30`, got `2027-1-1`"),
        ],
    );
}

#[test]
fn problems_of_attestation_rules() {
    table(
        "agents/me.toml",
        &[
            (
                "\n[rules]",
                "state = \"off\"\n[rules]",
                "7:9: state: expected one of `active`, `suspended`, got `off`",
            ),
            (
                "\"unix.uid\" = 1000\n",
                "",
                "8:2: rules: empty: such an agent could be anybody; give at least one of `container.id`, `systemd.unit`, `cgroup.path`, `container.image`, `unix.sha256`, `unix.exe`, `unix.uid`, `unix.gid`, `unix.groups`, `x509.spki_sha256`, `x509.spiffe_id`, `x509.issuer_sha256`, `x509.trust_domain`",
            ),
            (
                "\"unix.uid\"",
                "\"unix.pid\"",
                "9:14: rules.\"unix.pid\": unknown selector, expected one of `container.id`, `systemd.unit`, `cgroup.path`, `container.image`, `unix.sha256`, `unix.exe`, `unix.uid`, `unix.gid`, `unix.groups`, `x509.spki_sha256`, `x509.spiffe_id`, `x509.issuer_sha256`, `x509.trust_domain`",
            ),
            (
                "\"unix.uid\" = 1000",
                "\"x509.spiffe_id\" = \"spiffe://Prod.example/a\"",
                "9:20: rules.\"x509.spiffe_id\": expected a SPIFFE ID, `spiffe://TRUST-DOMAIN/PATH`, got `spiffe://Prod.example/a`",
            ),
            ("= 1000", "= \"root\"", "9:14: rules.\"unix.uid\": expected a number below 2^32, got `root`"),
            ("= 1000", "= -1", "9:14: rules.\"unix.uid\": expected a number below 2^32, got `-1`"),
            (
                "= 1000",
                "= [1, \"01\"]",
                "9:18: rules.\"unix.uid\"[1]: expected a number below 2^32, got `01`",
            ),
            ("= 1000", "= []", "9:14: rules.\"unix.uid\": expected 1 to 64 values, found `0`"),
            (
                "= 1000",
                "= true",
                "9:14: rules.\"unix.uid\": expected a text or an integer, or a list of them",
            ),
            (
                "\"unix.uid\" = 1000",
                "\"unix.exe\" = \"bin/x\"",
                "9:14: rules.\"unix.exe\": expected a path from `/`, got `bin/x`",
            ),
            (
                "\"unix.uid\" = 1000",
                "\"unix.sha256\" = \"abc\"",
                "9:17: rules.\"unix.sha256\": expected 64 lowercase hex digits, got `abc`",
            ),
            (
                "\"unix.uid\" = 1000",
                "\"container.image\" = \"nginx:latest\"",
                "9:21: rules.\"container.image\": expected `sha256:` and 64 lowercase hex digits, got `nginx:latest`",
            ),
        ],
    );
}

#[test]
fn a_selector_without_quotes_is_told_so() {
    let found = changed("agents/me.toml", "\"unix.uid\"", "unix.uid");
    assert!(
        found[0].contains("rules.unix: unknown selector")
            && found[0].contains("(write the selector in quotes)"),
        "{found:?}"
    );
}

#[test]
fn what_is_declared_twice_is_told_with_the_first_place() {
    let dir = good();
    put(dir.path(), "apis/x.toml", API.replace("demo.example", "x.example"));
    put(dir.path(), "agents/x.toml", AGENT.replace("1000", "1001"));
    put(dir.path(), "agents/y.toml", AGENT.replace("\"me\"", "\"you\""));
    put(dir.path(), "operators.toml", format!("{OPERATORS}{OPERATORS}"));
    let found = lines(dir.path());
    let expected = [
        "error: agents/x.toml:1:1: name: agent declared already at agents/me.toml:1: `default/me`".to_owned(),
        "error: agents/y.toml:8:2: rules: the same rules as agent `me` at agents/me.toml: evidence that fits two agents is refused".to_owned(),
        "error: apis/x.toml:1:1: name: API declared already at apis/demo.toml:1: `demo`".to_owned(),
        "error: operators.toml:6:1: operator[1].name: operator declared already at operators.toml:2: `alice`".to_owned(),
        "error: operators.toml:6:1: operator[1].name: operator's uid declared already at operators.toml:2: `0`".to_owned(),
    ];
    assert_eq!(found, expected);
    let twice = API.split_once("[[action]]").unwrap().1;
    let found = changed("apis/demo.toml", "10/s\"\n", &format!("10/s\"\n[[action]]{twice}"));
    assert!(
        found.contains(
            &"error: apis/demo.toml:16:1: action[1].name: declared already in line 8: `demo.read`".to_owned()
        ),
        "{found:#?}"
    );
}

#[test]
fn an_audience_of_two_tenants_is_refused() {
    let dir = good();
    put(
        dir.path(),
        "apis/x.toml",
        API.replace("\"demo\"", "\"x\"").replace("demo.read", "x.read").replace("default", "other"),
    );
    let found = lines(dir.path());
    assert_eq!(
        found,
        [
            "error: apis/x.toml:3:1: audience: API `demo` of tenant `default` has the same audience: credentials of one tenant would be good at the other's"
        ]
    );
}

#[test]
fn an_overdue_review_is_a_warning_on_the_day_after() {
    assert!(changed("agents/me.toml", "2027-01-01", "2026-11-23").is_empty());
    let found = changed("agents/me.toml", "2027-01-01", "2026-11-22");
    assert_eq!(
        found,
        [
            "warning: agents/me.toml:6:1: review: the review of agent `me` is overdue: it gets nothing until its owner `o` reviews it"
        ]
    );
}

#[test]
fn a_retired_api_that_is_still_granted_is_a_warning() {
    let found = changed("apis/demo.toml", "purpose = \"p\"", "purpose = \"p\"\nstate = \"retired\"");
    assert_eq!(
        found,
        [
            "warning: policies/p.cedar:1:1: p#1: it grants actions of retired APIs only; remove it, the API is `demo`"
        ]
    );
}
