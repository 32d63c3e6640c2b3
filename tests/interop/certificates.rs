//! Certificates under OpenSSL and pkilint, and requests that OpenSSL wrote.

use std::path::Path;
use std::process::Command;

use hotwork::signer::csr::{BadCsr, KeyKind, KeyRule, SubjectKey};

use super::mint::certificate_files;
use super::tools::{installed, output, run};

fn verify(dir: &Path, intermediate: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"]).arg(dir.join("root.pem"));
    command.arg("-untrusted").arg(dir.join(intermediate)).arg(dir.join("cert.pem"));
    command
}

#[test]
fn openssl_accepts_our_certificates_strictly_and_under_their_own_authority_alone() {
    if installed("openssl verify").is_none() {
        return;
    }
    for life in [60, 120, 900] {
        let dir = tempfile::tempdir().unwrap();
        certificate_files(dir.path(), life);
        let said = run(&mut verify(dir.path(), "action.pem"));
        assert!(said.trim_end().ends_with("OK"), "{said}");
        assert!(!output(&mut verify(dir.path(), "identity.pem")).status.success());
        let mut root = Command::new("openssl");
        root.args(["verify", "-x509_strict", "-CAfile"]).arg(dir.path().join("root.pem"));
        root.arg(dir.path().join("action.pem")).arg(dir.path().join("identity.pem"));
        run(&mut root);
    }
}

/// pkilint's findings of warning and above that we know and keep, each with its reason.
///
/// - Its URI check is that of web addresses and does not know the scheme `spiffe`, whose form SPIFFE-ID
///   section 2 defines.
const KNOWN_FINDINGS: [&str; 1] = ["pkix.invalid_uri_syntax"];

#[test]
fn pkilint_finds_nothing_but_what_is_known() {
    let Some(tools) = installed("pkilint") else { return };
    for life in [60, 120] {
        let dir = tempfile::tempdir().unwrap();
        certificate_files(dir.path(), life);
        for file in ["cert.pem", "action.pem", "identity.pem", "root.pem"] {
            let mut lint = Command::new(tools.join("venv/bin/lint_pkix_cert"));
            lint.args(["lint", "--severity", "WARNING", "--format", "JSON"]).arg(dir.path().join(file));
            let said = output(&mut lint);
            // It exits with the number of findings, so the text decides; a crash prints no JSON.
            let report: serde_json::Value = serde_json::from_slice(&said.stdout)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&said.stderr)));
            let nodes = report["results"].as_array().unwrap().iter();
            let findings = nodes.flat_map(|node| node["finding_descriptions"].as_array().unwrap());
            let (known, unknown): (Vec<_>, Vec<_>) =
                findings.partition(|finding| KNOWN_FINDINGS.contains(&finding["code"].as_str().unwrap()));
            assert!(unknown.is_empty(), "{file}: {unknown:#?}");
            // The known one stands in every certificate: without it the linter did not look.
            assert_eq!(known.len(), 1, "{file}");
        }
    }
}

/// A request that OpenSSL makes for a new key of this kind.
fn openssl_csr(key: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-new", "-nodes", "-outform", "DER", "-subj", "/CN=root/O=anything"]);
    command.args(["-addext", "subjectAltName=URI:spiffe://example.org/admin", "-keyout"]);
    command.arg(dir.path().join("key")).arg("-newkey").args(key).arg("-out").arg(dir.path().join("csr"));
    run(&mut command);
    std::fs::read(dir.path().join("csr")).unwrap()
}

#[test]
fn requests_of_openssl_are_read_and_weak_keys_refused() {
    if installed("openssl req").is_none() {
        return;
    }
    let rsa = KeyRule { rsa: true };
    let read = |key: &[&str], rule| SubjectKey::from_csr_under(&openssl_csr(key), rule).map(|key| key.kind());
    let p256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    assert_eq!(read(&p256, KeyRule::default()), Ok(KeyKind::P256));
    assert_eq!(read(&["ed25519"], KeyRule::default()), Ok(KeyKind::Ed25519));
    assert_eq!(read(&["rsa:2048"], rsa), Ok(KeyKind::Rsa));
    assert_eq!(read(&["rsa:2048"], KeyRule::default()), Err(BadCsr::RsaOff));
    assert_eq!(read(&["rsa:1024"], rsa), Err(BadCsr::RsaWeak(1024)));
    let p384 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    assert_eq!(read(&p384, rsa), Err(BadCsr::Kind));
    assert_eq!(read(&["ed448"], rsa), Err(BadCsr::Kind));
}
