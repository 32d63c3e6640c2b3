//! The operator's commands.

use std::process::Stdio;

use super::double::{AGENT, Double, ID};
use super::{at, hotwork, json, run, stderr, stdout};

#[test]
fn tables_and_names_show_what_the_broker_says_and_nothing_steers_the_terminal() {
    let double = Double::start();
    assert!(stdout(&run(&double, "agent list")).contains("bot"));
    assert_eq!(stdout(&run(&double, "agent list -o name")), format!("{AGENT}\n"));
    assert_eq!(stdout(&run(&double, "api list -o name")), "demo\n");
    assert!(stdout(&run(&double, "keys")).contains("log"));
    let whoami = stdout(&run(&double, "whoami"));
    assert!(whoami.contains(AGENT) && whoami.contains("unix.uid:1000"), "{whoami}");
    assert!(!whoami.contains('\u{1b}') && !whoami.contains('\u{7}'), "{whoami:?}");
    let actions = stdout(&run(&double, "actions"));
    assert!(actions.contains("demo.pay") && actions.contains("invoice:text"), "{actions}");
    assert!(stdout(&run(&double, &format!("explain {ID}"))).contains("not-permitted"));
}

#[test]
fn reload_says_what_it_warns_of_beside_the_data() {
    let double = Double::start();
    let output = run(&double, "reload -o json");
    assert_eq!((json(&output)["changed"].as_bool(), output.status.code()), (Some(true), Some(0)));
    assert!(stderr(&output).contains("agents/a.toml:1:1"));
}

#[test]
fn a_revocation_needs_a_reason_and_a_dry_run_does_not() {
    let double = Double::start();
    let output = run(&double, "revoke --agent bot");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--reason"));
    assert!(double.seen().is_empty());

    let output = run(&double, "revoke --agent bot --dry-run");
    assert!(stdout(&output).contains("would end") && stdout(&output).contains('2'), "{output:?}");
    let output = run(&double, "revoke --agent bot --reason leaked -o json");
    assert_eq!(
        (json(&output)["liveCredentials"].as_str(), json(&output)["logIndex"].as_str()),
        (Some("2"), Some("41"))
    );
    run(&double, &format!("revoke --credential {ID} --reason lost"));
    run(&double, "revoke --all --yes --reason incident");
    let wanted = [
        format!("revoke Agent({AGENT:?}) dry run true"),
        format!("revoke Agent({AGENT:?}) leaked false"),
        format!("revoke CredentialId({ID:?}) lost false"),
        "revoke All(true) incident false".to_owned(),
    ];
    assert_eq!(double.seen(), wanted);
}

#[test]
fn an_unknown_agent_is_told_with_where_to_look() {
    let double = Double::start();
    let output = run(&double, "revoke --agent nobody --reason x");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hotwork agent list"), "{output:?}");
    assert!(double.seen().is_empty());
}

#[test]
fn all_credentials_are_asked_of_the_operators_listener() {
    let double = Double::start();
    assert_eq!(run(&double, "credential list --all --ended -o json").status.code(), Some(0));
    run(&double, "credential list --agent bot");
    assert_eq!(double.seen(), ["list  true".to_owned(), format!("list {AGENT} false")]);
}

#[test]
fn status_waits_for_a_broker_that_is_not_there_yet() {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("unix://{}", dir.path().join("socket").display());
    let mut command = hotwork();
    command.env("HOTWORK_ADMIN_ENDPOINT", uri).args(["status", "--wait", "30s", "-o", "json"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let _double = Double::start_in(dir);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), json(&output)["issuing"].as_bool()), (Some(0), Some(true)));
}

#[test]
fn status_gives_up_when_the_time_is_over() {
    let mut command = hotwork();
    command.env("HOTWORK_ADMIN_ENDPOINT", "unix:///nonexistent/socket").args(["status", "--wait", "100ms"]);
    assert_eq!(command.output().unwrap().status.code(), Some(7));
}

#[test]
fn the_log_is_shown_proved_and_pinned() {
    let double = Double::start();
    let tail = stdout(&run(&double, "audit tail -n 1"));
    assert!(tail.contains("4      1970-01-01T00:00:01Z  start  hotworkd"), "{tail}");
    assert_eq!(json(&run(&double, "audit tail -o json"))["entries"][0]["index"], "4");
    assert_eq!(stdout(&run(&double, "audit prove 4")), "c2sp.org/tlog-proof@v1\nindex 4\n");
    assert_eq!(stdout(&run(&double, "audit checkpoint")), "o\n5\nroot\n\n\u{2014} o sig\n");
    assert_eq!(stdout(&run(&double, "audit key")), "example.org/log+00000000+AQ==\n");
    assert_eq!(stdout(&run(&double, "audit show 3")), "{}\n");
}

#[test]
fn following_the_log_gives_one_object_on_each_line() {
    use std::io::{BufRead as _, BufReader};
    let double = Double::start();
    let mut child =
        at(&double).args(["audit", "tail", "-f", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let indexes: Vec<String> = lines
        .take(3)
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap()["index"].to_string())
        .collect();
    assert_eq!(indexes, ["\"4\"", "\"5\"", "\"6\""]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn verifying_a_log_needs_a_key_of_the_right_form() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "not a key").unwrap();
    let mut command = hotwork();
    let output = command.args(["audit", "verify"]).arg(dir.path()).arg("--key").arg(&key).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hotwork audit key"), "{output:?}");
}

#[test]
fn a_key_is_rotated_by_name_and_at_once_only_when_said() {
    let double = Double::start();
    let rotate = |line: &str| run(&double, line);
    assert_eq!(stdout(&rotate("keys rotate token -o name")).trim(), "new-key");
    assert!(rotate("keys rotate token --now").status.success());
    assert!(double.seen().contains(&"rotate token false".to_owned()));
    assert!(double.seen().contains(&"rotate token true".to_owned()));
    for bad in ["keys rotate", "keys rotate log", "keys rotate token now"] {
        assert_eq!(rotate(bad).status.code(), Some(2), "{bad}");
    }
    assert!(rotate("keys").status.success() && rotate("keys list").status.success());
}

#[test]
fn a_revocation_takes_exactly_one_selector_and_each_reaches_the_broker() {
    let double = Double::start();
    for (given, wanted) in [
        (format!("--lineage {ID}"), format!("Lineage({ID:?})")),
        (format!("--serial 4{}:00", "0".repeat(29)), format!("Serial(\"4{}\")", "0".repeat(31))),
        ("--owner team".to_owned(), "Owner(\"team\")".to_owned()),
        ("--principal user:7".to_owned(), "Principal(\"user:7\")".to_owned()),
        ("--tenant acme".to_owned(), "Tenant(\"acme\")".to_owned()),
        ("--api demo".to_owned(), "Api(\"demo\")".to_owned()),
        ("--action demo.read".to_owned(), "Action(\"demo.read\")".to_owned()),
        ("--resource-prefix repo/acme".to_owned(), "ResourcePrefix(\"repo/acme\")".to_owned()),
        (
            "--attested unix.uid=1000".to_owned(),
            "Attested(AttestedFact { kind: \"unix.uid\", value: \"1000\" })".to_owned(),
        ),
        ("--key k-1".to_owned(), "KeyId(\"k-1\")".to_owned()),
    ] {
        let output = run(&double, &format!("revoke {given} --reason x --yes"));
        assert_eq!(output.status.code(), Some(0), "{given}: {output:?}");
        assert_eq!(double.seen().last().unwrap(), &format!("revoke {wanted} x false"));
        // Whom it hits beside those that it names.
        let untold = ["--owner", "--attested"].iter().any(|option| given.starts_with(option));
        let dry = run(&double, &format!("revoke {given} --dry-run"));
        for (output, what) in [(output, "refuses, too"), (dry, "would refuse, too")] {
            let line =
                stdout(&output).lines().any(|line| line.starts_with(what) && line.contains("ALL older"));
            assert_eq!(line, untold, "{given}: {output:?}");
        }
    }
    let help = words(&stdout(&run(&double, "revoke --help")));
    assert!(
        help.contains("verifiers that follow the feed can't tell and refuse ALL older credentials"),
        "{help}"
    );
    let before = double.seen().len();
    for bad in [
        "revoke --reason x --yes",
        "revoke --tenant a --action demo.read --reason x",
        "revoke --all --agent a --reason x",
        "revoke --serial 00 --reason x",
        "revoke --attested uid --reason x",
        "revoke --resource-prefix a/ --reason x",
        "revoke --all --issued-before yesterday --reason x",
        "revoke --all --wait 9s --reason x",
        "revoke --all --lock-ttl 5m --reason x",
        "revoke --all --lock --lock-ttl 169h --reason x",
        "lock create --all",
        "lock create --message x",
        "lock --all",
        "lock --message x",
        "lock --all --agent a --message x",
        "lock --all --message x list",
        "lock --all create --all --message x",
        "lock rm x",
    ] {
        assert_eq!(run(&double, bad).status.code(), Some(2), "{bad}");
    }
    let single = run(&double, &format!("lock create --credential {ID} --message x"));
    assert!(single.status.code() == Some(2) && stderr(&single).contains("hotwork revoke"), "{single:?}");
    assert_eq!(double.seen().len(), before, "the broker was not asked");
}

#[test]
fn a_verifier_that_is_late_is_exit_10_only_when_somebody_waited() {
    let double = Double::start();
    let output = run(&double, "revoke --all --yes --reason x --wait 1s --lock");
    assert_eq!(output.status.code(), Some(10));
    let shown = stdout(&output);
    assert!(shown.contains("unix:uid=1,pid=2#envoy acknowledged epoch 42"), "{shown}");
    assert!(shown.contains("unix:uid=1,pid=3 has NOT acknowledged"), "{shown}");
    assert!(stderr(&output).contains("5 of 6 verifiers"), "{output:?}");
    let line = |name: &str| words(shown.lines().find(|line| line.contains(name)).unwrap());
    assert!(
        line("verifier/some").contains("has NOT acknowledged and is away with 2 instances since 2"),
        "{shown}"
    );
    assert!(
        line("verifier/never").contains("is enrolled, has NOT acknowledged and is away since 2"),
        "{shown}"
    );
    assert!(
        line("others")
            .contains("others, whom the broker can't tell, may NOT have acknowledged: who is away since"),
        "{shown}"
    );
    assert!(line("verifier/was").contains("has NOT acknowledged and is away since 2"), "{shown}");
    assert!(line("verifier/was").contains("Z: it may run on without hearing of it until 2"), "{shown}");
    let output = run(&double, "revoke --all --yes --reason x --wait 1s -o json");
    assert_eq!((output.status.code(), json(&output)["epoch"].as_str()), (Some(10), Some("42")));
    assert_eq!(run(&double, "revoke --all --yes --reason x").status.code(), Some(0));
}

#[test]
fn a_revocation_with_a_lock_says_what_the_lock_stops_in_the_words_of_a_lock() {
    let double = Double::start();
    let said = |line: &str| stdout(&run(&double, line));
    let line =
        |said: &str, name: &str| said.lines().find(|line| line.trim().starts_with(name)).map(str::to_owned);
    let told = line(&said("lock --all --message x"), "stops").unwrap();
    let both = said("revoke --all --yes --reason x --lock");
    assert_eq!(line(&both, "stops").map(|line| words(&line)), Some(words(&told)), "{both}");
    assert!(words(&told).ends_with("1 agent, 2 requests for approval"), "{told}");
    let dry = said("revoke --all --reason x --lock --dry-run");
    assert!(line(&dry, "would stop").unwrap().ends_with("1 agent, 2 requests for approval"), "{dry}");
    assert!(!dry.lines().any(|line| line.trim().starts_with("lock ")), "nothing was made: {dry}");
    for without in ["revoke --all --yes --reason x", "revoke --all --reason x --dry-run"] {
        let said = said(without);
        assert!(!said.contains("stop"), "{said}");
    }
    let json = json(&run(&double, "revoke --all --yes --reason x --lock -o json"));
    assert_eq!((&json["agentsStopped"], &json["approvalsStopped"]), (&1.into(), &2.into()), "{json}");
    assert!(json["actionsStopped"].is_null(), "{json}");
}

/// What a line says, however its columns are set.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn locks_are_made_listed_and_removed() {
    let double = Double::start();
    let output = run(&double, "lock create --agent bot --ttl 30m --message frozen -o name");
    assert_eq!(stdout(&output), "43\n");
    assert_eq!(double.seen(), [format!("lock Agent({AGENT:?}) 1800 frozen")]);
    // As it is typed at three in the morning.
    let short = run(&double, "lock --all --reason frozen");
    assert_eq!(double.seen().last().unwrap(), "lock All(true) 3600 frozen", "{short:?}");
    let said = stdout(&short);
    assert!(said.contains("1 agent, 2 requests for approval"), "{said}");
    assert!(said.contains("3 live credentials: `hotwork revoke --all --reason TEXT` does"), "{said}");
    let owner = stdout(&run(&double, "lock --tenant acme --message frozen"));
    assert!(owner.contains("`hotwork revoke --tenant acme --reason TEXT`"), "{owner}");
    let list = stdout(&run(&double, "lock list"));
    assert!(list.contains("everything of the tenant acme") && !list.contains('\u{1b}'), "{list:?}");
    assert_eq!(run(&double, "lock rm 43").status.code(), Some(0));
    let unknown = run(&double, "lock rm 44");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("hotwork lock list"), "{unknown:?}");
    let verifiers = run(&double, "feed -o json");
    assert_eq!(json(&verifiers)["verifiers"][0]["acknowledgedEpoch"], "42");
}

#[test]
fn a_test_notice_says_who_took_it() {
    let double = Double::start();
    let good = run(&double, "notify test good");
    assert_eq!(good.status.code(), Some(0));
    assert!(stdout(&good).contains("good") && stdout(&good).contains("yes"));
    let all = run(&double, "notify test -o json");
    assert_eq!((all.status.code(), json(&all)["tests"][1]["delivered"].as_bool()), (Some(10), Some(false)));
    let bad = run(&double, "notify test bad");
    assert_eq!(bad.status.code(), Some(1));
    assert!(stdout(&bad).contains("connect: refused") && !stdout(&bad).contains('\u{1b}'), "{bad:?}");
    let none = run(&double, "notify test nobody");
    assert!(none.status.code() == Some(1) && stderr(&none).contains("[[notify]]"), "{none:?}");
}
