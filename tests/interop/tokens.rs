//! Tokens, verified from the JWKS alone.

use std::path::Path;
use std::process::Command;

use hotwork::domain::credential::Issuance;
use hotwork::domain::signer::Algorithm;

use super::mint::{AUDIENCE, ISSUER, PRINCIPAL, token_files};
use super::tools::{installed, output, run};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");

fn pyjwt(tools: &Path, dir: &Path, audience: &str) -> Command {
    let mut command = Command::new(tools.join("venv/bin/python"));
    command.arg(format!("{SCRIPTS}/verify_token.py")).arg(dir.join("jwks")).arg(dir.join("token"));
    command.args([ISSUER, audience]);
    command
}

fn jose(tools: &Path, dir: &Path, audience: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(format!("{SCRIPTS}/verify_token.mjs")).arg(dir.join("jwks")).arg(dir.join("token"));
    command.args([ISSUER, audience]).env("INTEROP_DIR", tools);
    command
}

fn assert_claims(printed: &str, record: &Issuance) {
    let claims: serde_json::Value = serde_json::from_str(printed).unwrap();
    assert_eq!(claims["jti"], record.id.to_string());
    assert_eq!(claims["sub"], PRINCIPAL);
    assert_eq!(claims["act"]["sub"], record.agent.as_str());
    assert_eq!(claims["aud"], AUDIENCE);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
    let details = &claims["authorization_details"][0];
    assert_eq!(details["scopes"][0], "pay.invoice.settle");
    assert_eq!(details["constraints"][0]["one_of"][0], "invoice/2026-0042");
}

/// Flips one bit of the token's signature.
fn tamper(dir: &Path) {
    let mut text = std::fs::read(dir.join("token")).unwrap();
    let at = text.len() - 10;
    text[at] = if text[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(dir.join("token"), text).unwrap();
}

#[test]
fn pyjwt_accepts_our_tokens_and_refuses_changed_ones() {
    let Some(tools) = installed("PyJWT") else { return };
    let dir = tempfile::tempdir().unwrap();
    let record = token_files(dir.path(), Algorithm::Es256);
    assert_claims(&run(&mut pyjwt(tools, dir.path(), AUDIENCE)), &record);
    assert!(!output(&mut pyjwt(tools, dir.path(), "https://other.example")).status.success());
    tamper(dir.path());
    assert!(!output(&mut pyjwt(tools, dir.path(), AUDIENCE)).status.success());
}

#[test]
fn jose_accepts_our_tokens_and_refuses_changed_ones() {
    let Some(tools) = installed("jose") else { return };
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let dir = tempfile::tempdir().unwrap();
        let record = token_files(dir.path(), algorithm);
        assert_claims(&run(&mut jose(tools, dir.path(), AUDIENCE)), &record);
        assert!(!output(&mut jose(tools, dir.path(), "https://other.example")).status.success());
        tamper(dir.path());
        assert!(!output(&mut jose(tools, dir.path(), AUDIENCE)).status.success());
    }
}
