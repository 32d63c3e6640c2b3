//! What differs on a terminal: questions, colour, and who sends Ctrl-C. `script` gives the terminal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::double::{AGENT, Double};
use super::double_verify::SLOW;

/// Runs `hotwork` with `words` in a terminal of its own session.
pub fn in_terminal(double: &Double, words: &str) -> (Child, BufReader<ChildStdout>) {
    let uri = format!("unix://{}", double.socket().display());
    let line = format!("exec {} {words}", env!("CARGO_BIN_EXE_hotwork"));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
    command.env("HOTWORK_ENDPOINT", &uri).env("HOTWORK_ADMIN_ENDPOINT", uri).env("SHELL", "/bin/sh");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

pub fn rest(mut out: BufReader<ChildStdout>) -> String {
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    text
}

/// What is shown up to this character.
pub fn until(out: &mut BufReader<ChildStdout>, last: u8) -> String {
    let mut shown = Vec::new();
    out.read_until(last, &mut shown).unwrap();
    String::from_utf8(shown).unwrap()
}

#[test]
fn revoking_everything_asks_first_and_only_yes_goes_on() {
    for (answer, code, calls) in [("n\n", 1, 1), ("\n", 1, 1), ("y\n", 0, 2)] {
        let double = Double::start();
        let (mut child, mut out) = in_terminal(&double, "revoke --all --reason incident");
        let mut question = Vec::new();
        out.read_until(b'?', &mut question).unwrap();
        let question = String::from_utf8(question).unwrap();
        assert!(question.contains("EVERYTHING") && question.contains("live credentials: 2."), "{question}");
        child.stdin.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
        rest(out);
        assert_eq!((child.wait().unwrap().code(), double.seen().len()), (Some(code), calls), "{answer:?}");
        assert!(double.seen()[0].ends_with("incident true"));
    }
}

#[test]
fn whoever_is_asked_about_a_lock_beside_it_is_told_what_the_lock_stops() {
    let double = Double::start();
    let (mut child, mut out) = in_terminal(&double, "revoke --all --reason incident --lock");
    let question = until(&mut out, b'?');
    // As wide as the terminal is.
    let question = question.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = "live credentials: 2; its lock stops 1 agent, 2 requests for approval. Go on?";
    assert!(question.contains(told), "{question}");
    child.stdin.as_mut().unwrap().write_all(b"n\n").unwrap();
    rest(out);
    assert_eq!((child.wait().unwrap().code(), double.seen().len()), (Some(1), 1));
}

#[test]
fn whoever_is_asked_about_what_no_credential_says_is_told_that_others_are_refused_too() {
    for (selector, told) in
        [("--owner team", true), ("--attested unix.uid=7", true), ("--tenant acme", false)]
    {
        let double = Double::start();
        let (mut child, mut out) = in_terminal(&double, &format!("revoke {selector} --reason incident"));
        let question = until(&mut out, b'?');
        let question = question.split_whitespace().collect::<Vec<_>>().join(" ");
        let others =
            question.contains("; it refuses, too, ALL older credentials in your reach, at verifiers");
        assert_eq!(others, told, "{question}");
        child.stdin.as_mut().unwrap().write_all(b"n\n").unwrap();
        rest(out);
        assert_eq!((child.wait().unwrap().code(), double.seen().len()), (Some(1), 1));
    }
}

#[test]
fn a_revocation_that_waits_for_long_shows_how_far_it_is_and_a_quick_one_shows_nothing() {
    for (reason, shown) in [(SLOW, true), ("quick", false)] {
        let double = Double::start();
        let words = format!("revoke --all --yes --reason {reason} --wait 3s");
        let (mut child, out) = in_terminal(&double, &words);
        let text = rest(out);
        assert_eq!(text.contains("waiting for verifiers"), shown, "{reason}: {text:?}");
        // One verifier of the double has not acknowledged.
        assert_eq!(child.wait().unwrap().code(), Some(10), "{reason}: {text:?}");
        assert!(text.contains("not acknowledged in time by"), "{reason}: {text:?}");
    }
    // Where nobody looks there is no bar: its characters would be in somebody's file.
    let double = Double::start();
    let uri = format!("unix://{}", double.socket().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
    command.env("HOTWORK_ENDPOINT", &uri).env("HOTWORK_ADMIN_ENDPOINT", uri).stdin(Stdio::null());
    let output =
        command.args(["revoke", "--all", "--yes", "--reason", SLOW, "--wait", "2s"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("waiting for verifiers"), "{output:?}");
}

#[test]
fn a_reason_is_asked_for_and_said_why() {
    let double = Double::start();
    let (mut child, mut out) = in_terminal(&double, "revoke --all --yes");
    let mut question = Vec::new();
    out.read_until(b':', &mut question).unwrap();
    assert!(String::from_utf8(question).unwrap().contains("goes into the log"));
    child.stdin.as_mut().unwrap().write_all(b"laptop lost\n").unwrap();
    rest(out);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(double.seen(), ["revoke All(true) laptop lost false"]);
}

/// What `hotwork` with `words` shows on a terminal of 40 columns, with one more variable in its environment.
fn shown(double: &Double, words: &str, variable: (&str, &str)) -> String {
    on_terminal(double, 40, words, variable)
}

/// As [`shown`], on a terminal of so many columns.
pub fn on_terminal(double: &Double, columns: usize, words: &str, variable: (&str, &str)) -> String {
    let uri = format!("unix://{}", double.socket().display());
    let line = format!("stty cols {columns}; exec {} {words}", env!("CARGO_BIN_EXE_hotwork"));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
    // These speak of colour, too, and whoever runs the tests may have them.
    for other in ["CI", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(other);
    }
    command.env("HOTWORK_ADMIN_ENDPOINT", uri).env("SHELL", "/bin/sh").env(variable.0, variable.1);
    String::from_utf8(command.stdin(Stdio::null()).output().unwrap().stdout).unwrap()
}

#[test]
fn a_terminal_has_colour_unless_it_is_not_wanted_or_not_there() {
    let double = Double::start();
    for (variable, colour) in [
        (("NO_COLOR", ""), true),
        (("NO_COLOR", "1"), false),
        (("TERM", "dumb"), false),
        (("TERM", "vt100"), true),
    ] {
        for words in ["agent list", "agent show nobody-of-that-name"] {
            let text = shown(&double, words, variable);
            assert_eq!(text.contains('\u{1b}'), colour, "{variable:?} {words}: {text:?}");
        }
    }
}

#[test]
fn a_table_fits_its_terminal_with_colour_and_without() {
    let double = Double::start();
    let narrow = |text: &str| text.lines().all(|line| line.trim_end().chars().count() <= 40);
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = shown(&double, "agent show bot", variable);
        assert!(text.contains("spiffe://") && narrow(&text), "{variable:?}: {text}");
    }
    assert!(!narrow(&shown(&double, "agent show bot | cat", ("NO_COLOR", "1"))), "a pipe has no width");
}

#[test]
fn a_terminal_that_does_not_tell_its_width_breaks_no_words() {
    let double = Double::start();
    let (_child, out) = in_terminal(&double, "agent show bot");
    let text = rest(out);
    assert!(text.contains(AGENT), "{text:?}");
}

/// The terminal sends Ctrl-C to the whole foreground group. If we passed it on too, the command would see
/// two. The second signal here is sent to us alone and comes after whatever we would have passed on.
#[test]
fn ctrl_c_on_a_terminal_reaches_the_command_once() {
    let double = Double::start();
    let fifo = double.dir().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let script = double.dir().join("script");
    let text = format!(
        "n=0\ntrap 'n=$((n+1)); echo got' INT\ntrap 'echo count=$n; exit 5' USR1\necho ready $PPID\n\
         while :; do read x <> {}; done\n",
        fifo.display()
    );
    std::fs::write(&script, text).unwrap();
    let words = format!("exec --action demo.read --resource demo/hello -- sh {}", script.display());
    let (mut child, mut out) = in_terminal(&double, &words);
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    let parent: i32 = line.trim().strip_prefix("ready ").unwrap().parse().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    while !line.contains("got") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    kill_process(Pid::from_raw(parent).unwrap(), Signal::USR1).unwrap();
    let text = rest(out);
    assert!(text.contains("count=1"), "{text:?}");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}
