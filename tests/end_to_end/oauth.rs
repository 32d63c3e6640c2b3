//! The OAuth endpoints of the real daemon: introspection (RFC 7662, RFC 9701) and revocation (RFC 7009).

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::domain::digest::Digest;
use hotwork::signer::jwk::parse_jwks;
use serde_json::{Value, json};

use crate::support::{Daemon, HttpAnswer, claims, example, http, http_with};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// The procurement example with two resource servers: the ERP's, and another's.
fn serve(dir: &Path) -> Daemon {
    let config = example("procurement", dir);
    let mut file = std::fs::OpenOptions::new().append(true).open(&config).unwrap();
    for (audience, secret) in
        [("https://erp.example.org", "erp secret"), ("https://other.example.org", "other")]
    {
        let digest = Digest::of(secret.replace(' ', "-").as_bytes());
        write!(file, "\n[[resource_server]]\naudience = \"{audience}\"\nsecret_sha256 = \"{digest}\"\n")
            .unwrap();
    }
    drop(file);
    Daemon::serve(&config, &dir.join("state"))
}

fn issue(daemon: &Daemon) -> String {
    let ask = ["issue", "pay.invoice.read", "--resource", "invoice/7", "--dpop-jkt", JKT, "--ttl", "5m"];
    daemon.json(&ask)["token"].as_str().unwrap().to_owned()
}

fn post(daemon: &Daemon, path: &str, headers: &[&str], body: &str) -> HttpAnswer {
    http_with(&daemon.env["HOTWORK_HTTP"], "POST", path, headers, body)
}

fn introspect(daemon: &Daemon, secret: &str, token: &str) -> Value {
    let authorization = format!("Authorization: Bearer {secret}");
    let answer = post(daemon, "/oauth2/introspect", &[FORM, &authorization], &format!("token={token}"));
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_resource_server_learns_of_the_tokens_of_its_audience_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = serve(dir.path());
    let token = issue(&daemon);
    let found = introspect(&daemon, "erp-secret", &token);
    let said = claims(&token);
    for member in [
        "iss",
        "sub",
        "aud",
        "client_id",
        "scope",
        "exp",
        "iat",
        "nbf",
        "jti",
        "txn",
        "cnf",
        "authorization_details",
    ] {
        assert!(!found[member].is_null() && found[member] == said[member], "{member}: {found}");
    }
    assert_eq!((&found["active"], &found["token_type"]), (&json!(true), &json!("DPoP")));
    let inactive = json!({"active": false});
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let (head, rest) = token.split_once('.').unwrap();
    let unsigned = format!("{head}.{}.", rest.split('.').next().unwrap());
    for (secret, token) in [
        ("other", token.as_str()),
        ("erp-secret", &forged),
        ("erp-secret", &unsigned),
        ("erp-secret", "x"),
        ("erp-secret", "a.b.c"),
    ] {
        assert_eq!(introspect(&daemon, secret, token), inactive, "exactly that");
    }
    assert!(daemon.hotwork(&["revoke", "--all", "--reason", "test", "--yes"]).status.success());
    assert_eq!(introspect(&daemon, "erp-secret", &token), inactive, "at once");
}

#[test]
fn the_signed_form_is_for_its_asker_and_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = serve(dir.path());
    let token = issue(&daemon);
    let accept = "Accept: application/token-introspection+jwt";
    let ask = |token: &str| {
        let headers = [FORM, "Authorization: Bearer erp-secret", accept];
        let answer = post(&daemon, "/oauth2/introspect", &headers, &format!("token={token}"));
        assert!(answer.head.contains("content-type: application/token-introspection+jwt"), "{}", answer.head);
        String::from_utf8(answer.body).unwrap()
    };
    let signed = ask(&token);
    let keys = parse_jwks(&http(&daemon.env["HOTWORK_HTTP"], "GET", "/jwks.json").1).unwrap();
    let (input, signature) = signed.rsplit_once('.').unwrap();
    keys[0].verify(input.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(input.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header["typ"], "token-introspection+jwt");
    let said = claims(&signed);
    assert_eq!(
        (said["aud"].as_str(), said["iss"].as_str()),
        (Some("https://erp.example.org"), Some("https://hotwork.example"))
    );
    assert_eq!(said["token_introspection"]["jti"], claims(&token)["jti"]);
    assert_eq!(claims(&ask("a.b.c"))["token_introspection"], json!({"active": false}));
    // What was signed for one purpose can't be used for another.
    assert_eq!(introspect(&daemon, "erp-secret", &signed), json!({"active": false}));
}

#[test]
fn whoever_holds_a_token_can_end_it_and_it_is_recorded_as_a_release() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = serve(dir.path());
    let (token, other) = (issue(&daemon), issue(&daemon));
    let revoke = |token: &str| {
        post(&daemon, "/oauth2/revoke", &[FORM], &format!("token={token}&token_type_hint=access_token"))
            .status
    };
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for token in ["unknown", "a.b.c", &forged] {
        assert_eq!(revoke(token), 200, "an unknown token has nothing to end");
    }
    assert_eq!(introspect(&daemon, "erp-secret", &token)["active"], true);
    assert_eq!((revoke(&token), revoke(&token)), (200, 200), "also twice");
    assert_eq!(introspect(&daemon, "erp-secret", &token), json!({"active": false}));
    assert_eq!(introspect(&daemon, "erp-secret", &other)["active"], true);
    let id = claims(&token)["jti"].as_str().unwrap().to_owned();
    let shown = daemon.json(&["credential", "show", &id, "--all"]);
    assert_eq!(shown["credential"]["state"], "CREDENTIAL_STATE_RELEASED", "{shown}");
    let entries = daemon.json(&["audit", "tail", "-n", "50"]).to_string();
    assert_eq!(entries.matches("\\\"release\\\":").count(), 1, "one end, one entry: {entries}");
}

#[test]
fn requests_out_of_form_are_refused_and_tell_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = serve(dir.path());
    let token = issue(&daemon);
    let body = format!("token={token}");
    let twice = format!("{body}&{body}");
    let secret = "Authorization: Bearer erp-secret";
    let huge = format!("token={}", "a".repeat(300 * 1024));
    for (path, headers, body, expected) in [
        ("/oauth2/introspect", vec![FORM], &body, 401),
        ("/oauth2/introspect", vec![FORM, "Authorization: Bearer wrong"], &body, 401),
        ("/oauth2/introspect", vec![FORM, "Authorization: Basic ZXJwLXNlY3JldA=="], &body, 401),
        ("/oauth2/introspect", vec![FORM, secret, "Authorization: Bearer other"], &body, 401),
        ("/oauth2/introspect", vec!["Content-Type: application/json", secret], &body, 400),
        ("/oauth2/introspect", vec![secret], &body, 400),
        ("/oauth2/introspect", vec![FORM, secret], &twice, 400),
        ("/oauth2/introspect", vec![FORM, secret], &"tokn=x".to_owned(), 400),
        ("/oauth2/introspect", vec![FORM, secret], &huge, 413),
        ("/oauth2/revoke", vec![FORM], &twice, 400),
        ("/oauth2/revoke", vec![FORM], &String::new(), 400),
        ("/oauth2/revoke", vec!["Content-Type: text/plain"], &body, 400),
    ] {
        let answer = post(&daemon, path, &headers, body);
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, expected, "{path} {headers:?}: {said}");
        assert!(!said.contains(&token[..20]) && said.contains("\"error\""), "{said}");
    }
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let answer = http_with(&daemon.env["HOTWORK_HTTP"], "GET", path, &[], "");
        assert_eq!(answer.status, 405);
        assert!(answer.head.contains("allow: post"), "{}", answer.head);
    }
    assert_eq!(introspect(&daemon, "erp-secret", &token)["active"], true, "nothing of it did anything");
    assert!(!daemon.log().contains(&token[..40]) && !daemon.log().contains("erp-secret"));
}

#[test]
fn discovery_names_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = |daemon: &Daemon| -> Value {
        let (_, text) = http(&daemon.env["HOTWORK_HTTP"], "GET", "/.well-known/oauth-authorization-server");
        serde_json::from_str(&text).unwrap()
    };
    let with = metadata(&serve(dir.path()));
    assert_eq!(with["introspection_endpoint"], "https://hotwork.example/oauth2/introspect");
    assert_eq!(with["introspection_signing_alg_values_supported"], json!(["ES256"]));
    assert_eq!(with["revocation_endpoint"], "https://hotwork.example/oauth2/revoke");
    assert_eq!(with["revocation_endpoint_auth_methods_supported"], json!(["none"]));
    let other = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&other.path().join("state"));
    assert!(metadata(&daemon)["introspection_endpoint"].is_null());
    assert_eq!(post(&daemon, "/oauth2/introspect", &[FORM], "token=x").status, 404, "nobody may ask there");
}
