//! A real PostgreSQL with the configuration of `docs/recipes/postgresql.md`, sessions in it, and the session reaper.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::recipe::{block, moved, program};
use crate::scene::{Scene, Server};
use crate::tls::server_files;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The newest server that the system's packages brought.
pub fn programs() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = found.map(|entry| entry.unwrap().path().join("bin/initdb")).filter(|initdb| initdb.exists());
    // The clients' package has the folder, too, and no server.
    let newest = found.max().map(|initdb| initdb.display().to_string());
    let places: Vec<&str> = newest.iter().map(String::as_str).collect();
    Some(program("PostgreSQL", &places)?.parent()?.to_owned())
}

/// PostgreSQL does not run as root.
pub const USER: &str = "postgres";

pub fn as_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The text of a file below `deploy/`.
pub fn deployed(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("deploy").join(name)).unwrap()
}

/// A database of its own with the page's roles; stopped when dropped.
pub struct Database<'a> {
    bin: PathBuf,
    dir: PathBuf,
    host: Option<&'a Host>,
    pub port: u16,
}

impl<'a> Database<'a> {
    /// Starts one in the scene's folder `db`; on `host` when there is one, as its users are known there.
    pub fn start(bin: PathBuf, scene: &Scene, host: Option<&'a Host>) -> Self {
        let dir = scene.path("db");
        std::fs::create_dir(&dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        server_files(&dir);
        std::fs::copy(scene.path("ca.pem"), dir.join("ca.pem")).unwrap();
        let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.join("api.key"), only_owner).unwrap();
        if as_root() {
            run(Command::new("chown").args(["-R", USER]).arg(&dir));
        }
        let database = Self { bin, dir, host, port };
        let data = database.data();
        run(database.server("initdb").arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
        ]));
        database.configure();
        let log = database.dir.join("server.log");
        run(database.server("pg_ctl").arg("-D").arg(&data).arg("-l").arg(log).args(["-w", "start"]));
        database.admin(&["-c", &block("postgresql.md", "sql"), "postgres"]);
        database
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn configure(&self) {
        let at = self.dir.display().to_string();
        let write = |name: &str, text: &str| std::fs::write(self.data().join(name), text).unwrap();
        let own = moved(
            &block("postgresql.md", "ini"),
            &[
                ("/etc/postgresql/server.crt", &format!("{at}/api.pem")),
                ("/etc/postgresql/server.key", &format!("{at}/api.key")),
                ("/etc/hotwork/ca.pem", &format!("{at}/ca.pem")),
            ],
        );
        let port = self.port;
        let harness = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nfsync = off\n",
            self.sockets().display()
        );
        write("postgresql.auto.conf", &(own + &harness));
        // As Debian's own line below ours, where there is a user of that name.
        let method = if as_root() { "peer" } else { "trust" };
        write("pg_hba.conf", &format!("{}local all postgres {method}\n", block("postgresql.md", "conf")));
        let map = block("postgresql.md", "text");
        let me = run(Command::new("id").arg("-un"));
        let map = match self.host {
            Some(_) => map,
            None => moved(&map, &[("hotwork-reaper ", &format!("{} ", me.trim()))]),
        };
        write("pg_ident.conf", &map);
    }

    /// Where its local sockets are.
    fn sockets(&self) -> &Path {
        if self.host.is_some() { Path::new("/run/postgresql") } else { &self.dir }
    }

    /// A program of the server's as the server's user.
    fn server(&self, name: &str) -> Command {
        let mut line: Vec<PathBuf> = Vec::new();
        if as_root() {
            let before = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--"];
            line.extend(before.map(PathBuf::from));
        }
        line.push(self.bin.join(name));
        let mut command = match self.host {
            Some(host) => host.command(&line),
            None => {
                let mut command = Command::new(&line[0]);
                command.args(&line[1..]);
                command
            }
        };
        command.current_dir(&self.dir).env("LC_ALL", "C");
        command
    }

    /// As the superuser, over the local socket.
    pub fn admin(&self, arguments: &[&str]) -> String {
        let mut command = self.server("psql");
        command.arg("-h").arg(self.sockets()).args(["-p", &self.port.to_string(), "-U", "postgres", "-XAtq"]);
        run(command.args(["-v", "ON_ERROR_STOP=1"]).args(arguments))
    }

    /// What `psql` says as `user` with the certificate in `folder`, if it gets in.
    pub fn login(&self, user: &str, folder: &Path) -> Output {
        self.psql(user, folder).args(["-c", "select 1"]).output().unwrap()
    }

    fn psql(&self, user: &str, folder: &Path) -> Command {
        let (dir, folder, port) = (self.dir.display(), folder.display(), self.port);
        // The action CA stands between leaf and root; the server knows both.
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-XAtq"]).arg(format!(
            "host=127.0.0.1 port={port} dbname=postgres user={user} sslmode=verify-ca sslrootcert={dir}/api-ca.pem \
             sslcert={folder}/cert.pem sslkey={folder}/key.pem"
        ));
        command
    }

    /// A session as `reader`.
    pub fn session(&self, folder: &Path) -> Session {
        Session::of(&mut self.psql("reader", folder))
    }

    /// `PATH` with the programs of this build and of this server before all others.
    pub fn path(&self) -> String {
        let hotwork = Path::new(env!("CARGO_BIN_EXE_hotwork")).parent().unwrap();
        format!("{}:{}:{}", hotwork.display(), self.bin.display(), std::env::var("PATH").unwrap())
    }

    /// Starts the reaper with these variables beside those of the unit, as this user.
    pub fn reaper(&self, scene: &Scene, variables: &[(&str, &str)]) -> Reaper {
        let root = Path::new(ROOT);
        self.admin(&["-f", root.join("deploy/postgresql/reaper.sql").to_str().unwrap(), "postgres"]);
        let mut command = Command::new(root.join("deploy/postgresql/hotwork-reaper"));
        command
            .envs(&scene.daemon.env)
            .env("PATH", self.path())
            .env("PGHOST", &self.dir)
            .env("PGPORT", self.port.to_string())
            .envs([("PGUSER", "hotwork_reaper"), ("PGDATABASE", "postgres")])
            .envs(variables.iter().copied());
        Reaper::start(&mut command, &scene.path("reaper"))
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let data = self.data();
        let _stopped =
            self.server("pg_ctl").arg("-D").arg(data).args(["-m", "immediate", "-w", "stop"]).output();
    }
}

/// A running reaper, and what it wrote.
pub struct Reaper {
    files: PathBuf,
    _child: Server,
}

impl Reaper {
    /// Starts it with its output in `files.log` and `files.err`.
    pub fn start(command: &mut Command, files: &Path) -> Self {
        let create = |ending: &str| std::fs::File::create(files.with_extension(ending)).unwrap();
        let child: Child =
            command.stdin(Stdio::null()).stdout(create("log")).stderr(create("err")).spawn().unwrap();
        Self { files: files.to_owned(), _child: Server(child) }
    }

    /// What it complained of.
    pub fn complaints(&self) -> String {
        std::fs::read_to_string(self.files.with_extension("err")).unwrap()
    }

    /// Which sessions it ended, one a line.
    pub fn ended(&self) -> String {
        std::fs::read_to_string(self.files.with_extension("log")).unwrap()
    }
}

/// An open `psql`.
pub struct Session {
    input: ChildStdin,
    lines: Receiver<String>,
    _child: Server,
}

impl Session {
    /// Starts `command`, which is a `psql` for statements on its standard input.
    pub fn of(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (lines, received) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self { input: child.stdin.take().unwrap(), lines: received, _child: Server(child) }
    }

    /// What the database answers to a query; `None` when the session is over.
    pub fn ask(&mut self, query: &str) -> Option<String> {
        writeln!(self.input, "{query}").ok()?;
        self.lines.recv_timeout(Duration::from_secs(20)).ok()
    }

    /// Whether the database knows it as the page's role.
    pub fn lives(&mut self) -> bool {
        self.ask("select current_user;").is_some_and(|user| user == "reader")
    }

    /// Asks until it is over, for 30 s at most; when that was.
    pub fn end(&mut self) -> Option<Instant> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if self.ask("select 1;").is_none() {
                return Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}
