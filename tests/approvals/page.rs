//! `docs/operations/approvals.md`: its commands are run as they stand.

use std::path::Path;
use std::process::Command;

use crate::office::Office;
use crate::support::{YES, text};

#[test]
fn the_commands_of_the_operations_page_work() {
    let office = Office::coding();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations/approvals.md");
    let page = std::fs::read_to_string(page).unwrap();
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
    for block in page.split("```sh ").skip(1) {
        let (who, rest) = block.split_once('\n').unwrap();
        let script = rest.split_once("```").unwrap().0;
        let mut command = match who {
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
        let script = format!("{YES}\n{script}");
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
}
