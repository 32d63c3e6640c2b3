//! The daemon's file: its documented form, and every problem with its line and key.

use super::*;
use crate::config::edge::ServerCertificate;

const FILE: &str = include_str!("../../../config/hotworkd.toml");
const MINIMAL: &str = "trust_domain = \"example.org\"\nissuer = \"https://hotwork.example.org\"\n";

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let lines = |problems: Problems| problems.iter().map(ToString::to_string).collect();
    Config::parse(Path::new("h.toml"), text).map_err(lines)
}

#[test]
fn the_documented_file_is_the_defaults() {
    assert_eq!(parse(FILE), parse(MINIMAL));
}

#[test]
fn what_the_documented_file_leaves_out_can_be_put_in() {
    let config = parse(&FILE.replace("#passphrase_file", "passphrase_file")).unwrap();
    assert_eq!(config.passphrase_file, Some("/run/credentials/hotworkd.service/passphrase".into()));
    assert_eq!(Config { passphrase_file: None, ..config }, parse(MINIMAL).unwrap());
}

const TCP: &str = "[agent_tcp]\nlisten = \"127.0.0.1:0\"\nserver_names = [\"localhost\"]\n";
const BUNDLE: &str = "[[trust_bundle]]\ntrust_domain = \"prod.example\"\nfile = \"/b.pem\"\n";

#[test]
fn tcp_listeners_are_off_until_they_are_named() {
    assert_eq!(parse(MINIMAL).unwrap().edge, Edge::default());
    let edge = parse(&format!("{MINIMAL}{TCP}{BUNDLE}")).unwrap().edge;
    let agent = edge.agent.unwrap();
    assert_eq!((agent.settings.tls12, agent.settings.max_age.as_secs()), (false, 3600));
    assert_eq!(agent.certificate, ServerCertificate::Minted(vec!["localhost".parse().unwrap()]));
    assert_eq!((edge.admin, edge.verifier, edge.bundles.len()), (None, None, 1));
    let files = "[admin_tcp]\nlisten = \"127.0.0.1:0\"\ncertificate_file = \"/c\"\nkey_file = \"/k\"\n";
    let admin = parse(&format!("{MINIMAL}{files}")).unwrap().edge.admin.unwrap();
    assert_eq!(admin.certificate, ServerCertificate::Files { chain: "/c".into(), key: "/k".into() });
}

#[test]
fn problems_of_tcp_listeners_and_bundles_have_their_line_and_key() {
    let own = BUNDLE.replace("prod.example", "example.org");
    for (text, expected) in [
        (TCP.to_owned(), "h.toml:3:2: agent_tcp: no [[trust_bundle]]: no certificate would be believed here"),
        (format!("{TCP}max_age = \"59s\"\n{BUNDLE}"), "h.toml:6:1: agent_tcp.max_age: expected 1m to 24h"),
        (
            "[admin_tcp]\nlisten = \"127.0.0.1:0\"\nkey_file = \"/k\"\n".to_owned(),
            "h.toml:3:1: admin_tcp.certificate_file: missing; key_file needs it",
        ),
        (
            "[admin_tcp]\nserver_names = [\"A b\"]\n".to_owned(),
            "h.toml:4:17: admin_tcp.server_names[0]: expected a DNS name in lowercase, or an IP address, got `A b`",
        ),
        (
            own,
            "h.toml:4:1: trust_bundle[0].trust_domain: our own trust domain: what this broker issues is no evidence for it",
        ),
        (
            format!("{BUNDLE}{BUNDLE}"),
            "h.toml:7:1: trust_bundle[1].trust_domain: a second bundle of this trust domain; put the roots in one file",
        ),
    ] {
        assert_eq!(parse(&format!("{MINIMAL}{text}")), Err(vec![expected.to_owned()]), "{text}");
    }
    let unnamed = "[verifier_tcp]\nlisten = \"127.0.0.1:0\"\n";
    let found = parse(&format!("{MINIMAL}{unnamed}")).unwrap_err();
    assert!(found[0].contains(": verifier_tcp.server_names: empty: "), "{found:?}");
}

#[test]
fn a_listener_can_be_off() {
    let config = parse(&format!("{MINIMAL}[http]\nlisten = \"off\"\n[ops]\nlisten = \"[::1]:1\"\n")).unwrap();
    assert_eq!((config.http, config.ops), (None, Some("[::1]:1".parse().unwrap())));
}

#[test]
fn each_problem_has_its_line_and_key() {
    for (line, expected) in [
        (
            "state_dir = \"x\"",
            "h.toml:3:13: state_dir: expected an absolute path without `.` or `..` in it, got `x`",
        ),
        (
            "registry_dir = \"/var/lib\"",
            "h.toml:3:1: registry_dir: the state must not lie in the registry: one is written, one is reviewed",
        ),
        ("state_dir = 5", "h.toml:3:13: state_dir: expected a text, got an integer"),
        (
            "state_dir = \"/etc/hotwork/s\"",
            "h.toml:3:1: state_dir: the state must not lie in the registry: one is written, one is reviewed",
        ),
        (
            "retention = \"1w\"",
            "h.toml:3:13: retention: expected a duration such as `90s`, `15m`, `24h` or `30d`, got `1w`",
        ),
        (
            "oid_arc = \"1.40.3\"",
            "h.toml:3:11: oid_arc: expected an OID such as `1.3.6.1.4.1.32473.1`, 3 to 20 numbers below 2^32, got `1.40.3`",
        ),
        ("reflection = \"yes\"", "h.toml:3:14: reflection: expected `true` or `false`, got a text"),
        ("agent_socket = 1", "h.toml:3:16: agent_socket: expected a table, got an integer"),
        (
            "[agent_socket]\nmode = \"9\"",
            "h.toml:4:8: agent_socket.mode: expected permissions in octal such as `0660`, got `9`",
        ),
        (
            "[admin_socket]\npath = \"/run/hotwork/agent.sock\"",
            "h.toml:3:2: admin_socket: both sockets have one path: agents would reach the operators' RPCs",
        ),
        (
            "[http]\nlisten = \"localhost\"",
            "h.toml:4:10: http.listen: expected an address such as `127.0.0.1:8420`, or `off`, got `localhost`",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "h.toml:4:9: log.level: expected one of `error`, `warn`, `info`, `debug`, got `loud`",
        ),
        ("[log]\nformat = \"xml\"", "h.toml:4:10: log.format: expected one of `json`, `text`, got `xml`"),
        ("[log]\nlevle = \"info\"", "h.toml:4:1: log.levle: unknown key, expected one of `format`, `level`"),
    ] {
        assert_eq!(parse(&format!("{MINIMAL}{line}\n")), Err(vec![expected.to_owned()]), "{line}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let found = parse(
        "issuer = \"http://x\"\nfoo = 1\nretention = [\n[agent_socket]\nmode = \"x\"\n[log]\nlevel = 1\n",
    )
    .unwrap_err();
    let places: Vec<&str> = found.iter().map(|line| line.split(':').nth(1).unwrap()).collect();
    assert!(found.len() >= 6, "{found:#?}");
    for line in ["1", "2", "3", "5", "7"] {
        assert!(places.contains(&line), "line {line}: {found:#?}");
    }
    assert!(
        found.iter().any(|line| line == "h.toml:1:1: trust_domain: missing; it has no default"),
        "{found:#?}"
    );
}

#[test]
fn a_file_that_everybody_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hotworkd.toml");
    std::fs::write(&path, FILE).unwrap();
    assert!(Config::load(&path).is_ok());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let problems = Config::load(&path).unwrap_err();
    assert!(problems.to_string().contains("can be written by everybody (mode 0666)"), "{problems}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&path, b"trust_domain = \"\xff\"").unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("is not UTF-8 from byte 16"));
    assert!(Config::load(&dir.path().join("none")).unwrap_err().to_string().contains("can't be opened"));
}
