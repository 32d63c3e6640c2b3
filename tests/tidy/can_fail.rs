//! Every rule refuses what it is there to refuse, and lets its nearest decent neighbour pass.

use super::rules::{self, Finding};

fn lines(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| finding.to_string()).collect()
}

/// The rule finds exactly `count` things in the text.
#[track_caller]
fn finds(count: usize, rule: impl Fn(&str, &str) -> Vec<Finding>, path: &str, text: &str) {
    let found = lines(rule(path, text));
    assert_eq!(found.len(), count, "{path}: {text:?} gave {found:?}");
}

#[test]
fn floors_refuse_upward_and_sideways() {
    let refused = [
        ("src/domain/name.rs", "use crate::store::Ledger;"),
        ("src/store/mod.rs", "use crate::signer::Keys;"),
        ("src/store/mod.rs", "use super::signer::Keys;"),
        ("src/attest/unix/peer.rs", "use super::super::super::broker::Broker;"),
        ("src/policy/mod.rs", "use crate::{domain::Agent, api::status};"),
        ("src/policy/mod.rs", "fn f() { crate::config::load(); }"),
        ("src/broker/issue.rs", "use crate::api::convert;"),
        ("src/proto.rs", "use crate::api::convert;"),
        ("src/api/agent.rs", "use crate::app::App;"),
        ("src/garage/mod.rs", "use crate::domain::Agent;"),
    ];
    for (path, text) in refused {
        finds(1, rules::floors, path, text);
    }
    let allowed = [
        ("src/store/journal.rs", "use super::group; use crate::domain::entry; use crate::store::x;"),
        ("src/broker/issue.rs", "use crate::{attest::Attested, store::Ledger};"),
        ("src/api/agent.rs", "use crate::proto::v1; use crate::broker::Broker;"),
        ("src/app/mod.rs", "use crate::config::Config;"),
        ("src/main.rs", "use hotwork::app;"),
        ("src/domain/name.rs", "// crate::store is above\n\"crate::store\""),
        ("src/domain/name.rs", "#[cfg(test)]\nmod tests {\n    use crate::store::Ledger;\n}"),
    ];
    for (path, text) in allowed {
        finds(0, rules::floors, path, text);
    }
}

#[test]
fn the_domain_may_not_touch_the_world() {
    let refused = [
        "use std::{fs, fmt};",
        "use tokio::sync::mpsc;",
        "let x = std::time::SystemTime::now();",
        "use std::time::Instant;",
        "async fn f() {}",
        "use sled::Db;",
        "ring::digest::digest(x)",
    ];
    for text in refused {
        finds(1, rules::pure_domain, "src/domain/name.rs", text);
    }
    finds(0, rules::pure_domain, "src/domain/name.rs", "use std::{fmt, sync::Arc};\nuse serde::Serialize;");
    finds(0, rules::pure_domain, "src/store/mod.rs", "use std::fs;");
}

#[test]
fn concrete_parts_stay_at_home() {
    finds(1, rules::crates_at_home, "src/broker/issue.rs", "use sled::Db;");
    finds(1, rules::crates_at_home, "src/api/status.rs", "fn f(x: cedar_policy::Policy) {}");
    finds(0, rules::crates_at_home, "src/store/index.rs", "use sled::Db;");
}

fn proofs(path: &str, text: &str) -> Vec<Finding> {
    let mut files = vec![(path.to_owned(), text.to_owned())];
    for (name, home) in [
        ("Announced", "src/broker/announce.rs"),
        ("Attested", "src/attest/identity.rs"),
        ("Authorized", "src/broker/operate.rs"),
        ("Change", "src/domain/ledger.rs"),
        ("Linted", "src/signer/lint.rs"),
        ("Permitted", "src/broker/decide.rs"),
        ("Recorded", "src/broker/record.rs"),
        ("Sealed", "src/broker/seal.rs"),
        ("Signable", "src/broker/decide/signable.rs"),
    ] {
        let taken = path == home || (text.contains("struct") && text.contains(name));
        if !taken {
            files.push((home.to_owned(), format!("pub struct {name} {{\n    inner: u8,\n}}\n")));
        }
    }
    rules::proofs(&files)
}

#[test]
fn proofs_are_made_at_home_and_can_not_be_copied_or_opened() {
    let refused = [
        ("src/api/agent.rs", "let x = Attested { agent };"),
        ("src/broker/issue.rs", "Permitted { policies: vec![] }"),
        ("src/broker/decide.rs", "#[derive(Clone)]\npub struct Permitted {\n    inner: u8,\n}"),
        ("src/broker/decide.rs", "#[derive(Debug, Default)]\npub struct Permitted {\n    inner: u8,\n}"),
        ("src/broker/decide.rs", "pub struct Permitted {\n    pub inner: u8,\n}"),
        ("src/broker/decide.rs", "#[derive(Deserialize)]\npub struct Permitted {\n    inner: u8,\n}"),
        ("src/broker/decide.rs", "// there is none"),
        ("src/broker/issue.rs", "pub struct Permitted {\n    inner: u8,\n}"),
    ];
    for (path, text) in refused {
        finds(1, proofs, path, text);
    }
    let allowed = [
        ("src/broker/decide.rs", "/// Proof.\n#[derive(Debug)]\npub struct Permitted {\n    inner: u8,\n}"),
        ("src/broker/issue.rs", "fn f(x: Permitted) -> Permitted { x }\nimpl Permitted {}"),
        ("src/broker/issue.rs", "let NotPermitted { code } = x;"),
        ("src/broker/operate.rs", "#[derive(Clone)]\npub struct Authorized {\n    inner: u8,\n}"),
        ("src/store/ledger.rs", "let x = Recorded { index };"),
    ];
    for (path, text) in allowed {
        finds(0, proofs, path, text);
    }
}

#[test]
fn the_environment_and_the_terminal_are_out_of_bounds_below_the_wiring() {
    finds(1, rules::environment, "src/signer/keystore.rs", "let x = std::env::var(\"HOME\");");
    finds(0, rules::environment, "src/cli/mod.rs", "let x = std::env::var(\"HOME\");");
    finds(1, rules::printing, "src/store/mod.rs", "println!(\"x\");");
    finds(1, rules::printing, "src/cli/mod.rs", "eprintln!(\"x\");");
    finds(0, rules::printing, "src/cli/mod.rs", "// println!(\"x\")");
}

#[test]
fn long_files_and_silent_files_are_refused() {
    finds(0, rules::size, "src/store/mod.rs", &"\n".repeat(420));
    finds(1, rules::size, "src/store/mod.rs", &"\n".repeat(421));
    finds(0, rules::size, "src/main.rs", &"\n".repeat(60));
    finds(1, rules::size, "src/main.rs", &"\n".repeat(61));
    finds(0, rules::head, "src/store/mod.rs", "//! The ledger.\n");
    finds(1, rules::head, "src/store/mod.rs", "use std::fmt;\n");
    finds(1, rules::head, "src/store/mod.rs", "");
}

#[test]
fn words_that_belong_elsewhere_are_refused() {
    for text in ["see /home/ada/x", "`/root/.cargo`", "TODO: later", "// FIXME", "XXX"] {
        finds(1, rules::words, "docs/x.md", text);
    }
    for text in ["TODO(#12): later", "https://host.example/home/x", "{dir}/work/x", "a/root/b", "XXXX"] {
        finds(0, rules::words, "docs/x.md", text);
    }
}

#[test]
fn a_second_cryptography_or_source_in_the_lock_file_is_refused() {
    let refuses = |text: &str| lines(rules::lock(text)).len();
    assert_eq!(refuses("name = \"aws-lc-rs\"\n"), 1);
    assert_eq!(refuses("name = \"openssl-sys\"\n"), 1);
    assert_eq!(refuses("source = \"git+https://github.com/a/b#c\"\n"), 1);
    assert_eq!(refuses("name = \"openssl-probe\"\nname = \"ring\"\n"), 0);
}
