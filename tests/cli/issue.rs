//! `hotwork issue` and `hotwork credential`: formats, files, keys.

use std::os::unix::fs::symlink;

use hotwork::proto::v1::parameter::Value;

use super::double::{Double, ID, TOKEN};
use super::{at, json, mode, run, stderr, stdout};

#[test]
fn json_has_what_scripts_rely_on() {
    let double = Double::start();
    let output = run(&double, "issue demo.read --resource demo/hello --ttl 90s -o json");
    let answer = json(&output);
    assert_eq!((answer["credential"]["id"].as_str(), answer["token"].as_str()), (Some(ID), Some(TOKEN)));
    assert!(answer["credential"]["expireTime"].as_str().unwrap().ends_with('Z'), "{answer}");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(double.requests()[0].ttl.unwrap().seconds, 90);

    let answer = json(&run(&double, "issue demo.read --resource demo/hello --kind cert -o json"));
    assert!(answer["certificatePem"].as_str().unwrap().contains("leaf"));
    assert!(answer["privateKeyPem"].as_str().unwrap().contains("PRIVATE KEY"));
}

#[test]
fn the_token_alone_is_data_and_the_rest_is_said_beside_it() {
    let double = Double::start();
    let output = run(&double, "issue demo.read --resource demo/hello");
    assert_eq!(stdout(&output), format!("{TOKEN}\n"));
    assert!(stderr(&output).contains(ID) && stderr(&output).contains("in 1m 5"), "{output:?}");
    assert_eq!(stdout(&run(&double, "issue demo.read --resource demo/hello -o name")), format!("{ID}\n"));
    assert!(stdout(&run(&double, "issue demo.read --resource demo/hello -o yaml")).contains("expireTime: "));
}

#[test]
fn out_writes_private_files() {
    let double = Double::start();
    let out = double.dir().join("out");
    for (kind, names) in [("token", vec!["token"]), ("cert", vec!["ca.pem", "cert.pem", "key.pem"])] {
        let dir = out.join(kind);
        std::fs::create_dir_all(&out).unwrap();
        let line = format!("issue demo.read --resource demo/hello --kind {kind} --out {}", dir.display());
        let output = run(&double, &line);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!stdout(&output).contains(TOKEN) && !stdout(&output).contains("BEGIN"), "{output:?}");
        let mut found: Vec<String> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
        assert_eq!(mode(&dir), 0o700);
        assert!(names.iter().all(|name| mode(&dir.join(name)) == 0o600));
    }
}

#[test]
fn a_link_in_the_way_is_seen_before_a_credential_is_asked_for() {
    let double = Double::start();
    let target = double.dir().join("target");
    symlink(&target, double.dir().join("token")).unwrap();
    let line = format!("issue demo.read --resource demo/hello -o json --out {}", double.dir().display());
    let output = run(&double, &line);
    assert_eq!((output.status.code(), json(&output)["reason"].as_str()), (Some(1), Some("not-ours")));
    assert!(double.seen().is_empty() && !target.exists());
}

#[test]
fn keys_come_from_where_the_caller_says() {
    let double = Double::start();
    let csr = double.dir().join("csr.der");
    let request = rcgen_request();
    std::fs::write(&csr, &request).unwrap();
    let cases = [
        ("--kind cert", "issue certificate csr true"),
        ("--kind cert --generate-key", "issue certificate generate"),
        (&format!("--kind cert --csr {}", csr.display()), "issue certificate csr true"),
        (
            "--dpop-jkt 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            "issue token 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        ),
    ];
    for (options, wanted) in cases {
        let output = run(&double, &format!("issue demo.read --resource demo/hello {options}"));
        assert_eq!(output.status.code(), Some(0), "{options}: {output:?}");
        assert_eq!(double.seen().last().map(String::as_str), Some(wanted), "{options}");
    }
    for wrong in ["--csr x", "--kind cert --dpop-jkt 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"] {
        let output = run(&double, &format!("issue demo.read --resource demo/hello {wrong}"));
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

fn rcgen_request() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

#[test]
fn a_parameter_has_the_type_that_the_action_declares() {
    let double = Double::start();
    run(&double, "issue demo.pay --resource demo/hello --param invoice=7 --param amount=120");
    let request = double.requests().remove(0);
    let values: Vec<Value> =
        request.parameters.into_iter().map(|parameter| parameter.value.unwrap()).collect();
    assert_eq!(values, [Value::Text("7".to_owned()), Value::Integer(120)]);
    assert_eq!(double.seen(), ["list actions", "issue token"]);
}

#[test]
fn lists_follow_every_page_up_to_the_limit() {
    let double = Double::start();
    assert_eq!(stdout(&run(&double, "credential list -o name")), "a\nb\nc\n");
    let output = run(&double, "credential list -o name --limit 2");
    assert_eq!(stdout(&output), "a\nb\n");
    assert!(stderr(&output).contains("--limit"));
    assert!(stdout(&run(&double, "credential list")).contains("demo/hello  live   in 1m 5"));
}

#[test]
fn consuming_tells_by_exit_code_whether_the_call_may_go_ahead() {
    let double = Double::start();
    let file = double.dir().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let consume =
        |key: &str| run(&double, &format!("credential consume {} --idempotency-key {key}", file.display()));
    let output = consume("order-42");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains(ID) && shown.contains("calls left"), "{shown}");
    assert_eq!(consume("too-late").status.code(), Some(6));
    assert!(double.seen().contains(&"consume order-42".to_owned()));
    let missing = run(&double, &format!("credential consume {}", file.display()));
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn verify_tells_live_from_not_live_by_exit_code() {
    let double = Double::start();
    let file = double.dir().join("file");
    let cases = [
        (TOKEN, 0, None),
        ("eyJhIjoxfQ.e30.c2ln", 6, Some("not-active")),
        ("eyJhIjoxfQ.eyJleHAiOjF9.c2ln", 6, Some("expired")),
        ("rubbish", 6, Some("malformed")),
    ];
    for (text, code, reason) in cases {
        std::fs::write(&file, text).unwrap();
        let output = run(&double, &format!("credential verify {} -o json", file.display()));
        assert_eq!(output.status.code(), Some(code), "{text}: {output:?}");
        assert_eq!(json(&output)["reason"].as_str(), reason, "{text}");
        assert!(stderr(&output).is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_no_verdict() {
    let double = Double::start();
    let (missing, directory) = (double.dir().join("none"), double.dir());
    for file in [missing.as_path(), directory] {
        for (command, more) in [("verify", ""), ("consume", " --idempotency-key order-42")] {
            let line = format!("credential {command} {}{more} -o json", file.display());
            let output = run(&double, &line);
            assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
            assert_eq!(json(&output)["reason"], "file", "{line}");
        }
    }
    assert!(double.seen().is_empty(), "{:?}", double.seen());
}

#[test]
fn inspect_asks_nobody_and_says_that_it_checked_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let output =
        super::hotwork().args(["credential", "inspect"]).arg(&file).args(["-o", "json"]).output().unwrap();
    assert_eq!(json(&output)["token"]["claims"]["jti"], "i");
    assert_eq!(json(&output)["checked"], false);
    assert!(stderr(&output).contains("nothing") || stderr(&output).contains("no signature"), "{output:?}");
}

#[test]
fn release_gives_the_record_back() {
    let double = Double::start();
    let output = run(&double, &format!("credential release {ID} -o json"));
    assert_eq!(json(&output)["credential"]["id"], ID);
    let output = at(&double).args(["credential", "show", ID]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let output = at(&double).args(["credential", "show", ID, "--all", "-o", "name"]).output().unwrap();
    assert_eq!(stdout(&output), format!("{ID}\n"));
}
