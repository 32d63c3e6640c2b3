//! Status lists, read back by others: by the draft's text over PyJWT and Python's zlib, and by a library of npm.

use std::path::Path;
use std::process::Command;

use hotwork::domain::name::Issuer;
use hotwork::domain::signer::Algorithm;
use hotwork::domain::status_list::{LIST_SIZE, ListId, Status};
use hotwork::signer::{documents, jwk};

use super::mint::{ISSUER, keys, now};
use super::tools::{installed, must, output, run};

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/read_status_list.py");

fn reader(tools: &Path) -> Command {
    let mut command = Command::new(tools.join("venv/bin/python"));
    command.arg(READER);
    command
}

fn read(tools: &Path, dir: &Path, uri: &str, index: u32) -> Command {
    read_of(tools, dir, ISSUER, uri, index)
}

/// Reads `list` with the keys in `jwks`, both in `dir`, of any issuer.
pub fn read_of(tools: &Path, dir: &Path, issuer: &str, uri: &str, index: u32) -> Command {
    let mut command = reader(tools);
    command.arg(dir.join("jwks")).arg(dir.join("list")).args([issuer, uri, &index.to_string()]);
    command
}

/// A list with three places taken, signed, and its keys.
fn publish(dir: &Path, algorithm: Algorithm) -> ListId {
    let keys = keys(dir, algorithm);
    let (issuer, signer): (Issuer, _) = (ISSUER.parse().unwrap(), keys.token());
    let list = ListId { hour: now().seconds() / 3600, list: 3 };
    let ended = [(0, Status::Invalid), (1993, Status::Suspended), (LIST_SIZE - 1, Status::Invalid)];
    let token = documents::status_list(&issuer, list, ended, now(), &*signer).unwrap();
    std::fs::write(dir.join("list"), token).unwrap();
    std::fs::write(dir.join("jwks"), jwk::jwks(&[&*signer])).unwrap();
    list
}

/// What every reader finds at these places.
const FOUND: [(u32, &str); 5] = [(0, "1"), (1, "0"), (1992, "0"), (1993, "2"), (LIST_SIZE - 1, "1")];

#[test]
fn an_independent_reader_reads_our_lists_and_no_other() {
    let Some(tools) = installed("the status list reader") else { return };
    // The reader itself is right: it reads the draft's own vector.
    run(reader(tools).arg("--vector"));
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let dir = tempfile::tempdir().unwrap();
        let list = publish(dir.path(), algorithm);
        let uri = list.uri(ISSUER);
        for (index, expected) in FOUND {
            assert_eq!(run(&mut read(tools, dir.path(), &uri, index)).trim(), expected, "{index}");
        }
        assert!(!output(&mut read(tools, dir.path(), &uri, LIST_SIZE)).status.success());
        let other = ListId { list: 4, ..list }.uri(ISSUER);
        assert!(!output(&mut read(tools, dir.path(), &other, 0)).status.success());
    }
}

/// The library of the package registry, after jose.
fn library(tools: &Path, dir: &Path, uri: &str, index: u32) -> Command {
    library_of(tools, dir, ISSUER, uri, index)
}

/// The same of any issuer.
pub fn library_of(tools: &Path, dir: &Path, issuer: &str, uri: &str, index: u32) -> Command {
    let mut command = Command::new("node");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/read_status_list.mjs"));
    command.arg(dir.join("jwks")).arg(dir.join("list")).args([issuer, uri, &index.to_string()]);
    command.env("INTEROP_DIR", tools);
    command
}

/// Whether the library is there; that it is not is said aloud.
pub fn has_library(tools: &Path) -> bool {
    let there = tools.join("node_modules/@sd-jwt/jwt-status-list").exists();
    if !there {
        assert!(!must(), "no jwt-status-list: run scripts/install-test-tools.sh");
        eprintln!("SKIPPED jwt-status-list: run scripts/install-test-tools.sh first");
    }
    there
}

#[test]
fn the_library_that_others_use_reads_our_lists_and_no_other() {
    let Some(tools) = installed("jwt-status-list") else { return };
    if !has_library(tools) {
        return;
    }
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let dir = tempfile::tempdir().unwrap();
        let list = publish(dir.path(), algorithm);
        let uri = list.uri(ISSUER);
        for (index, expected) in FOUND {
            assert_eq!(run(&mut library(tools, dir.path(), &uri, index)).trim(), expected, "{index}");
        }
        let other = ListId { list: 4, ..list }.uri(ISSUER);
        assert!(!output(&mut library(tools, dir.path(), &other, 0)).status.success());
    }
}
