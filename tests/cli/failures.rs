//! How the command fails: exit codes, one object under `-o json`, and what to do next.

use std::process::{Output, Stdio};

use super::double::{Double, ID};
use super::{at, hotwork, json, run, stderr, stdout};

fn is_one_object(output: &Output) {
    let object = json(output);
    for key in ["code", "reason", "message", "decisionId"] {
        assert!(object[key].is_string(), "{key}: {object}");
    }
    assert_eq!((object.as_object().unwrap().len(), stdout(output).lines().count()), (4, 1));
    assert_eq!(stderr(output), "");
}

#[test]
fn each_refusal_has_its_exit_code_and_its_object() {
    let double = Double::start();
    let table = [
        ("bug", 1, "internal"),
        ("field", 2, "bad-field"),
        ("deny", 3, "not-permitted"),
        ("stranger", 4, "unidentified"),
        ("approve", 5, "approval-required"),
        ("down", 7, "ledger-stopped"),
        ("rush", 8, "rate-limited"),
        ("conflict", 9, "idempotency-key-reused"),
        ("registry", 9, "registry-invalid"),
    ];
    for (verb, code, reason) in table {
        let output = run(&double, &format!("issue demo.{verb} --resource demo/hello -o json"));
        is_one_object(&output);
        let object = json(&output);
        assert_eq!(output.status.code(), Some(code), "{verb}");
        assert_eq!(
            (object["reason"].as_str(), object["decisionId"].as_str()),
            (Some(reason), Some(ID)),
            "{verb}"
        );

        let output = run(&double, &format!("issue demo.{verb} --resource demo/hello"));
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(code), ""), "{verb}");
        assert!(stderr(&output).contains("next: ") && !stderr(&output).contains('\u{1b}'), "{output:?}");
    }
    for (verb, next) in [
        ("rush", "wait 3s"),
        ("conflict", "use a new --idempotency-key"),
        ("registry", "`hotworkd check --config DIR` shows every problem"),
    ] {
        let output = run(&double, &format!("issue demo.{verb} --resource demo/hello"));
        assert!(stderr(&output).contains(next), "{verb}: {output:?}");
    }
}

#[test]
fn a_broker_that_is_not_there_is_unavailable_and_the_message_names_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let dead = dir.path().join("dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let file = dir.path().join("none");
    for (uri, code, reason) in [
        (format!("unix://{}", file.display()), 7, "not-running"),
        (format!("unix://{}", dead.display()), 7, "not-running"),
        ("https://broker:8443".to_owned(), 2, "tls-files"),
        ("tcp://x".to_owned(), 2, "endpoint-form"),
        (String::new(), 2, "endpoint-missing"),
    ] {
        let output = hotwork().env("HOTWORK_ENDPOINT", &uri).args(["whoami", "-o", "json"]).output().unwrap();
        is_one_object(&output);
        assert_eq!(
            (output.status.code(), json(&output)["reason"].as_str()),
            (Some(code), Some(reason)),
            "{uri}"
        );
    }
    let output = hotwork().arg("whoami").output().unwrap();
    assert!(stderr(&output).contains("hotworkd dev"), "{output:?}");
}

#[test]
fn a_server_that_does_not_answer_ends_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let silent = dir.path().join("silent");
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    let mut command = hotwork();
    command.env("HOTWORK_ENDPOINT", format!("unix://{}", silent.display()));
    let output = command.args(["whoami", "--timeout", "200ms", "-o", "json"]).output().unwrap();
    is_one_object(&output);
    assert_eq!((output.status.code(), json(&output)["reason"].as_str()), (Some(7), Some("deadline")));
}

#[test]
fn a_wrong_command_line_is_one_object_too() {
    for line in ["issue -o json", "-o json", "nonsense -o json", "whoami --timeout 5 --output=json"] {
        let output = hotwork().args(line.split(' ')).output().unwrap();
        is_one_object(&output);
        assert_eq!(
            (output.status.code(), json(&output)["reason"].as_str()),
            (Some(2), Some("usage")),
            "{line}"
        );
    }
    let output = hotwork().args(["issue"]).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("--resource"));
    assert_eq!(hotwork().output().unwrap().status.code(), Some(2));
}

#[test]
fn help_version_completions_and_manual_need_no_broker() {
    for line in ["--help", "exec --help", "audit verify --help", "--version", "completion zsh", "man"] {
        let output = hotwork().args(line.split(' ')).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{line}");
        assert!(stdout(&output).contains("hotwork"), "{line}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(hotwork().arg("man").arg(dir.path()).status().unwrap().success());
    assert!(dir.path().join("hotwork-credential-verify.1").exists());
    let output = hotwork().arg("man").arg(dir.path().join("none")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

/// A pipe that nobody reads any more.
fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_credential_that_nobody_got_is_given_back() {
    let double = Double::start();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    for (stdout, code) in [(nobody(), 0), (Stdio::from(full), 1)] {
        let mut command = at(&double);
        let output =
            command.args(["issue", "demo.read", "--resource", "demo/hello"]).stdout(stdout).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(double.seen().last(), Some(&format!("release {ID}")));
    }
    assert_eq!(double.seen().len(), 4);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let output = hotwork().args(["completion", "bash"]).stdout(nobody()).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn the_help_is_this() {
    let output = hotwork().arg("--help").output().unwrap();
    insta::assert_snapshot!(stdout(&output));
}
