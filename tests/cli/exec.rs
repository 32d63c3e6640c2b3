//! `hotwork exec`: files, environment, signals, exit codes, and the end of the credential.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::double::{Double, ID, TOKEN};
use super::{at, json, stderr, stdout};

const RELEASED: &str = "release 01932b6e-5f2a-7c3d-8e4f-0a1b2c3d4e5f";

fn exec(double: &Double, kind: &str, script: &str) -> std::process::Output {
    let words =
        ["exec", "--action", "demo.read", "--resource", "demo/hello", "--kind", kind, "--", "sh", "-c"];
    at(double).args(words).arg(script).output().unwrap()
}

fn left_over(double: &Double) -> usize {
    std::fs::read_dir(double.runtime_dir()).unwrap().count()
}

#[test]
fn the_command_finds_a_private_token_file_and_it_is_gone_afterwards() {
    let double = Double::start();
    let script = "stat -c %a $HOTWORK_TOKEN_FILE $(dirname $HOTWORK_TOKEN_FILE); cat $HOTWORK_TOKEN_FILE; \
                  echo; echo $HOTWORK_CREDENTIAL_ID; echo $HOTWORK_TOKEN_FILE; exit 7";
    let output = exec(&double, "token", script);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["600", "700", TOKEN, ID], "{output:?}");
    assert!(lines[4].starts_with(double.runtime_dir().to_str().unwrap()), "{text}");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(double.seen(), ["issue token", RELEASED]);
    assert_eq!(left_over(&double), 0);
}

#[test]
fn a_certificate_comes_with_the_key_made_here() {
    let double = Double::start();
    let script = "stat -c %a $HOTWORK_CERT_FILE $HOTWORK_KEY_FILE $HOTWORK_CA_FILE; head -1 $HOTWORK_KEY_FILE; \
                  sed -n 2p $HOTWORK_CERT_FILE $HOTWORK_CA_FILE; echo \"[$HOTWORK_TOKEN_FILE]\"";
    let output = exec(&double, "cert", script);
    assert_eq!(stdout(&output), "600\n600\n600\n-----BEGIN PRIVATE KEY-----\nleaf\n[]\n", "{output:?}");
    assert_eq!(double.seen(), ["issue certificate csr true", RELEASED]);
}

#[test]
fn a_command_killed_by_a_signal_gives_128_and_the_credential_is_released() {
    let double = Double::start();
    let output = exec(&double, "token", "kill -KILL $$");
    assert_eq!(output.status.code(), Some(137));
    assert_eq!(double.seen().last().map(String::as_str), Some(RELEASED));
    assert_eq!(left_over(&double), 0);
}

/// Starts a command that says `ready` once its traps are set.
fn running(double: &Double, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let words = ["exec", "--action", "demo.read", "--resource", "demo/hello", "--", "sh", "-c", script];
    let mut child = at(double).args(words).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

#[test]
fn signals_reach_the_command_and_not_only_us() {
    let signals = [
        ("TERM", Signal::TERM),
        ("HUP", Signal::HUP),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("QUIT", Signal::QUIT),
    ];
    for (name, signal) in signals {
        let double = Double::start();
        // `read` from a fifo that nobody writes waits without a process of its own that would keep the pipe open.
        let fifo = double.dir().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let script = format!("trap 'echo got; exit 9' {name}; echo ready; read x <> {}", fifo.display());
        let (mut child, mut out) = running(&double, &script);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("got\n", Some(9)), "{name}");
        assert_eq!(double.seen().last().map(String::as_str), Some(RELEASED), "{name}");
        assert_eq!(left_over(&double), 0, "{name}");
    }
}

#[test]
fn a_command_without_a_trap_dies_of_the_signal_and_we_say_so_by_exit_code() {
    let double = Double::start();
    let fifo = double.dir().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let (mut child, _out) = running(&double, &format!("echo ready; read x <> {}", fifo.display()));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(143), None));
    assert_eq!(double.seen().last().map(String::as_str), Some(RELEASED));
}

#[test]
fn a_command_that_cannot_start_gives_126_or_127_and_the_credential_is_released() {
    let double = Double::start();
    for (program, code) in [("/nonexistent/program", 127), ("/etc/hostname", 126)] {
        let line = ["exec", "--action", "demo.read", "--resource", "demo/hello", "-o", "json", "--", program];
        let output = at(&double).args(line).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(json(&output)["message"].as_str().unwrap().contains(program));
        assert_eq!(double.seen().last().map(String::as_str), Some(RELEASED));
    }
    assert_eq!(left_over(&double), 0);
}

#[test]
fn without_a_credential_the_command_does_not_run() {
    let double = Double::start();
    let line = ["exec", "--action", "demo.deny", "--resource", "demo/hello", "--", "echo", "ran"];
    let output = at(&double).args(line).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), ""));
    assert!(stderr(&output).contains("hotwork explain"));
    let line = ["exec", "--action", "demo.bug", "--resource", "demo/hello", "--", "echo", "ran"];
    let output = at(&double).args(line).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(125), ""));
}

#[test]
fn variables_of_an_outer_exec_do_not_reach_the_command() {
    let double = Double::start();
    let words = ["exec", "--action", "demo.read", "--resource", "demo/hello", "--", "sh", "-c"];
    let mut command = at(&double);
    command.env("HOTWORK_KEY_FILE", "/outer").args(words).arg("echo \"[$HOTWORK_KEY_FILE]\"");
    assert_eq!(stdout(&command.output().unwrap()), "[]\n");
}
