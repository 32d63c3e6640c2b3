//! The pages that people read under stress: their commands run as they stand there.

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;

use crate::pages::{Page, is_whole};
use crate::scene::Scene;
use crate::support::{YES, eventually, text};

#[test]
fn the_page_of_break_glass_does_what_it_says() {
    let scene = Scene::start();
    let [own, other] = &scene.alice;
    let homes = [("first", &scene.bob), ("second", &scene.carol), ("reviewer", own), ("revoker", other)];
    for (who, key) in homes {
        let ssh = scene.dir.path().join(who).join(".ssh");
        std::fs::create_dir_all(&ssh).unwrap();
        for (from, to) in
            [(key.private.clone(), "id_ed25519"), (key.private.with_extension("pub"), "id_ed25519.pub")]
        {
            std::fs::copy(from, ssh.join(to)).unwrap();
        }
    }
    let page = Page::open("break-glass.md");
    let blocks = page.blocks();
    assert!(blocks.len() >= 12, "{}", blocks.len());
    let mut elsewhere = 0;
    for block in blocks {
        let list = scene.daemon().json(&["break-glass", "list"]);
        let newest = |of: &str, key: &str| {
            let last = list[of].as_array().and_then(|all| all.last()).cloned().unwrap_or(Value::Null);
            last[key].as_str().unwrap_or_default().to_owned()
        };
        if block.commands.contains("extend $SESSION") {
            // A later end than it has: those are in whole seconds.
            let open: Timestamp = newest("sessions", "openTime").parse().unwrap();
            eventually("it is older", || Timestamp::now().as_second() > open.as_second() + 1);
        }
        // Where the packages put the sockets. Here the test has them.
        let commands = block.commands.replace("/run/hotwork/", &format!("{}/", sockets(&scene)));
        let mut shell = shell(&scene, &block.who, &commands);
        if commands != block.commands {
            elsewhere += 1;
            // Whoever needs it can't reach the admin socket.
            shell.env("HOTWORK_ADMIN_ENDPOINT", "unix:///nowhere/admin.sock");
        }
        shell.env("STATEMENT", newest("proposals", "statementId")).env("SESSION", newest("sessions", "id"));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}{}", block.commands, text(&output));
    }
    assert_eq!(elsewhere, 1, "the socket of its own");
    typed_as_it_stands(&scene, &page);
    let list = scene.daemon().json(&["break-glass", "list"]);
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1, "the brake: {list}");
    let left = list["proposals"].as_array().unwrap().len();
    assert_eq!(left, 2, "first signatures: the one from elsewhere, and the drill's: {list}");
}

/// Where the daemon's sockets are.
fn sockets(scene: &Scene) -> String {
    let admin = scene.daemon().env["HOTWORK_ADMIN_ENDPOINT"].clone();
    let directory = admin.strip_prefix("unix://").and_then(|path| path.strip_suffix("/admin.sock"));
    directory.unwrap_or_else(|| panic!("{admin}")).to_owned()
}

/// These commands in somebody's shell.
fn shell(scene: &Scene, who: &str, commands: &str) -> Command {
    let home = scene.dir.path().join(who);
    let bin = Path::new(env!("CARGO_BIN_EXE_hotwork")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &format!("{YES}\n{commands}")]).envs(&scene.daemon().env).current_dir(&home);
    shell.env("HOME", &home).env("PATH", path).stdin(std::process::Stdio::null());
    shell
}

/// What the text tells to type is done, and what it only names is understood.
fn typed_as_it_stands(scene: &Scene, page: &Page) {
    /// They take an id or a file, which the text leaves out.
    const NAMED: [&str; 3] = ["hotwork audit verify", "hotwork lock rm", "hotworkd check"];
    let commands = page.commands();
    let mut done = Vec::new();
    for command in &commands {
        let whole = is_whole(command) && !NAMED.contains(&command.as_str());
        let typed = if whole { command.clone() } else { format!("{command} --help") };
        let output = shell(scene, "first", &typed).output().unwrap();
        assert!(output.status.success(), "{typed}\n{}", text(&output));
        done.extend(whole.then_some(command.as_str()));
    }
    for known in ["hotwork status", "hotwork reload", "hotwork break-glass list", "hotwork audit tail -n 1"] {
        assert!(done.contains(&known), "{known}: {commands:?}");
    }
}
