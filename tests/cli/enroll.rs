//! `hotwork operator` and `hotwork verifier`.

use std::fs;
use std::os::unix::fs::symlink;

use super::double::{Double, SERIAL};
use super::{json, mode, run, stderr, stdout};

#[test]
fn enrolling_makes_a_key_here_and_writes_private_files() {
    let double = Double::start();
    let out = double.dir().join("alice");
    let output = run(&double, &format!("operator enroll alice --lifetime 12h --out {}", out.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        assert_eq!(mode(&out.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&out), 0o700);
    assert!(fs::read_to_string(out.join("key.pem")).unwrap().contains("BEGIN PRIVATE KEY"));
    assert!(stdout(&output).contains("HOTWORK_TLS_KEY") && stdout(&output).contains(SERIAL));
    assert_eq!(double.seen(), ["enroll 1 alice csr true for 43200"]);
    let again = run(&double, &format!("verifier enroll envoy --out {} -o name", out.display()));
    assert_eq!(stdout(&again), format!("{SERIAL}\n"));
}

#[test]
fn what_can_not_be_written_is_found_before_anybody_is_enrolled() {
    let double = Double::start();
    let out = double.dir().join("alice");
    fs::create_dir(&out).unwrap();
    symlink("/dev/null", out.join("key.pem")).unwrap();
    let output = run(&double, &format!("operator enroll alice --out {}", out.display()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("belongs to somebody else"), "{output:?}");
    assert!(double.seen().is_empty());
}

#[test]
fn a_request_of_ones_own_leaves_the_key_where_it_is() {
    let double = Double::start();
    let (out, csr) = (double.dir().join("envoy"), double.dir().join("envoy.csr"));
    fs::write(&csr, [0x30, 0x00]).unwrap();
    let line = format!("verifier enroll envoy --csr {} --out {} -o json", csr.display(), out.display());
    let output = run(&double, &line);
    assert_eq!(json(&output)["logIndex"].as_str(), Some("7"), "{output:?}");
    assert!(out.join("cert.pem").exists() && !out.join("key.pem").exists());
    assert_eq!(double.seen(), ["enroll 2 envoy csr true for 2592000"]);
}

#[test]
fn lists_show_one_kind_and_removing_needs_a_reason() {
    let double = Double::start();
    assert_eq!(stdout(&run(&double, "operator list -o name")), format!("{SERIAL}\n"));
    assert!(stdout(&run(&double, "verifier ls")).contains("verifier"));
    let output = run(&double, "operator remove alice");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--reason") && double.seen().is_empty());
    let output = run(&double, "operator remove alice --reason left -o json");
    assert_eq!(json(&output)["removed"].as_str(), Some("2"));
    run(&double, &format!("verifier rm envoy --serial {SERIAL} --reason lost"));
    assert_eq!(double.seen(), ["remove 1 alice  left".to_owned(), format!("remove 2 envoy {SERIAL} lost")]);
}

#[test]
fn wrong_lifetimes_and_serials_are_usage_errors_and_unknown_operators_are_told() {
    let double = Double::start();
    for bad in [
        "operator enroll alice",
        "operator enroll alice --out x --lifetime 59s",
        "operator enroll alice --out x --lifetime 367d",
        "operator remove alice --serial 4f --reason x",
    ] {
        assert_eq!(run(&double, bad).status.code(), Some(2), "{bad}");
    }
    let out = double.dir().join("nobody");
    let output = run(&double, &format!("operator enroll nobody --out {}", out.display()));
    assert!(output.status.code() == Some(1) && stderr(&output).contains("next: "), "{output:?}");
    assert!(!out.join("key.pem").exists(), "no key without a certificate");
}
