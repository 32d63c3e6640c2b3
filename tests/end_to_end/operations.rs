//! The pages that people read under stress: their commands run as they stand there.

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;

use crate::scene::Scene;
use crate::support::{YES, eventually, text};

/// One block of commands, and whose shell it is for.
struct Block {
    who: String,
    commands: String,
}

/// The blocks of a page that begin with "```sh WHO".
fn blocks(page: &str) -> Vec<Block> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations").join(page);
    let text = std::fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(who) = line.strip_prefix("```sh ") {
            let commands = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .fold(String::new(), |all, line| all + line + "\n");
            blocks.push(Block { who: who.to_owned(), commands });
        }
    }
    blocks
}

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
    let blocks = blocks("break-glass.md");
    assert!(blocks.len() >= 6, "{}", blocks.len());
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
        let home = scene.dir.path().join(&block.who);
        let bin = Path::new(env!("CARGO_BIN_EXE_hotwork")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        let commands = format!("{YES}\n{}", block.commands);
        shell.args(["-eu", "-c", &commands]).envs(&scene.daemon().env).current_dir(&home);
        shell.env("HOME", &home).env("PATH", path).stdin(std::process::Stdio::null());
        shell.env("STATEMENT", newest("proposals", "statementId")).env("SESSION", newest("sessions", "id"));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}{}", block.commands, text(&output));
    }
    let list = scene.daemon().json(&["break-glass", "list"]);
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1, "the brake: {list}");
    let left = list["proposals"].as_array().unwrap().len();
    assert_eq!(left, 2, "first signatures: the one from elsewhere, and the drill's: {list}");
}
