//! The tidy test: holds the source text to the architecture that `docs/ARCHITECTURE.md` draws.
//!
//! Each rule is a function from text to findings, and each has a test here that feeds it what it must
//! refuse. It knows files, and nothing of what the code does.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that can't read the sources has to fail"
)]

#[path = "tidy/can_fail.rs"]
mod can_fail;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::Finding;

/// What holds text for people: searched for words that don't belong there.
const TEXT_ROOTS: [&str; 8] = [".ci", "benches", "config", "deploy", "docs", "proto", "scripts", "fuzz"];
const TEXT_KINDS: [&str; 10] = ["cedar", "conf", "md", "proto", "py", "rs", "service", "sh", "toml", "yaml"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir`, as (path from the root, text), sorted. Build output is passed over.
fn files(dir: &str, kinds: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(dir)];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let built = ["target", "corpus", "artifacts"].iter().any(|name| path.ends_with(name));
            if path.is_dir() && !built {
                waiting.push(path);
            } else if path.is_file() && is_of_kind(&path, kinds) {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn is_of_kind(path: &Path, kinds: &[&str]) -> bool {
    let kind = path.extension().unwrap_or_default();
    kinds.iter().any(|known| kind == *known)
}

fn sources() -> Vec<(String, String)> {
    let found = files("src", &["rs"]);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn rust_files() -> Vec<(String, String)> {
    [sources(), files("tests", &["rs"]), files("benches", &["rs"]), files("fuzz", &["rs"])].concat()
}

#[track_caller]
fn none(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(lines.is_empty(), "{} untidy:\n{}", lines.len(), lines.join("\n"));
}

fn each(files: &[(String, String)], rule: impl Fn(&str, &str) -> Vec<Finding>) {
    none(files.iter().flat_map(|(path, text)| rule(path, text)));
}

#[test]
fn a_file_uses_lower_floors_only_and_siblings_do_not_know_each_other() {
    each(&sources(), rules::floors);
}

#[test]
fn the_domain_is_pure() {
    each(&sources(), rules::pure_domain);
}

#[test]
fn a_concrete_part_is_named_in_its_own_room_only() {
    each(&sources(), rules::crates_at_home);
}

#[test]
fn proof_values_are_made_where_they_are_earned() {
    none(rules::proofs(&sources()));
}

#[test]
fn the_environment_is_read_in_the_wiring_only() {
    each(&sources(), rules::environment);
}

#[test]
fn the_library_prints_nothing() {
    each(&sources(), rules::printing);
}

#[test]
fn a_file_fits_in_the_head() {
    each(&rust_files(), rules::size);
}

#[test]
fn a_file_says_what_it_knows() {
    each(&rust_files(), rules::head);
}

#[test]
fn texts_hold_no_machine_paths_and_no_promises_without_a_number() {
    let mut texts = rust_files();
    texts.extend(TEXT_ROOTS.iter().flat_map(|dir| files(dir, &TEXT_KINDS)));
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    for path in top.filter(|path| path.extension().is_some_and(|kind| kind == "md" || kind == "toml")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        texts.push((name, fs::read_to_string(path).unwrap()));
    }
    // The rules' own tests have to spell what they refuse.
    texts.retain(|(path, _)| !path.starts_with("tests/tidy"));
    each(&texts, rules::words);
}

#[test]
fn the_lock_file_has_no_second_cryptography_and_one_source() {
    none(rules::lock(&fs::read_to_string(root().join("Cargo.lock")).unwrap()));
}

#[test]
fn every_proto_file_is_compiled() {
    let build = fs::read_to_string(root().join("build.rs")).unwrap();
    let missing = |path: &&String| !build.contains(path.strip_prefix("proto/").unwrap());
    let protos: Vec<String> = files("proto", &["proto"]).into_iter().map(|(path, _)| path).collect();
    let left_out: Vec<&String> =
        protos.iter().filter(|path| path.ends_with(".proto")).filter(missing).collect();
    assert!(!protos.is_empty() && left_out.is_empty(), "{left_out:?}");
}
