//! TLS itself, as other programs see it: versions, protocols, resumption, and sslyze's opinion.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::pki::{self, TestCa, address, config, connect};
use crate::support::{self, Daemon, text};
use crate::{WEB, start};

const AGENT: &str = "HOTWORK_ENDPOINT_TCP";

/// `openssl s_client` with the identity in `files`.
fn openssl(daemon: &Daemon, variable: &str, files: &Path, more: &[&str]) -> Output {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address(daemon, variable).to_string()]);
    command.arg("-cert").arg(files.join("cert.pem")).arg("-key").arg(files.join("key.pem"));
    command.arg("-CAfile").arg(&daemon.env["HOTWORK_TLS_CA"]).args(["-verify_return_error", "-no_ign_eof"]);
    command.args(more).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn openssl_gets_tls_1_3_and_http_2_and_nothing_older() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let files = dir.path().join("web");
    ca.svid(WEB, 600).write(&files);
    let good = text(&openssl(&daemon, AGENT, &files, &["-alpn", "h2", "-verify_hostname", "localhost"]));
    assert!(good.contains("TLSv1.3") && good.contains("ALPN protocol: h2"), "{good}");
    assert!(good.contains("Verify return code: 0 (ok)"), "{good}");
    let old = text(&openssl(&daemon, AGENT, &files, &["-alpn", "h2", "-tls1_2"]));
    assert!(old.contains("alert") && !old.contains("ALPN protocol: h2"), "{old}");
    let wrong = text(&openssl(&daemon, AGENT, &files, &["-alpn", "http/1.1"]));
    assert!(wrong.contains("alert") && wrong.contains("protocol"), "{wrong}");
    let other = text(&openssl(&daemon, AGENT, &files, &["-verify_hostname", "other.example"]));
    assert!(other.to_lowercase().contains("hostname mismatch"), "the check can fail: {other}");
}

#[test]
fn a_session_is_never_resumed_and_no_ticket_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let config = serve(dir.path(), &ca, true);
    let daemon = Daemon::serve(&config, &dir.path().join("state"));
    let files = dir.path().join("web");
    ca.svid(WEB, 600).write(&files);
    // TLS 1.2 by option, where a session id could bring one back.
    for version in ["-tls1_2", "-tls1_3"] {
        let seen = text(&openssl(&daemon, AGENT, &files, &["-alpn", "h2", version, "-reconnect"]));
        assert!(seen.matches("New, TLSv1.").count() >= 1, "{version}: {seen}");
        assert!(!seen.contains("Reused, "), "{version}: {seen}");
        assert!(!seen.contains("TLS session ticket:"), "{version}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_sessions_and_has_early_data_to_send_gets_a_full_handshake_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let config = serve(dir.path(), &ca, true);
    let daemon = Daemon::serve(&config, &dir.path().join("state"));
    let identity = ca.svid(WEB, 600);
    let from = IpAddr::from([127, 0, 0, 1]);
    let mut eager = pki::config(&daemon, Some(&identity), &["h2"]);
    eager.enable_early_data = true;
    for _ in 0..3 {
        // The sessions that it may have kept are shared by its clones.
        let mut stream = connect(&daemon, AGENT, eager.clone(), from).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert!(!stream.get_ref().1.is_early_data_accepted());
        // The server's SETTINGS: whatever came after the handshake has come.
        let mut frame = [0; 9];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut frame).await.unwrap();
        assert_eq!(frame[3], 4, "{frame:?}");
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_no_protocol_is_cut_after_the_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let identity = ca.svid(WEB, 60);
    let from = IpAddr::from([127, 0, 0, 1]);
    let silent = config(&daemon, Some(&identity), &[]);
    let mut stream = connect(&daemon, AGENT, silent, from).await.unwrap();
    let mut buffer = [0; 64];
    let read = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), read).await.expect("not cut");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(connect(&daemon, AGENT, config(&daemon, Some(&identity), &["http/1.1"]), from).await.is_err());
}

#[test]
fn plain_text_gets_no_answer_that_is_not_tls() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let mut stream = std::net::TcpStream::connect(address(&daemon, AGENT)).unwrap();
    std::io::Write::write_all(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer);
    // A TLS alert (RFC 8446 section 5.1), or nothing.
    assert!(answer.is_empty() || answer.first() == Some(&21), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_comes_to_nothing_is_counted_by_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let from = IpAddr::from([127, 0, 0, 1]);
    let (good, expired, foreign) = (ca.svid(WEB, 600), ca.svid(WEB, -60), TestCa::new().svid(WEB, 600));
    for (identity, alpn) in [
        (None, &["h2"][..]),
        (Some(&expired), &["h2"]),
        (Some(&foreign), &["h2"]),
        (Some(&good), &["http/1.1"]),
        (Some(&good), &[]),
    ] {
        // With TLS 1.3 the client may be done before the server has looked at its certificate.
        let Ok(mut stream) = connect(&daemon, AGENT, config(&daemon, identity, alpn), from).await else {
            continue;
        };
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
        let _closed = tokio::time::timeout(std::time::Duration::from_secs(20), read).await.expect("not cut");
    }
    let mut plain = std::net::TcpStream::connect(address(&daemon, AGENT)).unwrap();
    std::io::Write::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    for reason in [
        "no-certificate",
        "certificate-expired",
        "certificate-unknown-issuer",
        "incompatible",
        "no-http2",
        "malformed",
    ] {
        let line =
            format!("hotwork_connections_refused_total{{listener=\"agent_tcp\",reason=\"{reason}\"}} 1");
        support::eventually(reason, || {
            let (_, metrics) = support::http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics");
            metrics.contains(&line)
        });
    }
}

/// sslyze where `scripts/install-test-tools.sh` puts it.
fn sslyze() -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/venv/bin/sslyze");
    if found.exists() {
        return Some(found);
    }
    let must = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!must, "no sslyze: run scripts/install-test-tools.sh");
    eprintln!("!! SKIPPED: no sslyze; run scripts/install-test-tools.sh");
    None
}

#[test]
fn sslyze_finds_nothing() {
    let Some(sslyze) = sslyze() else { return };
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    // Without a certificate: the handshake gets as far as being asked for one, in every version there is.
    let plugins = "--sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --heartbleed --openssl_ccs --reneg \
                   --compression --robot --resum";
    let scan = scan(&sslyze, &daemon, "HOTWORK_VERIFIER_ENDPOINT", plugins);
    let accepted = |version: &str| {
        let suites = scan.pointer(&format!("/{version}_cipher_suites/result/accepted_cipher_suites"));
        suites.and_then(|suites| suites.as_array()).unwrap_or_else(|| panic!("{version}")).len()
    };
    assert_eq!(accepted("tls_1_3"), 3);
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"] {
        assert_eq!(accepted(old), 0, "{old}");
    }
    for (finding, good) in [
        ("/heartbleed/result/is_vulnerable_to_heartbleed", json!(false)),
        ("/openssl_ccs_injection/result/is_vulnerable_to_ccs_injection", json!(false)),
        ("/robot/result/robot_result", json!("NOT_VULNERABLE_RSA_NOT_SUPPORTED")),
        ("/session_renegotiation/result/is_vulnerable_to_client_renegotiation_dos", json!(false)),
        ("/session_resumption/result/session_id_resumption_result", json!("SERVER_IS_TLS_1_3_ONLY")),
        ("/tls_compression/result/supports_compression", json!(false)),
    ] {
        assert_eq!(scan.pointer(finding), Some(&good), "{finding}");
    }
}

/// Holds a listener to the configuration that Mozilla recommends, certificate and all.
fn is_modern(sslyze: &Path, daemon: &Daemon, variable: &str) -> Output {
    let mut command = Command::new(sslyze);
    command.args(["--mozilla_config", "modern", "--certinfo_ca_file"]).arg(&daemon.env["HOTWORK_TLS_CA"]);
    // By the name in its certificate.
    let at = format!("localhost:{}{{127.0.0.1}}", address(daemon, variable).port());
    command.arg(at).output().unwrap()
}

#[test]
fn sslyze_finds_every_listener_modern() {
    let Some(sslyze) = sslyze() else { return };
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    for variable in [AGENT, "HOTWORK_VERIFIER_ENDPOINT", "HOTWORK_ADMIN_ENDPOINT_TCP"] {
        let said = is_modern(&sslyze, &daemon, variable);
        let good = said.status.success() && text(&said).contains("OK - Compliant");
        assert!(good, "{variable}: {}", text(&said));
    }
}

#[test]
fn sslyze_finds_nothing_with_tls_1_2_by_option_and_the_check_for_modern_can_fail() {
    let Some(sslyze) = sslyze() else { return };
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = Daemon::serve(&serve(dir.path(), &ca, true), &dir.path().join("state"));
    assert!(!is_modern(&sslyze, &daemon, AGENT).status.success());
    // Without a certificate there is no handshake in TLS 1.2 to look at.
    let files = dir.path().join("web");
    ca.svid(WEB, 600).write(&files);
    let plugins = format!(
        "--tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --reneg --resum --robot --ems --fallback --compression \
         --cert {0}/cert.pem --key {0}/key.pem",
        files.display()
    );
    let scan = scan(&sslyze, &daemon, AGENT, &plugins);
    let names = |version: &str| -> Vec<String> {
        let suites = scan.pointer(&format!("/{version}_cipher_suites/result/accepted_cipher_suites"));
        let suites = suites.and_then(Value::as_array).unwrap_or_else(|| panic!("{version}"));
        suites.iter().map(|one| one["cipher_suite"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names("tls_1_0").is_empty() && names("tls_1_1").is_empty());
    let old = names("tls_1_2");
    let good = |name: &String| {
        let authenticated = name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_");
        name.starts_with("TLS_ECDHE_ECDSA_WITH_") && authenticated
    };
    assert!(old.len() == 3 && old.iter().all(good), "{old:?}");
    for (finding, expected) in [
        ("/session_renegotiation/result/supports_secure_renegotiation", json!(true)),
        ("/session_renegotiation/result/is_vulnerable_to_client_renegotiation_dos", json!(false)),
        ("/session_resumption/result/session_id_resumption_result", json!("NOT_SUPPORTED")),
        ("/session_resumption/result/tls_ticket_resumption_result", json!("NOT_SUPPORTED")),
        ("/tls_extended_master_secret/result/supports_ems_extension", json!(true)),
        ("/tls_fallback_scsv/result/supports_fallback_scsv", json!(true)),
        ("/tls_compression/result/supports_compression", json!(false)),
        ("/robot/result/robot_result", json!("NOT_VULNERABLE_RSA_NOT_SUPPORTED")),
    ] {
        assert_eq!(scan.pointer(finding), Some(&expected), "{finding}");
    }
}

/// What sslyze says of a listener.
fn scan(sslyze: &Path, daemon: &Daemon, variable: &str, arguments: &str) -> Value {
    let out = daemon.state.with_extension("sslyze");
    let mut command = Command::new(sslyze);
    command
        .args(arguments.split_whitespace())
        .args(["--mozilla_config", "disable"])
        .arg("--json_out")
        .arg(&out);
    let output = command.arg(address(daemon, variable).to_string()).output().unwrap();
    let report = std::fs::read(&out).unwrap_or_else(|_| panic!("{}", text(&output)));
    let report: Value = serde_json::from_slice(&report).unwrap();
    report["server_scan_results"][0]["scan_result"].clone()
}

/// A complete deployment with a TCP listener for agents.
fn serve(dir: &Path, ca: &TestCa, tls12: bool) -> PathBuf {
    let config = support::example("coding", dir);
    let bundle = dir.join("prod.pem");
    std::fs::write(&bundle, ca.pem()).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let text = format!(
        "{text}[agent_tcp]\nlisten = \"127.0.0.1:0\"\ntls12 = {tls12}\nserver_names = [\"localhost\"]\n\
         [[trust_bundle]]\ntrust_domain = \"prod.example\"\nfile = \"{}\"\n",
        bundle.display()
    );
    std::fs::write(&config, text).unwrap();
    config
}
