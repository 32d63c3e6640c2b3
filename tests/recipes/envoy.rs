//! A real Envoy with the configuration of `docs/recipes/envoy.md`.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::recipe::{block, free_port, moved, program};
use crate::scene::{Scene, Server};
use crate::tls::wait_for;

const PROGRAMS: [&str; 2] =
    ["target/tools/venv/lib/python3.11/site-packages/envoy/_bin/envoy", "target/tools/envoy"];

#[test]
fn envoy_lets_through_what_is_permitted_and_nothing_that_was_revoked() {
    let Some(envoy) = program("Envoy", &PROGRAMS) else { return };
    let scene = Scene::start();
    let port = free_port();
    let path = |name: &str| scene.path(name).display().to_string();
    let config = moved(
        &block("envoy.md", "yaml"),
        &[
            ("port_value: 8443", &format!("port_value: {port}")),
            ("port_value: 9000", &format!("port_value: {}", scene.upstream.port)),
            ("/run/hotwork/authz.sock", &path("authz.sock")),
            ("/etc/envoy/api.pem", &path("api.pem")),
            ("/etc/envoy/api.key", &path("api.key")),
            ("/etc/hotwork/ca.pem", &path("ca.pem")),
        ],
    );
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
    let _server = Server(child.unwrap());
    wait_for(port, &|| std::fs::read_to_string(&log).unwrap_or_default());
    scene.holds(port);
}
