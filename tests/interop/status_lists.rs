//! Status lists, read back by a reader that is not ours: PyJWT, Python's zlib, and the draft's text.

use std::path::Path;
use std::process::Command;

use hotwork::domain::name::Issuer;
use hotwork::domain::signer::Algorithm;
use hotwork::domain::status_list::{LIST_SIZE, ListId, Status};
use hotwork::signer::{documents, jwk};

use super::mint::{ISSUER, keys, now};
use super::tools::{installed, output, run};

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/read_status_list.py");

fn reader(tools: &Path) -> Command {
    let mut command = Command::new(tools.join("venv/bin/python"));
    command.arg(READER);
    command
}

fn read(tools: &Path, dir: &Path, uri: &str, index: u32) -> Command {
    let mut command = reader(tools);
    command.arg(dir.join("jwks")).arg(dir.join("list")).args([ISSUER, uri, &index.to_string()]);
    command
}

#[test]
fn an_independent_reader_reads_our_lists_and_no_other() {
    let Some(tools) = installed("the status list reader") else { return };
    // The reader itself is right: it reads the draft's own vector.
    run(reader(tools).arg("--vector"));
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path(), algorithm);
        let (issuer, signer): (Issuer, _) = (ISSUER.parse().unwrap(), keys.token());
        let key = &*signer;
        let list = ListId { hour: now().seconds() / 3600, list: 3 };
        let ended = [(0, Status::Invalid), (1993, Status::Suspended), (LIST_SIZE - 1, Status::Invalid)];
        let token = documents::status_list(&issuer, list, ended, now(), key).unwrap();
        std::fs::write(dir.path().join("list"), token).unwrap();
        std::fs::write(dir.path().join("jwks"), jwk::jwks(&[key])).unwrap();
        let uri = list.uri(ISSUER);
        for (index, expected) in [(0, "1"), (1, "0"), (1992, "0"), (1993, "2"), (LIST_SIZE - 1, "1")] {
            assert_eq!(run(&mut read(tools, dir.path(), &uri, index)).trim(), expected, "{index}");
        }
        assert!(!output(&mut read(tools, dir.path(), &uri, LIST_SIZE)).status.success());
        let other = ListId { list: 4, ..list }.uri(ISSUER);
        assert!(!output(&mut read(tools, dir.path(), &other, 0)).status.success());
    }
}
