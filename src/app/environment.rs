//! The `env` file in the state directory: where scripts find a ready daemon.

use std::io;
use std::path::Path;

use super::build::Bound;

/// Writes `DIR/env`: `KEY=VALUE` lines, and one `export` line for shells. Written whole or not at all, and
/// only when the daemon is ready, so its presence says so.
///
/// # Errors
/// When the file can't be written.
pub fn write(directory: &Path, bound: &Bound) -> io::Result<()> {
    let text = text(bound);
    let temporary = directory.join(".env.new");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, directory.join("env"))
}

fn text(bound: &Bound) -> String {
    let mut pairs = vec![
        ("HOTWORK_ENDPOINT", format!("unix://{}", bound.agent.display())),
        ("HOTWORK_ADMIN_ENDPOINT", format!("unix://{}", bound.admin.display())),
    ];
    pairs.extend(bound.http.map(|address| ("HOTWORK_HTTP", format!("http://{address}"))));
    pairs.extend(bound.ops.map(|address| ("HOTWORK_OPS", format!("http://{address}"))));
    let https = |address: std::net::SocketAddr| format!("https://{address}");
    pairs.extend(bound.edge.agent.map(|address| ("HOTWORK_ENDPOINT_TCP", https(address))));
    pairs.extend(bound.edge.admin.map(|address| ("HOTWORK_ADMIN_ENDPOINT_TCP", https(address))));
    pairs.extend(bound.edge.verifier.map(|address| ("HOTWORK_VERIFIER_ENDPOINT", https(address))));
    pairs.extend(bound.edge.ca_file.as_ref().map(|file| ("HOTWORK_TLS_CA", file.display().to_string())));
    pairs.extend(bound.authz.as_ref().map(|path| ("HOTWORK_AUTHZ", format!("unix://{}", path.display()))));
    let lines: String = pairs.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let names: Vec<&str> = pairs.iter().map(|(key, _)| *key).collect();
    format!("{lines}export {}\n", names.join(" "))
}
