//! `hotworkd dev`: a real broker on a real store, for trying things. Not for production.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::domain::clock::Clock as _;
use crate::domain::signer::Algorithm;
use crate::signer::keystore::{Identity, KeyStore};

use super::args::Dev;
use super::build::Bound;
use super::{Failure, say, serve};

const TRUST_DOMAIN: &str = "dev.hotwork.example";

/// Starts it, prints the lines to paste when it is ready, and serves.
pub fn run(arguments: &Dev) -> Result<(), Failure> {
    loopback_only("--http", arguments.http)?;
    loopback_only("--ops", arguments.ops)?;
    let state = State::prepare(arguments.state_dir.clone())?;
    make_keys(&state.path)?;
    make_registry(&state.path)?;
    let config = config(&state.path, arguments)?;
    serve::run(&config.into(), |bound| print_first_steps(bound, &state))
}

fn loopback_only(flag: &str, address: std::net::SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::usage(format!("{flag} {address}: `dev` listens on loopback only; use `hotworkd serve`")))
}

/// The state directory; a temporary one goes when this does.
struct State {
    path: PathBuf,
    temporary: bool,
}

impl State {
    fn prepare(wanted: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = wanted.is_none();
        let path = wanted
            .unwrap_or_else(|| std::env::temp_dir().join(format!("hotwork-dev-{}", std::process::id())));
        let failed =
            |error: std::io::Error| Failure::new(format!("state directory {}: {error}", path.display()));
        // A directory that somebody else prepared under a name that can be guessed is not used.
        DirBuilder::new().mode(0o700).recursive(!temporary).create(&path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        Ok(Self { path, temporary })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn make_keys(state: &Path) -> Result<(), Failure> {
    if state.join("keys").exists() {
        return Ok(());
    }
    let trust_domain = TRUST_DOMAIN.parse().map_err(|error| Failure::new(format!("{error}")))?;
    let now = SystemClock::new().now().map_err(|error| Failure::new(error.to_string()))?;
    KeyStore::create(state, &Identity { trust_domain, token_algorithm: Algorithm::Es256 }, None, now)
        .map_err(|error| Failure::new(format!("keys: {error}")))
}

fn make_registry(state: &Path) -> Result<(), Failure> {
    let directory = state.join("config");
    if directory.exists() {
        return Ok(());
    }
    let uid = rustix::process::geteuid().as_raw();
    let operator = "me".parse().map_err(|error| Failure::new(format!("{error}")))?;
    config::demo::write(&directory, uid, &operator)
        .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))
}

/// The configuration, as a file beside the registry, so that `hotworkd check` and `serve` can read it too.
fn config(state: &Path, arguments: &Dev) -> Result<Config, Failure> {
    let text = |value: &Path| toml::Value::String(value.display().to_string()).to_string();
    let mut toml = format!(
        "# Written by `hotworkd dev` at each start.\n\
         trust_domain = \"{TRUST_DOMAIN}\"\nissuer = \"https://{TRUST_DOMAIN}\"\n\
         state_dir = {}\nregistry_dir = {}\nreflection = true\n\n\
         [agent_socket]\npath = {}\nmode = \"0600\"\n\n[admin_socket]\npath = {}\nmode = \"0600\"\n\n[authz_socket]\npath = {}\nmode = \"0600\"\n\n\
         [http]\nlisten = \"{}\"\n\n[ops]\nlisten = \"{}\"\n\n\
         [log]\nformat = \"text\"\nlevel = \"{}\"\n",
        text(state),
        text(&state.join("config")),
        text(&state.join("agent.sock")),
        text(&state.join("admin.sock")),
        text(&state.join("authz.sock")),
        arguments.http,
        arguments.ops,
        arguments.log,
    );
    if arguments.tcp {
        toml.push_str(&tcp(&arguments.trust_bundle)?);
    }
    let path = state.join("config/hotworkd.toml");
    std::fs::write(&path, &toml).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let config = Config::parse(&path, &toml).map_err(|problems| Failure::usage(problems.to_string()))?;
    Ok(Config { dev: true, ..config })
}

/// The TCP listeners, on loopback with free ports. Agents' is on when somebody's certificates are believed.
fn tcp(bundles: &[String]) -> Result<String, Failure> {
    let mut toml = String::new();
    let listeners = ["admin_tcp", "verifier_tcp", "agent_tcp"];
    let count = if bundles.is_empty() { 2 } else { 3 };
    for key in listeners.iter().take(count) {
        toml.push_str(&format!(
            "\n[{key}]\nlisten = \"127.0.0.1:0\"\nserver_names = [\"localhost\", \"127.0.0.1\"]\n"
        ));
    }
    for bundle in bundles {
        let (trust_domain, file) = bundle.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--trust-bundle: expected TRUST-DOMAIN=FILE, got `{bundle}`"))
        })?;
        let file = std::path::absolute(file).map_err(|error| Failure::usage(format!("{file}: {error}")))?;
        let text = |value: String| toml::Value::String(value).to_string();
        toml.push_str(&format!(
            "\n[[trust_bundle]]\ntrust_domain = {}\nfile = {}\n",
            text(trust_domain.to_owned()),
            text(file.display().to_string()),
        ));
    }
    Ok(toml)
}

/// The directory of a `hotwork` of this very version: a link to the daemon's own binary, which is both.
fn client(state: &Path) -> std::io::Result<PathBuf> {
    let (daemon, bin) = (std::env::current_exe()?, state.join("bin"));
    DirBuilder::new().mode(0o700).recursive(true).create(&bin)?;
    let link = bin.join("hotwork");
    match std::fs::remove_file(&link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::os::unix::fs::symlink(daemon, link)?;
    Ok(bin)
}

fn print_first_steps(bound: &Bound, state: &State) {
    let env = state.path.join("env");
    let (agent, admin) = (bound.agent.display(), bound.admin.display());
    say("hotworkd dev: a broker to try things with. It is not for production:");
    say("keys are not encrypted, the demo registry trusts your uid, bearer tokens are allowed.");
    say("");
    say("In another terminal:");
    say("");
    match client(&state.path) {
        Ok(bin) => say(&format!("  export PATH=\"{}:$PATH\"", bin.display())),
        Err(error) => say(&format!("  # build `hotwork` with `cargo build --release`: {error}")),
    }
    say(&format!("  export HOTWORK_ENDPOINT=unix://{agent}"));
    say(&format!("  export HOTWORK_ADMIN_ENDPOINT=unix://{admin}"));
    say(&format!("  # or: . {}", env.display()));
    say("");
    say("  hotwork whoami");
    say("  hotwork exec --action demo.read --resource demo/hello -- sh -c 'cat $HOTWORK_TOKEN_FILE'");
    say("  hotwork issue demo.read --resource demo/hello --ttl 2m");
    say("  hotwork credential list --all");
    say("  hotwork revoke --all --reason 'trying it'");
    say("");
    let kept = if state.temporary { "removed at the end" } else { "kept" };
    say(&format!("State: {} ({kept}). Stop with Ctrl-C.", state.path.display()));
}
