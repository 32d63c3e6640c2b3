//! Files as such: what is read, what is refused unread, and what the digest is of.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::problems::{AGENT, POLICY, good};
use super::*;

#[test]
fn files_that_can_not_be_trusted_are_refused() {
    let dir = good();
    let outside = tempfile::tempdir().unwrap();
    symlink(put(outside.path(), "a.toml", AGENT), dir.path().join("agents/out.toml")).unwrap();
    symlink("nowhere", dir.path().join("agents/dangling.toml")).unwrap();
    put(dir.path(), "apis/latin.toml", b"name = \"\xe9\"");
    put(dir.path(), "apis/big.toml", "#".repeat(1024 * 1024 + 1));
    put(dir.path(), "apis/notes.txt", "");
    put(dir.path(), "apis/.hidden.toml", "nonsense");
    fs::create_dir(dir.path().join("policies/d.cedar")).unwrap();
    fs::set_permissions(dir.path().join("policies/p.cedar"), fs::Permissions::from_mode(0o646)).unwrap();
    fs::set_permissions(dir.path().join("agents"), fs::Permissions::from_mode(0o777)).unwrap();
    let found = lines(dir.path());
    let starts = [
        "error: agents:1:1: the directory can be written by everybody (mode 0777), so anyone on this machine could grant himself authority",
        "error: agents/dangling.toml:1:1: can't be opened",
        "error: agents/out.toml:1:1: is a link out of the registry",
        "error: apis/big.toml:1:1: is larger than 1048576 bytes",
        "error: apis/latin.toml:1:1: is not UTF-8 from byte 8",
        "warning: apis/notes.txt:1:1: is not read: its name does not end in `.toml`",
        "error: policies/d.cedar:1:1: is not a regular file",
        "error: policies/p.cedar:1:1: can be written by everybody (mode 0646)",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

#[test]
fn a_link_inside_the_registry_is_followed() {
    let dir = good();
    fs::rename(dir.path().join("agents/me.toml"), dir.path().join("me.toml")).unwrap();
    symlink("../me.toml", dir.path().join("agents/me.toml")).unwrap();
    assert!(lines(dir.path()).is_empty());
}

#[test]
fn every_file_is_checked_although_another_is_broken() {
    let dir = good();
    put(dir.path(), "apis/a.toml", "name = [\n");
    put(dir.path(), "apis/b.toml", "name = \"B\"\n= 3\n");
    put(
        dir.path(),
        "policies/q.cedar",
        "permit (principal == Agent::\"x\", action == Action::\"demo.read\", resource);",
    );
    let found = lines(dir.path());
    for start in [
        "error: apis/a.toml:",
        "error: apis/b.toml:1:8: name",
        "error: apis/b.toml:2:1: not TOML",
        "error: policies/q.cedar:1:22: q#1: no registered agent",
    ] {
        assert!(found.iter().any(|line| line.starts_with(start)), "{start}: {found:#?}");
    }
    assert!(lines(&dir.path().join("none"))[0].contains("the registry directory can't be opened"));
    let empty = tempfile::tempdir().unwrap();
    assert!(lines(empty.path())[0].starts_with("error: operators.toml:1:1: is not there"));
    put(empty.path(), "operators.toml", "");
    assert!(load_dir(empty.path()).is_ok());
}

#[test]
fn the_digest_is_of_names_and_contents() {
    let digest = |dir: &tempfile::TempDir| load_dir(dir.path()).unwrap().registry.digest();
    let (one, two) = (good(), good());
    assert_eq!(digest(&one), digest(&two));
    put(two.path(), "policies/p.cedar", format!("{POLICY}// a comment\n"));
    let changed = digest(&two);
    assert_ne!(digest(&one), changed);
    fs::rename(one.path().join("agents/me.toml"), one.path().join("agents/other.toml")).unwrap();
    assert_ne!(digest(&one), digest(&good()));
}
