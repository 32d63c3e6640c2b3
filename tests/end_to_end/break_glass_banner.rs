//! The countdown of an open session on a terminal. `script` gives the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use crate::scene::{Scene, path};
use crate::support::text;

/// `hotwork break-glass open freeze`, which one person can open, in a terminal of its own.
fn in_terminal(scene: &Scene, time: &str) -> Child {
    let line = format!(
        "exec {} break-glass open freeze --reason 'it runs wild' --ticket INC-9 --for {time} --ssh-key {}",
        env!("CARGO_BIN_EXE_hotwork"),
        path(&scene.bob.private)
    );
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).envs(&scene.daemon().env).env("SHELL", "/bin/sh");
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads until the text has been seen so many times; gives all that was read.
#[track_caller]
fn until(child: &mut Child, what: &str, times: usize) -> String {
    let (mut seen, mut buffer) = (Vec::new(), [0; 256]);
    loop {
        let said = String::from_utf8_lossy(&seen).into_owned();
        if said.matches(what).count() >= times {
            return said;
        }
        let read = child.stdout.as_mut().unwrap().read(&mut buffer).unwrap();
        assert!(read > 0, "it ended before `{what}`: {said:?}");
        seen.extend_from_slice(&buffer[..read]);
    }
}

#[test]
fn the_countdown_goes_on_until_the_session_is_over() {
    let scene = Scene::start();
    let mut child = in_terminal(&scene, "10m");
    let said = until(&mut child, "BREAK-GLASS OPEN, ends in ", 3);
    assert!(said.contains("hotwork break-glass close "), "what to do is said: {said}");
    let times: Vec<&str> =
        said.split("BREAK-GLASS OPEN, ends in ").skip(1).filter_map(|rest| rest.split("  ").next()).collect();
    assert!(times[0].starts_with("9m") || times[0].starts_with("10m"), "{times:?}");
    assert_ne!(times[0], times[1], "it counts: {times:?}");
    let sessions = scene.daemon().json(&["break-glass", "list"]);
    let session = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
    let closed = scene.run(&["break-glass", "close", &session, "--reason", "done"]);
    assert_eq!(closed.0, 0, "{}", closed.1);
    until(&mut child, "BREAK-GLASS is over", 1);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn ctrl_c_leaves_the_countdown_and_not_the_session() {
    let scene = Scene::start();
    let mut child = in_terminal(&scene, "10m");
    until(&mut child, "BREAK-GLASS OPEN, ends in ", 1);
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let sessions = scene.daemon().json(&["break-glass", "list"]);
    assert_eq!(sessions["sessions"][0]["state"], "SESSION_STATE_OPEN", "{sessions}");
}

#[test]
fn a_session_that_ends_by_itself_ends_its_countdown_and_no_file_gets_one() {
    let scene = Scene::start();
    let mut child = in_terminal(&scene, "3s");
    until(&mut child, "BREAK-GLASS is over", 1);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let line =
        ["break-glass", "open", "freeze", "--reason", "r", "--ticket", "T", "--for", "10m", "--ssh-key"];
    // Its review is owed, so that one more has to sign: nothing opens, and nothing counts either.
    let first = scene.daemon().hotwork(&[&line[..], &[path(&scene.bob.private)]].concat());
    assert!(first.status.success(), "{}", text(&first));
    let list = scene.daemon().json(&["break-glass", "list"]);
    let id = list["proposals"][0]["statementId"].as_str().unwrap().to_owned();
    let sign = ["break-glass", "sign", &id[..12], "--yes", "--ssh-key", path(&scene.carol.private)];
    let second = scene.daemon().hotwork(&sign);
    assert!(
        second.status.success() && text(&second).contains("hotwork break-glass close"),
        "{}",
        text(&second)
    );
    assert!(!text(&second).contains("BREAK-GLASS OPEN"), "{}", text(&second));
}
