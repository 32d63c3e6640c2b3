//! A real nginx with the configuration of `docs/recipes/nginx.md`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::recipe::{block, free_port, moved, program};
use crate::scene::{READ, Scene, Server};
use crate::support::{eventually, http};
use crate::tls::wait_for;

fn program_of_nginx() -> Option<PathBuf> {
    program("nginx", &["/usr/sbin/nginx"])
}

/// The page's server, in the scene's places.
fn site(scene: &Scene, port: u16) -> String {
    let path = |name: &str| scene.path(name).display().to_string();
    moved(
        &block("nginx.md", "nginx"),
        &[
            ("127.0.0.1:8443", &format!("127.0.0.1:{port}")),
            ("127.0.0.1:9000", &format!("127.0.0.1:{}", scene.upstream.port)),
            ("/run/hotwork/authz.sock", &path("authz.sock")),
            ("/etc/nginx/api.pem", &path("api.pem")),
            ("/etc/nginx/api.key", &path("api.key")),
            ("/etc/hotwork/ca.pem", &path("ca.pem")),
        ],
    )
}

fn start(nginx: &Path, scene: &Scene, port: u16, site: &str) -> Server {
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let dir = scene.dir.path().display();
    let main = format!(
        "{user}daemon off;\nworker_processes 1;\npid {dir}/nginx.pid;\nerror_log {dir}/error.log warn;\n\
         events {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi;\nuwsgi_temp_path {dir}/uwsgi;\nscgi_temp_path {dir}/scgi;\n{site}}}\n"
    );
    std::fs::write(scene.path("nginx.conf"), main).unwrap();
    let log = scene.path("nginx.log");
    let child = Command::new(nginx)
        .arg("-c")
        .arg(scene.path("nginx.conf"))
        .arg("-p")
        .arg(scene.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn();
    let server = Server(child.unwrap());
    wait_for(port, &|| std::fs::read_to_string(&log).unwrap_or_default());
    server
}

#[test]
fn nginx_lets_through_what_is_permitted_and_nothing_that_was_revoked() {
    let Some(nginx) = program_of_nginx() else { return };
    let scene = Scene::start();
    let port = free_port();
    let _server = start(&nginx, &scene, port, &site(&scene, port));
    scene.holds(port, "nginx", 500);
}

#[test]
fn nginx_takes_our_crls_and_refuses_what_is_on_them() {
    let Some(nginx) = program_of_nginx() else { return };
    let scene = Scene::start();
    let ((good, _), (bad, id)) = (scene.issue_certificate("good"), scene.issue_certificate("bad"));
    let crls = || http(&scene.daemon.env["HOTWORK_HTTP"], "GET", "/crl.pem").1;
    let before = crls();
    scene.revoke(&["--credential", &id]);
    // The list with an entry is longer than the one without.
    eventually("the certificate is on the list", || crls().len() > before.len());
    std::fs::write(scene.path("crl.pem"), crls()).unwrap();
    let port = free_port();
    // nginx reads the file when it starts or reloads, and a list is good for a minute.
    let crl = format!("    ssl_crl {};\n    ssl_verify_depth 2;\n", scene.path("crl.pem").display());
    let site = moved(&site(&scene, port), &[("    ssl_verify_depth 2;\n", &crl)]);
    let _server = start(&nginx, &scene, port, &site);
    let first = |folder: &Path| scene.client(port, Some(folder)).first(READ);
    assert_eq!(first(&good), Some(200));
    // nginx's own answer to a certificate that does not verify.
    assert_eq!(first(&bad), Some(400));
}
