//! Certificates of a break-glass session at a service that verifies them itself, over mutual TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::routing::{delete, get};
use axum::{Extension, Router};
use hotwork::clock::SystemClock;
use hotwork::domain::route::{Enforcement, Route, Target};
use hotwork::feed;
use hotwork::signer::extension::OidArc;
use hotwork::verify::http::Protected;
use hotwork::verify::layer::{PeerCertificate, VerifyLayer};
use hotwork::verify::{Followed, Settings, Verifier, WhenLost};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::Channel;

use crate::scene::{DELETE, NODE, Scene};
use crate::support::{channel, eventually, text};
use crate::tls::{Client, server_files};

const NODE_PATH: &str = "/clusters/prod/nodes/n1";
const SERVICE_PATH: &str = "/clusters/prod/services/web";

/// What the API's registry entry could say.
fn protected() -> Protected {
    let route = |method: &str, path: &str, action: &str, resource: &str| {
        let target = Target {
            action: action.parse().unwrap(),
            resource: resource.parse().unwrap(),
            parameters: Vec::new(),
            tenant: "default".parse().unwrap(),
        };
        Route::new(method.parse().unwrap(), path.parse().unwrap(), false, target).unwrap()
    };
    let routes = vec![
        route("DELETE", "/clusters/{cluster}/nodes/{node}", DELETE, "cluster/{cluster}/node/{node}"),
        route(
            "GET",
            "/clusters/{cluster}/services/{service}",
            "infra.service.read",
            "cluster/{cluster}/service/{service}",
        ),
    ];
    Protected {
        audience: "https://infra.example.org".parse().unwrap(),
        dangerous_bearer: false,
        enforcement: Arc::new(Enforcement { origin: None, routes }),
    }
}

/// TLS that asks for a client certificate of the action CA. It has no CRL: what ended only the layer knows.
fn server_config(dir: &Path, authorities: &Path) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(authorities).unwrap() {
        roots.add(authority.unwrap()).unwrap();
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = CertificateDer::pem_file_iter(dir.join("api.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(dir.join("api.key")).unwrap();
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_client_cert_verifier(clients.build().unwrap());
    builder.with_single_cert(chain, key).unwrap()
}

/// Serves the API; each connection's certificate goes to the layer with each of its requests.
async fn serve(broker: Channel, listener: TcpListener, tls: ServerConfig) {
    let arc: OidArc = OidArc::EXAMPLE.parse().unwrap();
    let trust = feed::trust(broker.clone(), arc).await.unwrap();
    let (state, clock) = (Arc::new(Followed::new(60, WhenLost::Strict)), Arc::new(SystemClock::new()));
    let (followed, follower_clock) = (Arc::clone(&state), Arc::clone(&clock));
    tokio::spawn(async move { feed::follow(broker, followed, follower_clock, "infra").await });
    let verifier = Arc::new(Verifier::new(Arc::new(trust), state, Settings::default()));
    let router = Router::new()
        .route("/clusters/{cluster}/nodes/{node}", delete(async || "deleted"))
        .route("/clusters/{cluster}/services/{service}", get(async || "runs"))
        .layer(VerifyLayer::new(verifier, protected(), clock));
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].as_ref().into();
            let service = TowerToHyperService::new(router.layer(Extension(PeerCertificate(leaf))));
            let builder = Builder::new(TokioExecutor::new());
            let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A certificate in a folder of this name.
fn certificate(scene: &Scene, name: &str, ask: &[&str]) -> PathBuf {
    let folder = scene.dir.path().join(name);
    let (exit, answer) = scene.run(&[ask, &["--kind", "cert", "--out", folder.to_str().unwrap()]].concat());
    assert_eq!(exit, 0, "{answer}");
    folder
}

#[test]
fn a_service_refuses_a_session_s_certificate_after_its_end_on_open_connections_and_no_other_one() {
    let scene = Scene::start();
    // A certificate does not say how often it was used, so this service takes none for a number of calls.
    let api = scene.dir.path().join("config/apis/infra.toml");
    let entry = std::fs::read_to_string(&api).unwrap();
    std::fs::write(&api, entry.replace("single_use = true", "")).unwrap();
    assert_eq!(scene.run(&["reload"]).0, 0);
    let session = scene.opened("open", "node-repair");
    let marked =
        certificate(&scene, "marked", &["issue", DELETE, "--resource", NODE, "--break-glass", &session]);
    let service = ["issue", "infra.service.read", "--resource", "cluster/prod/service/web"];
    let ordinary = certificate(&scene, "ordinary", &service);

    server_files(scene.dir.path());
    let tls = server_config(scene.dir.path(), &marked.join("ca.pem"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = scene.daemon().env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap().to_owned();
    runtime.spawn(async move { serve(channel(&socket).await, listener, tls).await });

    let mut repair = Client::connect(scene.dir.path(), port, Some(&marked));
    let mut reader = Client::connect(scene.dir.path(), port, Some(&ordinary));
    eventually("the service has begun", || repair.ask("DELETE", NODE_PATH, &[]).status == 200);
    assert_eq!(reader.ask("GET", SERVICE_PATH, &[]).status, 200);
    assert_eq!(reader.ask("DELETE", NODE_PATH, &[]).refused(), (403, "action-other"));

    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);
    eventually("the end has come", || repair.ask("DELETE", NODE_PATH, &[]).status != 200);
    assert_eq!(repair.ask("DELETE", NODE_PATH, &[]).refused(), (401, "credential-ended"));
    let again = Client::connect(scene.dir.path(), port, Some(&marked)).ask("DELETE", NODE_PATH, &[]);
    assert_eq!(again.refused(), (401, "credential-ended"));
    let answer = reader.ask("GET", SERVICE_PATH, &[]);
    assert_eq!(answer.status, 200, "the end of a session is nothing to others: {answer:?}");

    // Nor is that of another principal; its own ends it.
    let revoke = |principal: &str| {
        let line = ["revoke", "--principal", principal, "--reason", "a test", "--wait", "8s", "--yes"];
        let output = scene.daemon().hotwork(&line);
        assert!(output.status.success(), "{}", text(&output));
    };
    revoke("somebody@example.org");
    assert_eq!(reader.ask("GET", SERVICE_PATH, &[]).status, 200);
    revoke("spiffe://example.org/tenant/default/agent/scaler");
    assert_eq!(reader.ask("GET", SERVICE_PATH, &[]).refused(), (401, "credential-ended"));
}
