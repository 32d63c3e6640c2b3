//! The `hotwork` command as a process, against a double of the broker's wire. What a broker really does is
//! tested with the real daemon elsewhere; here it is files, streams, signals and exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod approval;
mod consent;
mod double;
mod double_agent;
mod double_approval;
mod double_glass;
mod double_log;
mod double_verify;
mod enroll;
mod exec;
mod failures;
mod issue;
mod operator;
mod terminal;

use std::path::Path;
use std::process::{Command, Output};

use double::Double;
use serde_json::Value;

/// The command with nothing of our own environment but what it needs.
fn hotwork() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// The command with both endpoints at the double.
fn at(double: &Double) -> Command {
    let mut command = hotwork();
    let uri = format!("unix://{}", double.socket().display());
    command.env("HOTWORK_ENDPOINT", &uri).env("HOTWORK_ADMIN_ENDPOINT", uri);
    command.env("XDG_RUNTIME_DIR", double.runtime_dir());
    command
}

fn run(double: &Double, line: &str) -> Output {
    at(double).args(line.split(' ')).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}
