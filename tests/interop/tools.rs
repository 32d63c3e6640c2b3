//! Finds and runs the foreign programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where the foreign programs are; `None`, said aloud, when they were not installed.
pub fn installed(test: &str) -> Option<&'static Path> {
    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
        let there = |name: &str| dir.join(name).exists();
        (there("venv/bin/lint_pkix_cert") && there("node_modules/jose")).then_some(dir)
    });
    if dir.is_none() {
        assert!(!must(), "{test}: run scripts/install-test-tools.sh first");
        eprintln!("SKIPPED {test}: run scripts/install-test-tools.sh first");
    }
    dir.as_deref()
}

/// Whether a missing program is a failure.
pub fn must() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Runs a program that has to succeed; what it printed.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Runs a program, however it ends.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
