//! What was minted in a drill has the whole form of what is real, and nobody takes it: those who verify by themselves, and those
//! who ask. Each of them takes the real one beside it. Proxies, databases and services have it in tests of their own.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use hotwork::domain::digest::Digest;
use hotwork::proto::v1::{IntrospectRequest, introspect_request::Credential};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::agent::Token;
use crate::scene::{READ, Scene};
use crate::support::{http, http_with};

/// A token and a certificate, as text.
struct Shown {
    token: Token,
    folder: std::path::PathBuf,
    pem: String,
}

fn shown(scene: &Scene, verb: &str) -> Shown {
    let session = scene.opened(verb, "read");
    let (token, folder) = scene.minted(&session, verb);
    let pem = std::fs::read_to_string(folder.join("cert.pem")).unwrap();
    Shown { token, folder, pem }
}

/// `openssl verify` under what the broker publishes.
fn openssl(scene: &Scene, folder: &Path) -> bool {
    let (_, chain) = http(&scene.daemon.env["HOTWORK_HTTP"], "GET", "/ca.pem");
    let at = chain.rfind("-----BEGIN").unwrap();
    let write = |name: &str, text: &str| std::fs::write(scene.path(name), text).unwrap();
    write("issuer.pem", &chain[..at]);
    write("root.pem", &chain[at..]);
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-CAfile"]).arg(scene.path("root.pem"));
    command.arg("-untrusted").arg(scene.path("issuer.pem")).arg(folder.join("cert.pem"));
    command.output().unwrap().status.success()
}

/// What the broker says of it to a verifier that asks (`Introspect`).
fn is_active(scene: &Scene, credential: Credential) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = IntrospectRequest { credential: Some(credential) };
        scene.daemon.verifier().await.introspect(request).await.unwrap().into_inner().active
    })
}

/// What a resource server is told (RFC 7662).
fn introspected(scene: &Scene, token: &str) -> serde_json::Value {
    let headers = ["Content-Type: application/x-www-form-urlencoded", "Authorization: Bearer the-api"];
    let address = &scene.daemon.env["HOTWORK_HTTP"];
    let answer = http_with(address, "POST", "/oauth2/introspect", &headers, &format!("token={token}"));
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// What the socket for proxies says to a request with these headers, and why.
fn asked(scene: &Scene, headers: &[(&str, &str)]) -> (u16, String) {
    let mut stream = UnixStream::connect(scene.path("authz.sock")).unwrap();
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "GET /authz/repo/mtls HTTP/1.1\r\nHost: hotwork\r\nConnection: close\r\nX-Original-Method: GET\r\n\
         X-Original-Target: {READ}\r\n{fields}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let why = answer.lines().find_map(|line| line.strip_prefix("x-hotwork-refused: "));
    (status, why.unwrap_or_default().to_owned())
}

#[test]
fn what_was_minted_in_a_drill_is_refused_by_whoever_verifies_or_asks() {
    let secret = Digest::of(b"the-api");
    let server = format!(
        "\n[[resource_server]]\naudience = \"https://git.example.org\"\nsecret_sha256 = \"{secret}\"\n"
    );
    let scene = Scene::with(&server);
    let (real, drill) = (shown(&scene, "open"), shown(&scene, "drill"));
    assert!(openssl(&scene, &real.folder));
    assert!(!openssl(&scene, &drill.folder));

    for (shown, active) in [(&real, true), (&drill, false)] {
        assert_eq!(is_active(&scene, Credential::Token(shown.token.text.clone())), active);
        let der = CertificateDer::from_pem_slice(shown.pem.as_bytes()).unwrap().to_vec();
        assert_eq!(is_active(&scene, Credential::CertificateDer(der)), active);
    }
    assert_eq!(introspected(&scene, &real.token.text)["active"], true);
    assert_eq!(introspected(&scene, &drill.token.text), serde_json::json!({ "active": false }));

    let by_token = |token: &Token| {
        let proof = scene.agent.proof(token, "GET", READ);
        asked(&scene, &[("Authorization", &format!("DPoP {}", token.text)), ("DPoP", &proof)])
    };
    assert_eq!(by_token(&real.token), (204, String::new()));
    assert_eq!(by_token(&drill.token), (401, "credential-key".to_owned()));
    let by_certificate = |pem: &str| {
        let escaped = pem.replace('+', "%2B").replace('\n', "%0A").replace(' ', "%20");
        asked(&scene, &[("X-Original-Client-Certificate", &escaped)])
    };
    assert_eq!(by_certificate(&real.pem), (204, String::new()));
    assert_eq!(by_certificate(&drill.pem), (401, "credential-signature".to_owned()));
}
