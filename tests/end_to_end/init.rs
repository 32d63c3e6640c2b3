//! `hotworkd init` as the README shows it: what it makes can be served, and what it says is so.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Daemon, code, text};

/// `hotworkd` in `dir`.
fn hotworkd(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hotworkd")).args(arguments).current_dir(dir).output().unwrap()
}

/// `init` in `dir` with relative paths; its configuration has sockets in `dir` and free ports.
fn init(dir: &Path, more: &[&str]) -> Output {
    let paths = ["init", "--trust-domain", "example.org", "--state-dir", "state", "--config", "config"];
    let output = hotworkd(dir, &[&paths, more].concat());
    assert!(output.status.success(), "{}", text(&output));
    let path = dir.join("config/hotworkd.toml");
    let written = fs::read_to_string(&path).unwrap();
    let sockets = written.replace("\"/run/hotwork/", &format!("\"{}/run/", dir.display()));
    let free = sockets
        .replace("\"127.0.0.1:8420\"", "\"127.0.0.1:0\"")
        .replace("\"127.0.0.1:8421\"", "\"127.0.0.1:0\"");
    fs::write(path, free).unwrap();
    output
}

#[test]
fn a_deployment_made_with_relative_paths_is_served_from_anywhere_with_its_passphrase_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("passphrase"), "right\n").unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    let said = text(&init(dir.path(), &["--passphrase-file", "passphrase"]));
    assert!(!said.contains("not encrypted"), "{said}");
    let checked =
        hotworkd(Path::new("/"), &["check", "--config", dir.path().join("config").to_str().unwrap()]);
    assert!(checked.status.success(), "{}", text(&checked));
    let config = dir.path().join("config/hotworkd.toml");
    let daemon = Daemon::serve(&config, &dir.path().join("state"));
    assert_eq!(daemon.json(&["status"])["issuing"], true);
    assert!(!daemon.log().contains("unencrypted"), "{}", daemon.log());
    assert_eq!(daemon.stop(), 0);
    fs::write(dir.path().join("passphrase"), "wrong\n").unwrap();
    let refused = hotworkd(dir.path(), &["serve", "--config", config.to_str().unwrap()]);
    assert!(code(&refused) == 1 && text(&refused).contains("passphrase"), "{}", text(&refused));
}

#[test]
fn keys_without_a_passphrase_are_said_to_be_so_at_init_and_at_each_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    let said = text(&init(dir.path(), &[]));
    assert!(said.contains("not encrypted") && said.contains("--passphrase-file"), "{said}");
    let daemon = Daemon::serve(&dir.path().join("config/hotworkd.toml"), &dir.path().join("state"));
    assert!(daemon.log().contains("unencrypted"), "{}", daemon.log());
}

#[test]
fn a_socket_without_its_directory_says_why_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &[]);
    let refused = hotworkd(dir.path(), &["serve", "--config", "config/hotworkd.toml"]);
    let said = text(&refused);
    assert_eq!(code(&refused), 1, "{said}");
    assert!(
        said.contains("run/agent.sock") && said.contains("No such file") && said.contains("next: "),
        "{said}"
    );
}
