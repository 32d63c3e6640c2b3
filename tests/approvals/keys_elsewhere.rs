//! Decisions with keys that are in no file: in an `ssh-agent`, and in security keys.

use std::path::Path;

use crate::office::{JKT, MERGE, Office, reason, succeeds};
use crate::security_key::SecurityKey;
use crate::ssh_agent::Agent;
use crate::support::code;

#[test]
fn an_approver_signs_with_the_public_half_of_a_key_in_an_agent() {
    let office = Office::coding();
    let agent = Agent::start(office.dir.path());
    let public = agent.takes(&office.keys["alice"]);
    let id = office.asked(JKT);
    let approves = |socket: Option<&Path>| {
        let mut command = office.decision("alice", "approve", &id, Some(&public));
        match socket {
            Some(socket) => command.env("SSH_AUTH_SOCK", socket),
            None => command.env_remove("SSH_AUTH_SOCK"),
        };
        command.output().unwrap()
    };
    let alone = approves(None);
    assert_eq!((code(&alone), reason(&alone).as_str()), (1, "ssh-keygen"));
    assert_eq!(office.state(&id), "PENDING");
    succeeds(&approves(Some(&agent.socket)));
    assert_eq!(office.state(&id), "APPROVED");
    assert_eq!(office.agent(&[&MERGE[..], &["--dpop-jkt", JKT, "--approval", &id]].concat()).0, 0);
}

#[test]
fn an_approver_sends_the_signature_of_a_security_key_that_they_touched() {
    let office = Office::coding();
    let file = office.dir.path().join("state/config/operators.toml");
    for key in SecurityKey::both() {
        let text = std::fs::read_to_string(&file).unwrap();
        let marked: Vec<String> = text
            .split("\n\n")
            .map(|entry| match entry.contains("name = \"alice\"") {
                true => {
                    let (head, _) = entry.split_once("ssh_keys = [").unwrap();
                    format!("{head}ssh_keys = [\"{}\"]", key.public())
                }
                false => entry.to_owned(),
            })
            .collect();
        std::fs::write(&file, marked.join("\n\n") + "\n").unwrap();
        office.daemon.json(&["reload"]);
        let id = office.asked(JKT);
        let printed = office.operator("alice", &["request", "approve", &id, "--print"]);
        let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
        let statement = printed["statement"].as_str().unwrap();
        let sends = |flags| {
            let signature = office.dir.path().join("text.sig");
            std::fs::write(&signature, key.sign("hotwork-approval", statement, "ssh:", flags)).unwrap();
            office.operator("alice", &["request", "approve", &id, "--signature", signature.to_str().unwrap()])
        };
        let untouched = sends(0x00);
        assert_eq!((code(&untouched), reason(&untouched).as_str()), (3, "signature-presence"));
        succeeds(&sends(0x01));
        assert_eq!(office.state(&id), "APPROVED");
        assert_eq!(office.agent(&[&MERGE[..], &["--dpop-jkt", JKT, "--approval", &id]].concat()).0, 0);
    }
}
