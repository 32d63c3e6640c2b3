//! The countdown of an open session on a terminal. `script` gives the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::scene::{Scene, path};
use crate::support::text;

/// What a terminal shows may take so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command in a terminal of its own.
struct Terminal {
    child: Child,
    shown: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    /// `hotwork break-glass open freeze`, which one person can open, and that person's yes.
    fn opens(scene: &Scene, time: &str) -> Self {
        let line = format!(
            "exec {} break-glass open freeze --reason 'it runs wild' --ticket INC-9 --for {time} --ssh-key {}",
            env!("CARGO_BIN_EXE_hotwork"),
            path(&scene.bob.private)
        );
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).envs(&scene.daemon().env).env("SHELL", "/bin/sh");
        command.env("TERM", "xterm").env("NO_COLOR", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            while let Ok(read @ 1..) = out.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Self { child, shown, seen: Vec::new() };
        let question = terminal.until("[y/N]", 1);
        assert!(question.contains("playbook: freeze"), "what is signed is shown: {question}");
        terminal.types(b"y\n");
        terminal
    }

    fn types(&mut self, keys: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(keys).unwrap();
    }

    /// Waits until the text has been shown so many times; gives all that was.
    #[track_caller]
    fn until(&mut self, what: &str, times: usize) -> String {
        loop {
            let said = String::from_utf8_lossy(&self.seen).into_owned();
            if said.matches(what).count() >= times {
                return said;
            }
            match self.shown.recv_timeout(PATIENCE) {
                Ok(more) => self.seen.extend(more),
                Err(error) => panic!("`{what}` was not shown, {error}: {said:?}"),
            }
        }
    }

    /// Its exit code.
    fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_countdown_goes_on_until_the_session_is_over() {
    let scene = Scene::start();
    let mut terminal = Terminal::opens(&scene, "10m");
    let said = terminal.until("BREAK-GLASS OPEN, ends in ", 3);
    assert!(said.contains("hotwork break-glass close "), "what to do is said: {said}");
    let times: Vec<&str> =
        said.split("BREAK-GLASS OPEN, ends in ").skip(1).filter_map(|rest| rest.split("  ").next()).collect();
    assert!(times[0].starts_with("9m") || times[0].starts_with("10m"), "{times:?}");
    assert_ne!(times[0], times[1], "it counts: {times:?}");
    let sessions = scene.daemon().json(&["break-glass", "list"]);
    let session = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
    let closed = scene.run(&["break-glass", "close", &session, "--reason", "done"]);
    assert_eq!(closed.0, 0, "{}", closed.1);
    terminal.until("BREAK-GLASS is over", 1);
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn ctrl_c_leaves_the_countdown_and_not_the_session() {
    let scene = Scene::start();
    let mut terminal = Terminal::opens(&scene, "10m");
    terminal.until("BREAK-GLASS OPEN, ends in ", 1);
    terminal.types(b"\x03");
    assert_eq!(terminal.ended(), Some(0));
    let sessions = scene.daemon().json(&["break-glass", "list"]);
    assert_eq!(sessions["sessions"][0]["state"], "SESSION_STATE_OPEN", "{sessions}");
}

#[test]
fn a_session_that_ends_by_itself_ends_its_countdown_and_no_file_gets_one() {
    let scene = Scene::start();
    let mut terminal = Terminal::opens(&scene, "3s");
    terminal.until("BREAK-GLASS is over", 1);
    assert_eq!(terminal.ended(), Some(0));
    let line = [
        "break-glass",
        "open",
        "freeze",
        "--reason",
        "r",
        "--ticket",
        "T",
        "--for",
        "10m",
        "--yes",
        "--ssh-key",
    ];
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
