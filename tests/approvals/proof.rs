//! What the log proves: whoever has the entries checks with `ssh-keygen`, and nothing of ours, who decided what.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::office::{JKT, Office, succeeds};
use crate::support::{code, text};

const NAMESPACE: &str = "hotwork-approval";

/// The index and the JSON of the newest entry that holds this.
fn entry(office: &Office, holds: &str) -> (String, String) {
    let tail = office.daemon.json(&["audit", "tail", "-n", "1000"]);
    let newest = tail["entries"].as_array().unwrap().iter().rev().find_map(|entry| {
        let json = entry["json"].as_str().unwrap();
        json.starts_with(&format!("{{\"event\":{{\"{holds}\""))
            .then(|| json.to_owned())
            .zip(entry["index"].as_str())
    });
    let (json, index) = newest.unwrap_or_else(|| panic!("no entry of `{holds}`"));
    (index.to_owned(), json)
}

/// Whether `ssh-keygen` takes it from this person, by the keys that the auditor knows.
fn verified(known: &Path, name: &str, out: &Path) -> bool {
    let statement = std::fs::File::open(out.join("statement.txt")).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-n", NAMESPACE, "-I", name, "-f"]).arg(known).arg("-s");
    command.arg(out.join(format!("{name}.sig"))).stdin(statement);
    command.output().unwrap().status.success()
}

#[test]
fn an_auditor_checks_a_decision_with_ssh_keygen_alone() {
    let office = Office::coding();
    let id = office.asked(JKT);
    succeeds(&office.decides("alice", "approve", &id, None));
    let ((_, ask), (index, vote)) = (entry(&office, "ask"), entry(&office, "decide"));
    let dir = office.dir.path();
    let out = dir.join("decision");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let written = office.daemon.json(&["audit", "signatures", &index, "--out", &path(&out)]);
    assert_eq!(written["signers"], serde_json::json!(["alice"]));
    let said = std::fs::read_to_string(out.join("statement.txt")).unwrap();
    assert!(said.contains("decision: approve\noperator: alice\n") && said.contains(&id), "{said}");
    // The keys as the auditor knows them.
    let allowed = |name: &str, key: &str, file: &str| {
        let known = dir.join(file);
        let line = format!("{name} namespaces=\"{NAMESPACE}\" {}\n", office.keys[key].public());
        std::fs::write(&known, line).unwrap();
        known
    };
    let known = allowed("alice", "alice", "allowed_signers");
    assert!(verified(&known, "alice", &out));
    let shown = written["commands"][0].as_str().unwrap();
    let shell = Command::new("sh").args(["-euc", shown]).current_dir(dir).output().unwrap();
    assert!(shell.status.success(), "{shown}: {}", text(&shell));
    assert!(!verified(&allowed("alice", "bob", "other"), "alice", &out), "another one's key");
    std::fs::write(out.join("statement.txt"), said.replace("decision: approve", "decision: deny")).unwrap();
    assert!(!verified(&known, "alice", &out), "another text");

    // Elsewhere, without the broker, from the two entries; and when they don't agree, that is said.
    let file = |name: &str, json: &str| -> PathBuf {
        std::fs::write(dir.join(name), json).unwrap();
        dir.join(name)
    };
    let offline = |ask: Option<&str>, vote: &str| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
        command.args(["audit", "signatures", "-o", "json", "--entry"]).arg(file("vote.json", vote));
        command.arg("--out").arg(&out).env_clear();
        ask.map(|ask| command.arg("--request").arg(file("ask.json", ask)));
        command.output().unwrap()
    };
    succeeds(&offline(Some(&ask), &vote));
    assert!(verified(&known, "alice", &out));
    assert_eq!(code(&offline(None, &vote)), 2, "the request's entry is needed");
    assert_eq!(code(&offline(Some(&vote), &vote)), 2);
    for (from, to) in [("repo/acme/site", "repo/acme/payroll"), ("\"approvals\":", "\"approvals\":1")] {
        assert!(ask.contains(from), "{from}: {ask}");
        let refused = offline(Some(&ask.replace(from, to)), &vote);
        assert_eq!(code(&refused), 6, "{from}: {}", text(&refused));
    }
    for (from, to) in [("\"approve\"", "\"deny\""), ("\"alice\"", "\"bob\"")] {
        assert!(vote.contains(from), "{from}: {vote}");
        let refused = offline(Some(&ask), &vote.replace(from, to));
        let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!((code(&refused), &said["reason"]), (6, &"statement-differs".into()), "{said}");
    }
}
