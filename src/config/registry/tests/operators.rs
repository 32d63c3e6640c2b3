//! Every kind of problem of operators, with its place and message.

use super::problems::{OPERATORS, changed, good, table};
use super::*;

#[test]
fn problems_of_operators() {
    table(
        "operators.toml",
        &[
            (
                "alice",
                "al ice",
                "2:8: operator[0].name: expected letters, digits, `.`, `_` or `-`, 63 bytes at most, got `al ice`",
            ),
            (
                "\"admin\"",
                "\"root\"",
                "4:10: operator[0].roles[0]: expected one of `admin`, `approver`, `responder`, `revoker`, `viewer`, got `root`",
            ),
            (
                "uid = 0",
                "uid = 65534",
                "3:1: operator[0].uid: expected a user's number, not that of nobody, got `65534`",
            ),
            (
                "uid = 0",
                "uid = 0\nother_uids = [7, 65534]",
                "4:18: operator[0].other_uids[1]: expected a user's number, not that of nobody, got `65534`",
            ),
            (
                "uid = 0",
                "uid = 0\nssh_keys = [\"ssh-ed25519 AAAA\"]",
                "4:13: operator[0].ssh_keys[0]: expected a public key as in `authorized_keys`, of type ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, sk-ecdsa-sha2-nistp256@openssh.com, sk-ssh-ed25519@openssh.com, ssh-ed25519, got `ssh-ed25519 AAAA`",
            ),
        ],
    );
    let found = changed("operators.toml", ", \"revoker\"", "");
    assert_eq!(
        found,
        [
            "warning: operators.toml:1:1: no operator has the role `revoker`: nobody could end a leaked credential"
        ]
    );
}

#[test]
fn an_approver_whose_own_processes_nobody_knows_is_a_warning() {
    let approver = |line: &str| {
        let text = OPERATORS.replace("\"admin\"", "\"admin\", \"approver\"").replace("uid = 0\n", line);
        changed("operators.toml", OPERATORS, &text)
    };
    for known in ["uid = 0\n", "other_uids = [7]\n", "spiffe_ids = [\"spiffe://td/alice\"]\n"] {
        assert_eq!(approver(known), Vec::<String>::new(), "{known}");
    }
    assert_eq!(
        approver(""),
        [
            "warning: operators.toml:2:1: operator[0].name: approver `alice` has no `uid`, `other_uids` or `spiffe_ids`: nobody can tell that they ask themselves"
        ]
    );
}

#[test]
fn an_ssh_key_of_two_operators_is_refused() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN0gxv+zJF8A1u5kJlcdUVolSeec7RBmnzPTMkxzxnJP";
    let dir = good();
    let keys = |comment: &str| format!("uid = 0\nssh_keys = [\"{KEY}{comment}\"]");
    let first = OPERATORS.replace("uid = 0", &keys(" alice@laptop"));
    let second = OPERATORS.replace("alice", "bob").replace("uid = 0", &keys("").replace('0', "1"));
    put(dir.path(), "operators.toml", format!("{first}{}", second.replace("uid = 1", "uid = 7")));
    // Another key, and nothing is wrong.
    assert_eq!(lines(dir.path()).iter().filter(|line| line.contains("SSH key")).count(), 0);
    let second =
        OPERATORS.replace("alice", "bob").replace("uid = 0", &keys("").replace("uid = 0", "uid = 7"));
    put(dir.path(), "operators.toml", format!("{first}{second}"));
    assert_eq!(
        lines(dir.path()),
        [format!(
            "error: operators.toml:9:1: operator[1].ssh_keys: SSH key declared already at operators.toml:4: `{KEY}`"
        )]
    );
    // Its private half in a file signs as the one in a security key, too.
    let same = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIN0gxv+zJF8A1u5kJlcdUVolSeec7RBmnzPTMkxzxnJPAAAABHNzaDo=";
    put(dir.path(), "operators.toml", format!("{first}{}", second.replace(KEY, same)));
    let found = lines(dir.path());
    assert!(found.len() == 1 && found[0].contains("SSH key declared already"), "{found:?}");
    let rsa =
        OPERATORS.replace("uid = 0", "uid = 0\nssh_keys = [\"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQA=\"]");
    put(dir.path(), "operators.toml", rsa);
    let found = lines(dir.path());
    assert!(
        found.iter().any(|line| line.contains("expected a key of type ecdsa-sha2-nistp256")),
        "{found:?}"
    );
}
