//! The daemon's file: its documented form, and every problem with its line and key.

use super::*;

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
