//! `hotwork exec --wait`: the command runs when operators agreed, with what they agreed to, and not before.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::office::{MERGE, Office, reason, succeeds};
use crate::support::{code, eventually, text};

/// Leaves a mark that it ran, and names its credential if that is good.
const SCRIPT: &str = "touch \"$1\"; \"$0\" credential verify \"$HOTWORK_CERT_FILE\" >&2 && \
                      echo \"$HOTWORK_CREDENTIAL_ID\"; exit 7";

fn exec(office: &Office, more: &[&str], ran: &Path) -> Child {
    let line = ["exec", "--action", MERGE[1], "--resource", MERGE[3], "--wait", "10m", "-o", "json"];
    let command = ["--", "sh", "-c", SCRIPT, env!("CARGO_BIN_EXE_hotwork"), ran.to_str().unwrap()];
    let mut command = office.daemon.command(&[&line[..], more, &command].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The one that waits.
fn pending(office: &Office) -> Option<String> {
    let output = office.operator("victor", &["request", "list"]);
    succeeds(&output);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["approvals"][0]["id"].as_str().map(str::to_owned)
}

fn waits(office: &Office) -> String {
    eventually("it waits", || pending(office).is_some());
    pending(office).unwrap()
}

#[test]
fn a_command_runs_when_operators_agreed_and_its_credential_ends_with_it() {
    let office = Office::coding();
    let ran = office.dir.path().join("ran");
    let child = exec(&office, &["--kind", "cert"], &ran);
    let id = waits(&office);
    assert!(!ran.exists(), "not before they agreed");
    succeeds(&office.decides("alice", "approve", &id, None));
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 7, "its own code: {}", text(&output));
    assert!(ran.exists() && text(&output).contains("waiting up to"), "{}", text(&output));
    let credential = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!credential.trim().is_empty(), "it was good: {}", text(&output));
    assert_eq!(office.state(&id), "USED");
    let shown = office.daemon.json(&["credential", "show", credential.trim(), "--all"]);
    assert_eq!(shown["credential"]["state"], "CREDENTIAL_STATE_RELEASED", "{shown}");
    assert_eq!(pending(&office), None);

    // A token of `exec` is nobody's in particular: nobody is asked for one where it has to be.
    let ran = office.dir.path().join("ran-again");
    let output = exec(&office, &[], &ran).wait_with_output().unwrap();
    assert_eq!((code(&output), reason(&output).as_str()), (3, "binding-required"), "{}", text(&output));
    assert_eq!(pending(&office), None);
    // What is denied does not run.
    let child = exec(&office, &["--kind", "cert"], &ran);
    succeeds(&office.decides("bob", "deny", &waits(&office), None));
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), reason(&output).as_str()), (3, "approval-denied"), "{}", text(&output));
    assert!(!ran.exists());
}
