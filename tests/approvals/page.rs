//! `docs/operations/approvals.md`: its commands are run as they stand.

use std::path::Path;
use std::process::Command;

use crate::office::Office;
use crate::pages::{Block, Page};
use crate::support::{YES, text};

#[test]
fn the_commands_of_the_operations_page_work() {
    let office = Office::coding();
    let page = Page::open("approvals.md");
    let dpop = office.dir.path().join("dpop.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&dpop)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let bin = Path::new(env!("CARGO_BIN_EXE_hotwork")).parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let file = office.dir.path().join("request");
    let mut ran = 0;
    let mut request = String::new();
    for Block { who, commands } in page.blocks() {
        let mut command = match who.as_str() {
            "agent" => {
                let mut command = Command::new("bash");
                command.envs(&office.daemon.env);
                command
            }
            "approver" => office.command("alice", "bash"),
            "second" => office.command("bob", "bash"),
            other => panic!("who is `{other}`?"),
        };
        command.current_dir(office.dir.path()).env("PATH", &path).env("DPOP_KEY", &dpop);
        command
            .env("SSH_KEY", &office.keys[if who == "second" { "bob" } else { "alice" }].private)
            .env("REQUEST_FILE", &file)
            .env("REQUEST", &request);
        let script = format!("{YES}\n{commands}");
        let output = command.args(["-euo", "pipefail", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{script}\n{}", text(&output));
        if request.is_empty() {
            let listed = office
                .command("alice", env!("CARGO_BIN_EXE_hotwork"))
                .args(["request", "list", "-o", "name"])
                .output();
            request = String::from_utf8(listed.unwrap().stdout).unwrap().trim().to_owned();
            std::fs::write(&file, &request).unwrap();
        }
        ran += 1;
    }
    assert_eq!(ran, 8, "blocks of the page");
    assert_eq!(office.state(&request), "USED");
    // What the text names beside them is understood.
    let named = page.commands();
    for line in ["hotworkd check", "hotwork issue --wait 10m", "hotwork exec --kind cert --wait 10m"] {
        assert!(named.iter().any(|command| command == line), "{line}: {named:?}");
    }
    for command in named {
        let mut words = command.split_whitespace();
        let mut known = Command::new(bin.join(words.next().unwrap()));
        let output = known.args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}: {}", text(&output));
    }
}
