//! The kill switch, for real: what a lock covers is refused with its message, everything else goes on, and whoever locked is
//! told what it stops and what it does not end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::json;

use crate::scene::JKT;
use crate::support::{Daemon, code, example, text};

const MESSAGE: &str = "incident 42: call the duty officer";
/// The requests: their tenant's agent, the action, and its resource.
const STATUS: Ask = ("acme", "crm.account.status", "tenant/acme/account/7");
const LETTER: Ask = ("acme", "mail.letter.send", "tenant/acme/letter/7");
const OTHER: Ask = ("globex", "crm-globex.account.status", "tenant/globex/account/7");
const CLOSE: Ask = ("acme", "crm.account.close", "tenant/acme/account/7");

type Ask = (&'static str, &'static str, &'static str);

/// Two tenants, each with an agent: whoever runs that tenant's copy of the command.
struct Town {
    daemon: Daemon,
    dir: tempfile::TempDir,
}

impl Town {
    fn start() -> Self {
        Self::of("")
    }

    /// With an operator who has these words more in their entry.
    fn of(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example("support", dir.path());
        let files = config.parent().unwrap();
        for tenant in ["acme", "globex"] {
            let program = copied(dir.path(), tenant);
            let rules = format!("[rules]\n\"unix.exe\" = \"{}\"\n", program.display());
            change(files, &format!("agents/desk-{tenant}.toml"), |text| {
                text.split("[rules]").next().unwrap().to_owned() + &rules
            });
        }
        let action = |name: &str, tier: &str, kind: &str| {
            format!(
                "\n[[action]]\nname = \"{name}\"\ndescription = \"d\"\naccess = \"write\"\n\
                 resource = \"tenant/{{tenant}}/{kind}/{{id}}\"\nttl_max = \"5m\"\ntier = \"{tier}\"\nrate = \"50/s\"\n"
            )
        };
        change(files, "apis/crm.toml", |text| text.to_owned() + &action(CLOSE.1, "approval", "account"));
        let mail = "name = \"mail\"\ntenant = \"acme\"\naudience = \"https://mail.acme.example\"\n\
                    owner = \"support@acme.example\"\npurpose = \"Letters\"\n";
        std::fs::write(files.join("apis/mail.toml"), mail.to_owned() + &action(LETTER.1, "auto", "letter"))
            .unwrap();
        change(files, "policies/support.cedar", |text| {
            text.to_owned()
                + "\n@id(\"acme-desk-writes\")\npermit (principal is Agent in Tenant::\"acme\", action in \
                   [Action::\"mail.letter.send\", Action::\"crm.account.close\"], resource in Resource::\"tenant/acme\");\n"
        });
        let uid = rustix::process::getuid().as_raw();
        let operators = format!(
            "[[operator]]\nname = \"alice\"\nuid = {uid}\nroles = [\"admin\", \"revoker\", \"viewer\"]\n{more}"
        );
        std::fs::write(files.join("operators.toml"), operators).unwrap();
        let mut daemon = Daemon::serve(&config, &dir.path().join("state"));
        let socket = |name: &str| format!("unix://{}", dir.path().join("state").join(name).display());
        daemon.env.insert("HOTWORK_ENDPOINT".into(), socket("agent.sock"));
        daemon.env.insert("HOTWORK_ADMIN_ENDPOINT".into(), socket("admin.sock"));
        Self { daemon, dir }
    }

    /// What the tenant's agent is answered.
    fn asks(&self, (tenant, action, resource): Ask) -> Output {
        let mut line = vec!["issue", action, "--resource", resource, "--dpop-jkt", JKT, "-o", "json"];
        if action.ends_with("status") {
            line.extend(["--param", "field=plan"]);
        }
        let mut command = std::process::Command::new(self.dir.path().join(tenant).join("hotwork"));
        command.args(line).envs(&self.daemon.env).stdin(std::process::Stdio::null()).output().unwrap()
    }
}

/// The command as the file of a tenant's agent.
fn copied(dir: &Path, tenant: &str) -> PathBuf {
    let (from, to) = (env!("CARGO_BIN_EXE_hotwork"), dir.join(tenant).join("hotwork"));
    std::fs::create_dir(to.parent().unwrap()).unwrap();
    std::fs::copy(from, &to).unwrap();
    std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).unwrap();
    to.canonicalize().unwrap()
}

fn change(files: &Path, name: &str, edit: impl FnOnce(&str) -> String) {
    let path = files.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, edit(&text)).unwrap();
}

#[test]
fn a_lock_stops_what_it_covers_and_nothing_else_and_says_so() {
    let town = Town::start();
    assert_eq!(code(&town.asks(CLOSE)), 5, "it waits for an operator: {}", text(&town.asks(CLOSE)));
    let mut live = [0_u64; 3];
    let desk = "spiffe://example.org/tenant/globex/agent/desk";
    for (selector, refused, told) in [
        (&["--all"][..], [true, true, true], json!([2, 4, 1])),
        (&["--tenant", "acme"], [true, true, false], json!([1, 3, 1])),
        (&["--api", "crm"], [true, false, false], json!([null, 2, 1])),
        (&["--agent", desk], [false, false, true], json!([1, null, 0])),
    ] {
        for (ask, live) in [STATUS, LETTER, OTHER].into_iter().zip(&mut live) {
            let issued = town.asks(ask);
            assert_eq!(code(&issued), 0, "{ask:?}: {}", text(&issued));
            *live += 1;
        }
        let answer = town.daemon.json(&[&["lock"], selector, &["--reason", MESSAGE]].concat());
        let approvals = answer["approvalsStopped"].as_u64().unwrap_or(0);
        let stops = json!([answer["agentsStopped"], answer["actionsStopped"], approvals]);
        assert_eq!(stops, told, "{selector:?}: {answer}");
        let named: u64 = live.iter().zip(refused).filter(|(_, refused)| *refused).map(|(live, _)| live).sum();
        let counted = answer["liveCredentials"].as_str().unwrap_or("0").parse::<u64>().unwrap();
        let bound = answer["liveIsLowerBound"] == true;
        assert!(counted == named || bound && counted < named, "{selector:?}: {named} live, {answer}");

        for ((ask, refused), live) in [STATUS, LETTER, OTHER].into_iter().zip(refused).zip(&mut live) {
            let answer = town.asks(ask);
            if refused {
                assert_eq!(code(&answer), 3, "{selector:?} {ask:?}: {}", text(&answer));
                assert!(text(&answer).contains(MESSAGE) && text(&answer).contains("locked"), "{answer:?}");
            } else {
                assert_eq!(code(&answer), 0, "{selector:?} {ask:?}: {}", text(&answer));
                *live += 1;
            }
        }
        // What was issued lives on, as it said.
        let list = town.daemon.json(&["credential", "list", "--all"]);
        let states = list["credentials"].as_array().unwrap().iter().map(|one| &one["state"]);
        assert_eq!(
            states.filter(|state| *state == "CREDENTIAL_STATE_LIVE").count() as u64,
            live.iter().sum::<u64>()
        );
        let id = answer["lock"]["id"].as_str().unwrap().to_owned();
        town.daemon.json(&["lock", "rm", &id]);
    }
}

#[test]
fn people_are_told_how_to_end_what_a_lock_leaves() {
    let town = Town::start();
    assert_eq!(code(&town.asks(STATUS)), 0);
    let locked = town.daemon.hotwork(&["lock", "--all", "--message", MESSAGE]);
    let said = text(&locked);
    assert!(said.contains("2 agents, 4 actions, 0 requests for approval"), "{said}");
    assert!(said.contains("1 live credential: `hotwork revoke --all --reason TEXT` does"), "{said}");
    let ended = town.daemon.json(&["revoke", "--all", "--reason", "incident 42", "--yes"]);
    assert_eq!(ended["liveCredentials"], "1");
    let again = text(&town.daemon.hotwork(&["lock", "--all", "--message", MESSAGE]));
    assert!(again.contains("nothing: none of its credentials is live"), "{again}");
}

#[test]
fn what_a_lock_stops_is_counted_where_the_registry_can_tell() {
    let town = Town::start();
    assert_eq!(code(&town.asks(CLOSE)), 5);
    let desk = "spiffe://example.org/tenant/acme/agent/desk";
    for (selector, told) in [
        (["--owner", "support@acme.example"], json!([1, null, 1])),
        (["--owner", "nobody"], json!([0, null, 0])),
        (["--principal", desk], json!([1, null, 1])),
        (["--action", CLOSE.1], json!([null, 1, 1])),
        (["--action", STATUS.1], json!([null, 1, 0])),
        (["--resource-prefix", "tenant/acme"], json!([null, null, 1])),
        (["--tenant", "nowhere"], json!([0, 0, 0])),
        (["--agent", "spiffe://example.org/tenant/acme/agent/nobody"], json!([0, null, 0])),
    ] {
        let answer = town.daemon.json(&[&["lock"][..], &selector, &["--message", MESSAGE]].concat());
        let approvals = answer["approvalsStopped"].as_u64().unwrap_or(0);
        assert_eq!(
            json!([answer["agentsStopped"], answer["actionsStopped"], approvals]),
            told,
            "{selector:?}"
        );
    }
}

#[test]
fn a_revocation_with_a_lock_says_beforehand_and_afterwards_what_the_lock_stops() {
    let town = Town::start();
    assert_eq!(code(&town.asks(CLOSE)), 5);
    let stops = |answer: &serde_json::Value| {
        json!([answer["agentsStopped"], answer["actionsStopped"], answer["approvalsStopped"]])
    };
    for (selector, refused, told) in [
        (["--tenant", "acme"], true, json!([1, 3, 1])),
        (["--api", "crm"], true, json!([null, 2, 1])),
        (["--action", CLOSE.1], false, json!([null, 1, 1])),
        (["--agent", "spiffe://example.org/tenant/globex/agent/desk"], false, json!([1, null, 0])),
    ] {
        assert_eq!(code(&town.asks(STATUS)), 0, "{selector:?}");
        let revoke = |more: &[&str]| {
            let reason = ["--reason", MESSAGE, "--yes"];
            town.daemon.json(&[&["revoke"], &selector[..], &reason, more].concat())
        };
        // Without a lock nothing is stopped, and nothing said.
        assert_eq!(stops(&revoke(&["--dry-run"])), json!([null, null, null]), "{selector:?}");
        let before = revoke(&["--dry-run", "--lock"]);
        assert_eq!((stops(&before), &before["lockId"]), (told.clone(), &json!(null)), "{selector:?}");
        assert_eq!(town.daemon.json(&["status"])["locks"].as_u64().unwrap_or(0), 0, "it was only asked");
        let done = revoke(&["--lock"]);
        assert_eq!(stops(&done), told, "{selector:?}: {done}");
        assert_eq!(code(&town.asks(STATUS)), if refused { 3 } else { 0 }, "{selector:?}");
        // The words of a lock.
        town.daemon.json(&["lock", "rm", done["lockId"].as_str().unwrap()]);
        let said = |line: &[&str]| {
            let output = town.daemon.hotwork(line);
            assert_eq!(code(&output), 0, "{}", text(&output));
            let stdout = String::from_utf8(output.stdout).unwrap();
            let line = stdout.lines().find(|line| line.starts_with("stops")).unwrap().to_owned();
            let id = stdout.lines().find(|line| line.starts_with("lock ")).unwrap();
            town.daemon.json(&["lock", "rm", id.split_whitespace().last().unwrap()]);
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let lock = said(&[&["lock"], &selector[..], &["--message", MESSAGE]].concat());
        assert_eq!(said(&[&["revoke"], &selector[..], &["--reason", "r", "--yes", "--lock"]].concat()), lock);
    }
}

/// Promise P12: what is another tenant's counts for nothing, as what is not there.
#[test]
fn an_operator_of_one_tenant_is_told_nothing_of_another_by_what_a_lock_stops() {
    let town = Town::of("tenants = [\"acme\"]\n");
    for ask in [STATUS, OTHER] {
        assert_eq!(code(&town.asks(ask)), 0, "{ask:?}");
    }
    let told = |flag: &str, value: &str| {
        let mut answer = town.daemon.json(&["lock", flag, value, "--message", MESSAGE]);
        let id = answer["lock"]["id"].as_str().unwrap().to_owned();
        town.daemon.json(&["lock", "rm", &id]);
        answer["lock"].take();
        answer
    };
    for (flag, theirs, none) in [
        ("--api", "crm-globex", "nowhere"),
        ("--action", OTHER.1, "nowhere.account.status"),
        ("--owner", "support@globex.example", "nobody"),
        ("--resource-prefix", "tenant/globex", "tenant/nowhere"),
    ] {
        let (theirs, none) = (told(flag, theirs), told(flag, none));
        let counted = |answer: &serde_json::Value| answer["liveIsLowerBound"] == false;
        assert!(theirs == none || !counted(&theirs) || !counted(&none), "{flag}: {theirs} {none}");
        assert_eq!(theirs["liveCredentials"], "0", "{flag}");
    }
    // As little by what a lock would stop that goes with a revocation.
    let asked = |flag: &str, value: &str| {
        town.daemon.json(&["revoke", flag, value, "--reason", "r", "--lock", "--dry-run"])
    };
    for (flag, theirs, none) in
        [("--api", "crm-globex", "nowhere"), ("--action", OTHER.1, "nowhere.account.status")]
    {
        assert_eq!(asked(flag, theirs)["actionsStopped"], asked(flag, none)["actionsStopped"], "{flag}");
        assert_eq!(asked(flag, theirs)["actionsStopped"], 0, "{flag}");
    }
    // Their own are counted.
    assert_eq!(asked("--api", "crm")["actionsStopped"], 2);
    assert_eq!(told("--api", "crm")["actionsStopped"], 2);
    assert_eq!(told("--tenant", "acme")["liveCredentials"], "1");
}
