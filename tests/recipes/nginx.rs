//! A real nginx with the configuration of `docs/recipes/nginx.md`.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::recipe::{block, free_port, moved, program};
use crate::scene::{Scene, Server};
use crate::tls::wait_for;

#[test]
fn nginx_lets_through_what_is_permitted_and_nothing_that_was_revoked() {
    let Some(nginx) = program("nginx", &["/usr/sbin/nginx"]) else { return };
    let scene = Scene::start();
    let port = free_port();
    let path = |name: &str| scene.path(name).display().to_string();
    let site = moved(
        &block("nginx.md", "nginx"),
        &[
            ("127.0.0.1:8443", &format!("127.0.0.1:{port}")),
            ("127.0.0.1:9000", &format!("127.0.0.1:{}", scene.upstream.port)),
            ("/run/hotwork/authz.sock", &path("authz.sock")),
            ("/etc/nginx/api.pem", &path("api.pem")),
            ("/etc/nginx/api.key", &path("api.key")),
            ("/etc/hotwork/ca.pem", &path("ca.pem")),
        ],
    );
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
    let _server = Server(child.unwrap());
    wait_for(port, &|| std::fs::read_to_string(&log).unwrap_or_default());
    scene.holds(port);
}
