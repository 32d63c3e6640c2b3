//! A real Envoy with the configuration of `docs/recipes/envoy.md`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::recipe::{block, block_below, free_port, moved, program};
use crate::scene::{READ, Scene, Server};
use crate::support::text;
use crate::tls::wait_for;

/// Envoy in the package of whichever Python the tools were installed with, or one that was put there by hand.
fn program_of_envoy() -> Option<PathBuf> {
    let pythons = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/venv/lib"));
    let pythons = pythons.into_iter().flatten().filter_map(Result::ok);
    let mut places: Vec<String> =
        pythons.map(|python| format!("{}/site-packages/envoy/_bin/envoy", python.path().display())).collect();
    places.push("target/tools/envoy".to_owned());
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    program("Envoy", &places)
}

/// The page's configuration, in the scene's places.
fn config(scene: &Scene, port: u16, page: &str) -> String {
    let path = |name: &str| scene.path(name).display().to_string();
    moved(
        page,
        &[
            ("port_value: 8443", &format!("port_value: {port}")),
            ("port_value: 9000", &format!("port_value: {}", scene.upstream.port)),
            ("/run/hotwork/authz.sock", &path("authz.sock")),
            ("/etc/envoy/api.pem", &path("api.pem")),
            ("/etc/envoy/api.key", &path("api.key")),
        ],
    )
}

fn start(envoy: &Path, scene: &Scene, port: u16, config: &str) -> Server {
    std::fs::write(scene.path("envoy.yaml"), config).unwrap();
    let log = scene.path("envoy.log");
    let child = Command::new(envoy)
        .arg("-c")
        .arg(scene.path("envoy.yaml"))
        .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn();
    let server = Server(child.unwrap());
    wait_for(port, &|| std::fs::read_to_string(&log).unwrap_or_default());
    server
}

#[test]
fn envoy_lets_through_what_is_permitted_and_nothing_that_was_revoked() {
    let Some(envoy) = program_of_envoy() else { return };
    let scene = Scene::start();
    let port = free_port();
    let ca = scene.path("ca.pem").display().to_string();
    let page = moved(&block("envoy.md", "yaml"), &[("/etc/hotwork/ca.pem", &ca)]);
    let _server = start(&envoy, &scene, port, &config(&scene, port, &page));
    scene.holds(port, "Envoy", 403);
}

/// The page's configuration with its validation context from SDS, as the page says to.
fn page_with_sds() -> String {
    let page = block("envoy.md", "yaml");
    let sds = block_below("envoy.md", "## Trust and CRLs from the broker", "yaml");
    let (node, context) = sds.split_once("\n\n").unwrap();
    let files =
        "            validation_context:\n              trusted_ca: { filename: /etc/hotwork/ca.pem }\n";
    let indented: String = context.lines().map(|line| format!("            {line}\n")).collect();
    format!("{node}\n{}", moved(&page, &[(files, &indented)]))
}

/// Looks until it holds, for half a minute at most.
fn eventually(what: &str, scene: &Scene, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        let log = || std::fs::read_to_string(scene.path("envoy.log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "{what}: not within 30 s\n{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn envoy_takes_trust_and_crls_by_sds_and_a_revoked_certificate_does_not_get_in() {
    let Some(envoy) = program_of_envoy() else { return };
    let scene = Scene::start();
    let port = free_port();
    let mut server = start(&envoy, &scene, port, &config(&scene, port, &page_with_sds()));
    let ((good, _), (bad, bad_id)) = (scene.issue_certificate("good"), scene.issue_certificate("bad"));
    let first = |folder: &Path| scene.client(port, Some(folder)).first(READ);
    assert_eq!((first(&good), first(&bad)), (Some(200), Some(200)));
    let mut open = scene.client(port, Some(&bad));
    assert_eq!(open.ask("GET", READ, &[]).status, 200);
    // An identity of the same root is nobody's action: its authority's CRL is not among those given.
    let identity = scene.path("identity");
    let enrolled =
        scene.daemon.hotwork(&["verifier", "enroll", "envoy-1", "--out", identity.to_str().unwrap()]);
    assert!(enrolled.status.success(), "{}", text(&enrolled));
    assert_eq!(first(&identity), None);
    scene.revoke(&["--credential", &bad_id]);
    // On the connection that is open the next request is refused at once, by ext_authz.
    assert_eq!(open.ask("GET", READ, &[]).refused(), (401, "credential-ended"));
    // A new one is refused by Envoy itself when it has the new CRL; until then by ext_authz.
    eventually("the revoked certificate is refused by TLS", &scene, || {
        let now = first(&bad);
        assert!([None, Some(401)].contains(&now), "{now:?}");
        now.is_none()
    });
    assert_eq!(first(&good), Some(200), "the other one lives");
    // One that was issued after the CRL lives, and Envoy was not restarted for any of it.
    let after = scene.certificate("after");
    assert_eq!(first(&after), Some(200));
    assert!(server.0.try_wait().unwrap().is_none());
}

/// The last certificate of a file: the root.
fn root_of(chain: &Path) -> String {
    let text = std::fs::read_to_string(chain).unwrap();
    let at = text.rfind("-----BEGIN CERTIFICATE-----").unwrap();
    text[at..].to_owned()
}

#[test]
fn envoy_takes_its_own_certificate_by_sds_and_clients_know_it_by_its_name() {
    let Some(envoy) = program_of_envoy() else { return };
    let scene = Scene::start();
    // Envoy and the agent are of one user here, so their programs tell them apart.
    let uid = rustix::process::getuid().as_raw().to_string();
    let agents = scene.path("config/agents");
    let coder = agents.join("coder.toml");
    let only = format!("[rules]\n\"unix.exe\" = \"{}\"\n", env!("CARGO_BIN_EXE_hotwork"));
    let text = std::fs::read_to_string(&coder).unwrap();
    assert!(text.contains("[rules]\n"), "{text}");
    std::fs::write(&coder, text.replace("[rules]\n", &only)).unwrap();
    let program = std::fs::canonicalize(&envoy).unwrap();
    let entry = moved(
        &block_below("envoy.md", "## Envoy's own certificate from the broker", "toml"),
        &[("/usr/bin/envoy", program.to_str().unwrap()), ("= 101", &format!("= {uid}"))],
    );
    std::fs::write(agents.join("edge.toml"), entry).unwrap();
    assert_eq!(scene.daemon.json(&["reload"])["changed"], true);

    let files = "            tls_certificates:\n            - certificate_chain: { filename: /etc/envoy/api.pem }\n              private_key: { filename: /etc/envoy/api.key }\n";
    let own = block_below("envoy.md", "## Envoy's own certificate from the broker", "yaml");
    let indented: String = own.lines().map(|line| format!("            {line}\n")).collect();
    let page = moved(&page_with_sds(), &[(files, &indented)]);
    let port = free_port();
    let path = |name: &str| scene.path(name).display().to_string();
    let config = moved(
        &page,
        &[
            ("port_value: 8443", &format!("port_value: {port}")),
            ("port_value: 9000", &format!("port_value: {}", scene.upstream.port)),
            ("/run/hotwork/authz.sock", &path("authz.sock")),
        ],
    );
    let _server = start(&envoy, &scene, port, &config);
    // Clients of the root that believe no other authority.
    std::fs::write(scene.path("api-ca.pem"), root_of(&scene.path("ca.pem"))).unwrap();
    let token = scene.token("repo.file.read");
    let mut open = scene.client(port, None);
    assert_eq!(scene.read(&mut open, &token).status, 200);
    let folder = scene.certificate("own");
    assert_eq!(scene.client(port, Some(&folder)).first(READ), Some(200), "with a client's certificate, too");
    // What the agent had is ended; a new certificate takes its place, and nobody notices.
    scene.revoke(&["--agent", "spiffe://example.org/tenant/default/agent/edge"]);
    let enrolled = || {
        let log = scene.daemon.hotwork(&["audit", "tail", "-n", "60"]).stdout;
        String::from_utf8(log).unwrap().matches("agent/default/edge").count()
    };
    eventually("a new one is made", &scene, || enrolled() >= 2);
    assert_eq!(scene.read(&mut open, &token).status, 200);
    assert_eq!(scene.read(&mut scene.client(port, None), &token).status, 200);
}
