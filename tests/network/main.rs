//! The real daemon on TCP, with real clients: whom it lets in, and that nobody outlives the certificate that
//! let them in. Every permit stands beside its denial.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    dead_code,
    missing_docs,
    reason = "tests"
)]

mod age;
mod away;
mod bounds;
mod ends;
mod enrolled;
mod loaded_first;
mod patience;
mod pki;
mod raw;
mod relay;
mod revocation;
mod session;
#[path = "../end_to_end/signing.rs"]
mod signing;
#[path = "../end_to_end/support.rs"]
mod support;
mod tls;
#[path = "../attacks/wire.rs"]
mod wire;
mod within;
mod workloads;

use std::path::Path;
use std::process::{Command, Output};

use pki::{Identity, TestCa};
use support::{Daemon, text};

/// The trust domain of the workloads in these tests.
const PROD: &str = "prod.example";
const WEB: &str = "spiffe://prod.example/ns/web";

/// A daemon on TCP that believes `ca` for [`PROD`] and knows [`WEB`] as its agent `web`.
fn start(dir: &Path, ca: &TestCa) -> Daemon {
    std::fs::write(dir.join("prod.pem"), ca.pem()).unwrap();
    let daemon = restart(dir);
    let agent = format!(
        "name = \"web\"\ntenant = \"default\"\nowner = \"o\"\npurpose = \"p\"\ngroups = [\"demo\"]\n\
         review = \"2099-12-31\"\n\n[rules]\n\"x509.spiffe_id\" = \"{WEB}\"\n"
    );
    std::fs::write(dir.join("state/config/agents/web.toml"), agent).unwrap();
    daemon.json(&["reload"]);
    daemon
}

/// The same on a state that is there.
fn restart(dir: &Path) -> Daemon {
    let bundle = format!("{PROD}={}", dir.join("prod.pem").display());
    Daemon::dev_with(&dir.join("state"), &["--tcp", "--trust-bundle", &bundle])
}

/// `hotwork` over TCP only, with these files.
fn hotwork(daemon: &Daemon, files: &Path, arguments: &[&str]) -> Output {
    command(daemon, files, arguments).output().unwrap()
}

fn command(daemon: &Daemon, files: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
    command.env_clear().args(arguments);
    command.env("HOTWORK_ENDPOINT", &daemon.env["HOTWORK_ENDPOINT_TCP"]);
    command.env("HOTWORK_ADMIN_ENDPOINT", &daemon.env["HOTWORK_ADMIN_ENDPOINT_TCP"]);
    command.env("HOTWORK_TLS_CERT", files.join("cert.pem")).env("HOTWORK_TLS_KEY", files.join("key.pem"));
    command.env("HOTWORK_TLS_CA", &daemon.env["HOTWORK_TLS_CA"]);
    command
}

/// Enrols `name` and gives its identity.
fn enroll(daemon: &Daemon, kind: &str, name: &str, dir: &Path) -> Identity {
    let out = dir.join(format!("{kind}-{name}"));
    let output = daemon.hotwork(&[kind, "enroll", name, "--out", &out.display().to_string()]);
    assert!(output.status.success(), "{}", text(&output));
    Identity::read(&out)
}

/// Adds an operator without a uid to the registry.
fn add_operator(daemon: &Daemon, name: &str, roles: &str) {
    let path = daemon.state.join("config/operators.toml");
    let registry = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{registry}\n[[operator]]\nname = \"{name}\"\nroles = [{roles}]\n"))
        .unwrap();
    daemon.json(&["reload"]);
}
