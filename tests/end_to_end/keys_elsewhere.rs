//! Break-glass with keys that are in no file: in an `ssh-agent`, and in security keys.

use crate::scene::{NAMESPACE, Scene};
use crate::security_key::SecurityKey;
use crate::ssh_agent::Agent;
use crate::support::{code, text};

const OPEN: [&str; 7] =
    ["break-glass", "open", "node-repair", "--reason", "n1 does not drain", "--ticket", "INC-7"];

#[test]
fn two_people_open_with_the_public_halves_of_keys_in_an_agent() {
    let scene = Scene::start();
    let agent = Agent::start(scene.dir.path());
    let (bob, carol) = (agent.takes(&scene.bob), agent.takes(&scene.carol));
    let runs = |line: &[&str], socket: Option<&std::path::Path>| {
        let mut command = scene.daemon().command(&[line, &["--yes", "-o", "json"]].concat());
        match socket {
            Some(socket) => command.env("SSH_AUTH_SOCK", socket),
            None => command.env_remove("SSH_AUTH_SOCK"),
        };
        command.output().unwrap()
    };
    let opening = [&OPEN[..], &["--ssh-key", &bob]].concat();
    // Without the agent there is nobody who signs.
    let alone = runs(&opening, None);
    assert!(code(&alone) == 1 && text(&alone).contains("could not sign"), "{}", text(&alone));
    let first = runs(&opening, Some(&agent.socket));
    assert_eq!(code(&first), 0, "{}", text(&first));
    let first: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(first["progress"]["signedBy"], serde_json::json!(["bob"]));
    let id = first["progress"]["statementId"].as_str().unwrap();
    let second = runs(&["break-glass", "sign", id, "--ssh-key", &carol], Some(&agent.socket));
    assert_eq!(code(&second), 0, "{}", text(&second));
    let second: serde_json::Value = serde_json::from_slice(&second.stdout).unwrap();
    assert!(second["progress"]["session"].is_string(), "{second}");
}

#[test]
fn two_people_open_with_the_signatures_of_security_keys_that_they_touched() {
    let mut scene = Scene::start();
    let [ecdsa, edwards] = SecurityKey::both();
    let file = scene.dir.path().join("config/operators.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace(&scene.bob.public(), &ecdsa.public());
    std::fs::write(&file, text.replace(&scene.carol.public(), &edwards.public())).unwrap();
    scene.daemon().json(&["reload"]);
    let statement = scene.text("open", "node-repair");
    let sent =
        |key: &SecurityKey, flags| scene.send(&statement, &key.sign(NAMESPACE, &statement, "ssh:", flags));
    // Nobody touched it.
    scene.refuses(sent(&ecdsa, 0x00), "signature-presence");
    let (exit, first) = sent(&ecdsa, 0x01);
    assert_eq!((exit, &first["progress"]["signedBy"]), (0, &serde_json::json!(["bob"])), "{first}");
    let (exit, second) = sent(&edwards, 0x05);
    assert_eq!(
        (exit, &second["progress"]["signedBy"]),
        (0, &serde_json::json!(["bob", "carol"])),
        "{second}"
    );
    let session = second["progress"]["session"].as_str().unwrap().to_owned();
    // What is in the log is judged again at a start.
    scene.killed();
    let list = scene.daemon().json(&["break-glass", "list"]);
    assert_eq!(list["sessions"][0]["id"], session.as_str());
    assert_eq!(list["sessions"][0]["state"], "SESSION_STATE_OPEN");
}
