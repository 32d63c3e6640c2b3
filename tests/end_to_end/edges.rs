//! The read-only HTTP listener and the ops port of the real daemon.

use crate::support::{Daemon, http};

#[test]
fn keys_and_metadata_are_served_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let address = &daemon.env["HOTWORK_HTTP"];
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks.json"]
    {
        let (status, body) = http(address, "GET", path);
        assert_eq!(status, 200, "{path}");
        assert!(serde_json::from_str::<serde_json::Value>(&body).unwrap().is_object(), "{path}: {body}");
    }
    let (status, body) = http(address, "GET", "/ca.pem");
    assert!(status == 200 && body.contains("BEGIN CERTIFICATE"), "{body}");
    assert_eq!(http(address, "POST", "/jwks.json").0, 405);
    assert_eq!(http(address, "GET", "/nothing").0, 404);
    assert_eq!(http(address, "GET", "/../keys/token.key").0, 404);
}

#[test]
fn health_and_metrics_show_the_work_and_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let address = &daemon.env["HOTWORK_OPS"];
    assert_eq!(http(address, "GET", "/healthz").0, 200);
    assert_eq!(http(address, "GET", "/readyz").0, 200);
    daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let _ = daemon.hotwork(&["issue", "demo.delete", "--resource", "demo/hello"]);
    let (_, metrics) = http(address, "GET", "/metrics");
    let lines: Vec<&str> = metrics.lines().filter(|line| !line.starts_with('#')).collect();
    let counted = |name: &str, label: &str| {
        lines.iter().any(|line| line.contains(name) && line.contains(label) && line.ends_with(" 1"))
    };
    assert!(counted("hotwork_credentials_issued_total", "token"), "{metrics}");
    assert!(counted("hotwork_requests_denied_total", "approval-required"), "{metrics}");
    assert!(!metrics.contains("spiffe://"), "{metrics}");
}
