//! The daemon's configuration: `hotworkd.toml` to an immutable [`Config`], one small function a section.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::domain::name::{BadName, Issuer, TrustDomain};
use crate::notify::destination::Destination;

use super::edge::{self, Edge};
use super::forms::{AbsolutePath, Mode, Seconds, SocketPath, word};
use super::problem::{Gathered, Problems};
use super::publication::{self, Publication};
use super::raw::{Document, Table};
use super::{file, notify};

/// The daemon's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The SPIFFE trust domain that this broker is the authority of.
    pub trust_domain: TrustDomain,
    /// The `iss` of its tokens.
    pub issuer: Issuer,
    /// Where journal, index and keys are.
    pub state_dir: PathBuf,
    /// Where the registry is.
    pub registry_dir: PathBuf,
    /// Where agents ask.
    pub agent_socket: Socket,
    /// Where operators act.
    pub admin_socket: Socket,
    /// The public, read-only HTTP listener: keys, discovery, CA. `None` is off.
    pub http: Option<SocketAddr>,
    /// The listener for `/healthz`, `/readyz` and `/metrics`. `None` is off.
    pub ops: Option<SocketAddr>,
    /// The TCP listeners with certificates.
    pub edge: Edge,
    /// Where Envoy and nginx ask. `None` is off.
    pub authz_socket: Option<Socket>,
    /// The socket of the container runtime that is asked for images. `None` asks nobody.
    pub container_runtime: Option<PathBuf>,
    /// The form of the daemon's log.
    pub log_format: LogFormat,
    /// How much it says.
    pub log_level: LogLevel,
    /// How long the index keeps expired records, in seconds. The log keeps them for ever.
    pub retention_seconds: u64,
    /// The file whose first line encrypts the keys at rest.
    pub passphrase_file: Option<PathBuf>,
    /// The OID arc of the private extension in action certificates.
    pub oid_arc: Vec<u64>,
    /// What resources find: CRL, introspection, keys.
    pub publication: Publication,
    /// How often an open break-glass session is told of again, in seconds.
    pub remind_every_seconds: u64,
    /// Who is told of what people should know, beside the daemon's log.
    pub notifiers: Vec<Destination>,
    /// Whether gRPC reflection is on.
    pub reflection: bool,
    /// Whether this is `hotworkd dev`. No file can say so.
    pub dev: bool,
    /// Somebody has looked at the clock: the log's newest entry may be older than a start takes otherwise.
    pub accept_clock: bool,
}

/// A Unix socket: where, and who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its path, at most 107 bytes.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
}

/// The form of the daemon's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

/// How much the daemon's log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What a person must act on now.
    Error,
    /// State changes and above.
    Info,
    /// What is unusual, and errors.
    Warn,
}

impl LogLevel {
    /// The word in files and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Error => "error",
            Self::Info => "info",
            Self::Warn => "warn",
        }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("json", Self::Json), ("text", Self::Text)])
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = [Self::Error, Self::Warn, Self::Info, Self::Debug].map(|level| (level.as_str(), level));
        word(text, &words)
    }
}

impl Config {
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// With every problem there is.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let gathered = Gathered::default();
        let config = file::read(path, &gathered).and_then(|text| read(path, &text, &gathered));
        finish(config, gathered)
    }

    /// Where a file that has problems says that the state is, as far as that can be read.
    pub fn state_dir_of(text: &str) -> Option<PathBuf> {
        let (table, _) = toml::de::DeTable::parse_recoverable(text);
        let value = table.get_ref().get("state_dir")?.get_ref().as_str()?;
        value.parse().ok().map(|AbsolutePath(path)| path)
    }

    /// Checks `text`; `path` is for messages.
    ///
    /// # Errors
    /// With every problem there is.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Problems> {
        let gathered = Gathered::default();
        let config = read(path, text, &gathered);
        finish(config, gathered)
    }
}

fn finish(config: Option<Config>, gathered: Gathered) -> Result<Config, Problems> {
    if config.is_none() && !gathered.has_error() {
        gathered.error(super::problem::Place::file(Path::new("")), "the configuration could not be read");
    }
    let warnings = gathered.finish()?;
    // Without an error there is a configuration; the line above sees to it.
    config.ok_or_else(|| Problems::from(warnings))
}

fn read(path: &Path, text: &str, gathered: &Gathered) -> Option<Config> {
    let document = Document { file: path, text, gathered };
    let parsed = document.parse();
    let table = Table::root(document, &parsed);
    // Each part is read before any is looked at, so that one problem does not hide another.
    let (trust_domain, issuer): (_, Option<Issuer>) =
        (table.required("trust_domain"), table.required("issuer"));
    let (state_dir, registry_dir) = directories(&table);
    let agent_socket = socket(&table, "agent_socket", "/run/hotwork/agent.sock", 0o666);
    let admin_socket = socket(&table, "admin_socket", "/run/hotwork/admin.sock", 0o660);
    let (http, ops) = (listener(&table, "http", "127.0.0.1:8420"), listener(&table, "ops", "127.0.0.1:8421"));
    let edge = edge::read(&table, trust_domain.as_ref());
    let authz_socket = optional_socket(&table, "authz_socket", 0o660);
    let container_runtime = container_runtime(&table);
    let (log_format, log_level) = log(&table);
    let retention = table.or("retention", Seconds(24 * 3_600));
    let passphrase_file = table.optional::<AbsolutePath>("passphrase_file");
    let oid_arc = table.or("oid_arc", Arc(vec![1, 3, 6, 1, 4, 1, 32_473, 1]));
    let reflection = table.flag("reflection", false);
    let notifiers = notify::read(&table);
    let remind_every = notify::remind_every(&table);
    let publication = publication::read(&table, issuer.as_ref(), http.is_some_and(|http| http.is_some()));
    if let (Some(agent), Some(admin)) = (&agent_socket, &admin_socket)
        && agent.path == admin.path
    {
        table.error("admin_socket", "both sockets have one path: agents would reach the operators' RPCs");
    }
    if let Some(Some(authz)) = &authz_socket
        && [&agent_socket, &admin_socket].into_iter().flatten().any(|other| other.path == authz.path)
    {
        table.error("authz_socket", "another socket has this path");
    }
    table.done();
    Some(Config {
        trust_domain: trust_domain?,
        issuer: issuer?,
        state_dir: state_dir?,
        registry_dir: registry_dir?,
        agent_socket: agent_socket?,
        admin_socket: admin_socket?,
        http: http?,
        ops: ops?,
        edge: edge?,
        authz_socket: authz_socket?,
        container_runtime: container_runtime?,
        log_format: log_format?,
        log_level: log_level?,
        retention_seconds: retention?.0,
        passphrase_file: passphrase_file?.map(|AbsolutePath(path)| path),
        oid_arc: oid_arc?.0,
        publication: publication?,
        remind_every_seconds: remind_every?,
        notifiers: notifiers?,
        reflection: reflection?,
        accept_clock: false,
        dev: false,
    })
}

fn directories(table: &Table<'_>) -> (Option<PathBuf>, Option<PathBuf>) {
    let path = |AbsolutePath(path)| path;
    let state = table.or("state_dir", AbsolutePath("/var/lib/hotwork".into())).map(path);
    let registry = table.or("registry_dir", AbsolutePath("/etc/hotwork".into())).map(path);
    if let (Some(state), Some(registry)) = (&state, &registry)
        && state.starts_with(registry)
    {
        // At the one that the file has; with neither there is nothing to mend.
        let key = if table.field("state_dir").is_some() { "state_dir" } else { "registry_dir" };
        table.error(key, "the state must not lie in the registry: one is written, one is reviewed");
    }
    (state, registry)
}

fn socket(table: &Table<'_>, key: &'static str, path: &str, mode: u32) -> Option<Socket> {
    let section = table.table(key)?;
    let path = section.or("path", SocketPath(path.into()));
    let mode = section.or("mode", Mode(mode));
    section.done();
    Some(Socket { path: path?.0, mode: mode?.0 })
}

/// A socket that is off when it has no section. Like its neighbours it must not be one of theirs.
fn optional_socket(table: &Table<'_>, key: &'static str, mode: u32) -> Option<Option<Socket>> {
    if table.field(key).is_none() {
        return Some(None);
    }
    let section = table.table(key)?;
    let path: Option<SocketPath> = section.required("path");
    let mode = section.or("mode", Mode(mode));
    section.done();
    let socket = Socket { path: path?.0, mode: mode?.0 };
    Some(Some(socket))
}

/// An address, or `off`.
pub(super) struct Listen(pub(super) Option<SocketAddr>);

impl FromStr for Listen {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text == "off" {
            return Ok(Self(None));
        }
        let bad = |_| BadName { expected: "an address such as `127.0.0.1:8420`, or `off`" };
        text.parse().map(|address| Self(Some(address))).map_err(bad)
    }
}

fn listener(table: &Table<'_>, key: &'static str, default: &str) -> Option<Option<SocketAddr>> {
    let section = table.table(key)?;
    let listen = section.or("listen", Listen(default.parse().ok()));
    section.done();
    listen.map(|Listen(address)| address)
}

fn container_runtime(table: &Table<'_>) -> Option<Option<PathBuf>> {
    let section = table.table("containers")?;
    let socket = section.optional::<SocketPath>("socket");
    section.done();
    socket.map(|socket| socket.map(|SocketPath(path)| path))
}

fn log(table: &Table<'_>) -> (Option<LogFormat>, Option<LogLevel>) {
    let Some(section) = table.table("log") else { return (None, None) };
    let format = section.or("format", LogFormat::Json);
    let level = section.or("level", LogLevel::Info);
    section.done();
    (format, level)
}

/// An OID arc with room for our own numbers below it.
struct Arc(Vec<u64>);

impl FromStr for Arc {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName =
            BadName { expected: "an OID such as `1.3.6.1.4.1.32473.1`, 3 to 20 numbers below 2^32" };
        let number = |part: &str| {
            let one_spelling =
                part == "0" || !part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
            part.parse::<u32>().ok().filter(|_| one_spelling).map(u64::from)
        };
        let numbers: Vec<u64> = text.split('.').map(number).collect::<Option<_>>().ok_or(BAD)?;
        // X.660: the first number is 0 to 2, and below 0 and 1 the second is at most 39.
        let rooted = match numbers.as_slice() {
            [0 | 1, second, ..] => *second < 40,
            [2, ..] => true,
            _ => false,
        };
        if rooted && (3..=20).contains(&numbers.len()) { Ok(Self(numbers)) } else { Err(BAD) }
    }
}

#[cfg(test)]
mod tests;
