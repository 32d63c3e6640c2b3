//! What a new user does first, with the real binaries.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::support::{Daemon, code, lines, text};

fn dev() -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    (dir, daemon)
}

#[test]
fn dev_prints_lines_that_can_be_pasted_and_says_that_it_is_not_production() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut child = Command::new(env!("CARGO_BIN_EXE_hotworkd"))
        .args(["dev", "--state-dir", state.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    for line in lines(&mut child) {
        printed.push_str(&line);
        printed.push('\n');
        if line.contains("hotwork revoke") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for expected in [
        "not for production",
        "export PATH=",
        "HOTWORK_ENDPOINT",
        "hotwork exec",
        "hotwork issue",
        "hotwork revoke",
    ] {
        assert!(printed.contains(expected), "`{expected}` in\n{printed}");
    }
}

#[test]
fn the_daemon_s_binary_is_the_client_too_under_the_name_that_dev_links() {
    let (_dir, daemon) = dev();
    let mut client = Command::new(daemon.state.join("bin/hotwork"));
    let output = client.args(["whoami", "-o", "name"]).envs(&daemon.env).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("/agent/me"), "{}", text(&output));
}

#[test]
fn dev_refuses_listeners_that_are_not_loopback() {
    let output = Command::new(env!("CARGO_BIN_EXE_hotworkd"))
        .args(["dev", "--http", "0.0.0.0:0"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(text(&output).contains("loopback"), "{}", text(&output));
}

#[test]
fn a_temporary_state_directory_is_gone_after_a_clean_stop() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hotworkd"))
        .arg("dev")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = lines(&mut child).find_map(|line| {
        let (_, path) = line.split_once("HOTWORK_ENDPOINT=unix://")?;
        Some(std::path::PathBuf::from(path.trim()))
    });
    let socket = socket.unwrap();
    assert!(socket.exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!socket.parent().unwrap().exists());
}

#[test]
fn exec_hands_the_credential_over_in_private_files_and_takes_it_back() {
    let (_dir, daemon) = dev();
    let script = "stat -c %a \"$HOTWORK_TOKEN_FILE\" \"$(dirname \"$HOTWORK_TOKEN_FILE\")\"; \
                  cat \"$HOTWORK_TOKEN_FILE\"; echo; echo \"$HOTWORK_CREDENTIAL_ID\"; \
                  echo \"$HOTWORK_TOKEN_FILE\"";
    let output = daemon.hotwork(&[
        "exec",
        "--action",
        "demo.read",
        "--resource",
        "demo/hello",
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    let [file_mode, directory_mode, token, id, path] = printed[..] else { panic!("{printed:?}") };
    assert_eq!((file_mode, directory_mode), ("600", "700"));
    assert_eq!(token.split('.').count(), 3);
    assert!(!std::path::Path::new(path).exists());
    let shown = daemon.json(&["credential", "show", id]);
    assert_eq!(shown["credential"]["state"], "CREDENTIAL_STATE_RELEASED", "{shown}");
}

#[test]
fn exec_passes_exit_codes_and_signals_through() {
    let (_dir, daemon) = dev();
    let run = |command: &[&str]| {
        let head = ["exec", "--action", "demo.read", "--resource", "demo/hello", "--"];
        code(&daemon.hotwork(&[&head, command].concat()))
    };
    assert_eq!(run(&["sh", "-c", "exit 42"]), 42);
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(run(&["/nonexistent/program"]), 127);
    assert_eq!(run(&["/etc/passwd"]), 126);
    let denied = daemon.hotwork(&["exec", "--action", "demo.nothing", "--resource", "demo/x", "--", "true"]);
    assert_eq!(code(&denied), 3, "the broker's answer keeps its own code: {}", text(&denied));
}

#[test]
fn a_signal_to_exec_reaches_the_command_and_the_credential_is_released() {
    let (_dir, daemon) = dev();
    let script =
        "trap 'echo got; exit 7' TERM; echo \"$HOTWORK_CREDENTIAL_ID\"; while :; do sleep 0.05; done";
    let arguments = ["exec", "--action", "demo.read", "--resource", "demo/hello", "--", "sh", "-c", script];
    let mut child = daemon.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = lines(&mut child);
    let id = printed.next().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(printed.next().as_deref(), Some("got"));
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let shown = daemon.json(&["credential", "show", &id]);
    assert_eq!(shown["credential"]["state"], "CREDENTIAL_STATE_RELEASED", "{shown}");
}

#[test]
fn issue_writes_token_and_certificate_files_that_verify() {
    let (dir, daemon) = dev();
    let out = dir.path().join("out");
    let out_text = out.to_str().unwrap();
    let issued =
        daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", "2m", "--out", out_text]);
    assert!(
        issued["credential"]["id"].is_string() && issued["credential"]["expireTime"].is_string(),
        "{issued}"
    );
    let certificate =
        daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--kind", "cert", "--out", out_text]);
    assert!(certificate["certificatePem"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
    for file in ["token", "cert.pem", "key.pem", "ca.pem"] {
        let mode = std::fs::metadata(out.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    for file in ["token", "cert.pem"] {
        let verified = daemon.hotwork(&["credential", "verify", out.join(file).to_str().unwrap()]);
        assert_eq!(code(&verified), 0, "{file}: {}", text(&verified));
    }
    let openssl = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(out.join("ca.pem"))
        .arg(out.join("cert.pem"))
        .output();
    let openssl = openssl.unwrap();
    assert!(openssl.status.success(), "{}", text(&openssl));
}

#[test]
fn a_revoked_credential_has_a_negative_verdict() {
    let (dir, daemon) = dev();
    let out = dir.path().join("out");
    let token = out.join("token");
    let issued =
        daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--out", out.to_str().unwrap()]);
    let id = issued["credential"]["id"].as_str().unwrap();
    let dry = daemon.json(&["revoke", "--credential", id, "--reason", "test", "--dry-run"]);
    assert_eq!(dry["liveCredentials"], "1");
    assert_eq!(code(&daemon.hotwork(&["credential", "verify", token.to_str().unwrap()])), 0);
    let revoked = daemon.json(&["revoke", "--credential", id, "--reason", "leaked, TICKET-1"]);
    assert_eq!(revoked["liveCredentials"], "1");
    assert_eq!(code(&daemon.hotwork(&["credential", "verify", token.to_str().unwrap()])), 6);
    let shown = daemon.json(&["credential", "show", id]);
    assert_eq!(shown["credential"]["revocation"]["reason"], "leaked, TICKET-1");
    let again = daemon.hotwork(&["revoke", "--credential", id, "--reason", "again"]);
    assert_eq!(code(&again), 9, "{}", text(&again));
}

#[test]
fn revoking_an_agent_or_everything_ends_what_is_live_and_not_what_comes() {
    let (_dir, daemon) = dev();
    let issue = || daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let agent = daemon.json(&["whoami"])["agent"].as_str().unwrap().to_owned();
    for selector in [vec!["--agent", agent.as_str()], vec!["--all"]] {
        let before = [issue(), issue()];
        let revoked = daemon.json(&[&["revoke", "--yes", "--reason", "drill"], &selector[..]].concat());
        assert_eq!(revoked["liveCredentials"], "2", "{selector:?}");
        let after = issue();
        let state = |issued: &serde_json::Value| {
            let id = issued["credential"]["id"].as_str().unwrap();
            daemon.json(&["credential", "show", id])["credential"]["state"].clone()
        };
        assert!(before.iter().all(|issued| state(issued) == "CREDENTIAL_STATE_REVOKED"));
        assert_eq!(state(&after), "CREDENTIAL_STATE_LIVE");
        daemon.json(&["revoke", "--yes", "--reason", "clean", "--all"]);
    }
}

#[test]
fn a_denial_is_explained_to_the_operator_and_only_coded_to_the_agent() {
    let (_dir, daemon) = dev();
    let denied = daemon.hotwork(&["issue", "demo.delete", "--resource", "demo/hello", "-o", "json"]);
    assert_eq!(code(&denied), 5, "{}", text(&denied));
    let failure: serde_json::Value = serde_json::from_slice(&denied.stdout).unwrap();
    assert_eq!(failure["reason"], "approval-required", "{failure}");
    let decision = failure["decisionId"].as_str().unwrap();
    let explained = daemon.json(&["explain", decision]);
    assert_eq!(explained["reason"], "approval-required");
    assert_eq!(explained["effect"], "EFFECT_PENDING");
    let now = explained["now"].as_str().unwrap();
    assert!(now.starts_with("allowed by ") && now.ends_with("approvals needed: 1"), "{now}");
    let unknown = daemon.hotwork(&["issue", "demo.nothing", "--resource", "demo/x"]);
    assert_eq!(code(&unknown), 3, "{}", text(&unknown));
}

#[test]
fn the_log_verifies_offline_on_a_copy_and_the_edited_byte_is_named() {
    let (dir, daemon) = dev();
    daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let state = daemon.state.clone();
    assert_eq!(daemon.stop(), 0);
    let copy = dir.path().join("copy");
    let copied = Command::new("cp").arg("-r").arg(state.join("journal")).arg(&copy).status().unwrap();
    assert!(copied.success());
    let key = state.join("log.pub");
    let verify = |path: &std::path::Path| {
        Command::new(env!("CARGO_BIN_EXE_hotwork"))
            .args(["audit", "verify", path.to_str().unwrap(), "--key", key.to_str().unwrap()])
            .output()
            .unwrap()
    };
    assert!(verify(&state).status.success(), "{}", text(&verify(&state)));
    assert!(verify(&copy).status.success(), "{}", text(&verify(&copy)));
    let segment = std::fs::read_dir(&copy).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(9).position(|window| window == b"demo.read").unwrap();
    bytes[at] = b'x';
    std::fs::write(&segment, bytes).unwrap();
    let damaged = verify(&copy);
    assert_eq!(code(&damaged), 6, "{}", text(&damaged));
    assert!(text(&damaged).contains(&format!("byte {at}, entry 2")), "{}", text(&damaged));
}

#[test]
fn a_retry_with_the_same_key_is_the_same_record() {
    let (_dir, daemon) = dev();
    let ask = |resource: &str| {
        daemon.hotwork(&[
            "issue",
            "demo.read",
            "--resource",
            resource,
            "--idempotency-key",
            "k-1",
            "-o",
            "json",
        ])
    };
    let first: serde_json::Value = serde_json::from_slice(&ask("demo/a").stdout).unwrap();
    let second: serde_json::Value = serde_json::from_slice(&ask("demo/a").stdout).unwrap();
    assert_eq!(first["credential"], second["credential"]);
    let unsigned = |value: &serde_json::Value| {
        value["token"].as_str().unwrap().rsplit_once('.').map(|(head, _)| head.to_owned()).unwrap()
    };
    assert_eq!(unsigned(&first), unsigned(&second));
    let other = ask("demo/b");
    assert_eq!(code(&other), 9, "{}", text(&other));
    let listed = daemon.json(&["credential", "list"]);
    assert_eq!(listed["credentials"].as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn reload_takes_new_rules_and_a_bad_registry_changes_nothing() {
    let (_dir, daemon) = dev();
    let agents = daemon.state.join("config/agents");
    let entry = std::fs::read_dir(&agents).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read_to_string(&entry).unwrap();
    std::fs::write(&entry, format!("{good}\nnonsense = 1\n")).unwrap();
    let bad = daemon.hotwork(&["reload"]);
    assert_eq!(code(&bad), 9, "{}", text(&bad));
    assert!(text(&bad).contains("nonsense"), "{}", text(&bad));
    daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let suspended = good.replace("state = \"active\"", "state = \"suspended\"");
    assert_ne!(suspended, good);
    std::fs::write(&entry, suspended).unwrap();
    assert_eq!(daemon.json(&["reload"])["changed"], true);
    let denied = daemon.hotwork(&["issue", "demo.read", "--resource", "demo/hello", "-o", "json"]);
    assert_eq!(code(&denied), 3);
    assert!(text(&denied).contains("agent-suspended"), "{}", text(&denied));
}

#[test]
fn the_index_is_disposable() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let kept = daemon.json(&["issue", "demo.read", "--resource", "demo/kept"]);
    let ended = daemon.json(&["issue", "demo.read", "--resource", "demo/ended"]);
    let id = |issued: &serde_json::Value| issued["credential"]["id"].as_str().unwrap().to_owned();
    daemon.json(&["revoke", "--credential", &id(&ended), "--reason", "test"]);
    let before =
        [daemon.json(&["credential", "show", &id(&kept)]), daemon.json(&["credential", "show", &id(&ended)])];
    assert_eq!(daemon.stop(), 0);
    std::fs::remove_dir_all(state.join("index")).unwrap();
    let daemon = Daemon::dev(&state);
    let after =
        [daemon.json(&["credential", "show", &id(&kept)]), daemon.json(&["credential", "show", &id(&ended)])];
    assert_eq!(before, after);
}

#[test]
fn a_second_daemon_on_the_directory_is_refused() {
    let (_dir, daemon) = dev();
    let output = Command::new(env!("CARGO_BIN_EXE_hotworkd"))
        .args(["dev", "--state-dir", daemon.state.to_str().unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("another"), "{}", text(&output));
    daemon.json(&["whoami"]);
}

#[test]
fn no_daemon_is_exit_seven_and_says_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_hotwork"))
        .args(["whoami", "-o", "json"])
        .env("HOTWORK_ENDPOINT", "unix:///nonexistent/agent.sock")
        .output()
        .unwrap();
    assert_eq!(code(&output), 7, "{}", text(&output));
    let failure: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["code", "reason", "message", "decisionId"] {
        assert!(failure.get(key).is_some(), "{failure}");
    }
}
