//! A real PostgreSQL with the files of `docs/recipes/postgresql.md`, and the session reaper.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use crate::recipe::{block, moved, program};
use crate::scene::{LIFE, Scene, Server, end};
use crate::tls::server_files;

/// The newest server that the system's packages brought.
fn programs() -> Option<PathBuf> {
    program("PostgreSQL", &["/usr/lib/postgresql"])?;
    let found =
        std::fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path().join("bin"));
    found.filter(|bin| bin.join("initdb").exists()).max()
}

/// PostgreSQL does not run as root.
const USER: &str = "postgres";

fn as_other_user() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A database of its own; stopped when dropped.
struct Database {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
}

impl Database {
    fn start(bin: PathBuf, dir: &Path, ca: &Path) -> Self {
        std::fs::create_dir(dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        server_files(dir);
        std::fs::copy(ca, dir.join("ca.pem")).unwrap();
        let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.join("api.key"), only_owner).unwrap();
        if as_other_user() {
            run(Command::new("chown").args(["-R", USER]).arg(dir));
        }
        let database = Self { bin, dir: dir.to_owned(), port };
        run(database.program("initdb").args(["-D", "data", "-U", "postgres", "-A", "trust", "--no-sync"]));
        database.configure();
        run(database.program("pg_ctl").args(["-D", "data", "-l", "server.log", "-w", "start"]));
        database
    }

    fn configure(&self) {
        let at = self.dir.display().to_string();
        let write = |name: &str, text: &str| std::fs::write(self.dir.join("data").join(name), text).unwrap();
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
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{at}'\nfsync = off\n"
        );
        write("postgresql.auto.conf", &(own + &harness));
        let last = "local all postgres trust\n";
        write("pg_hba.conf", &(block("postgresql.md", "conf") + last));
        let me = run(Command::new("id").arg("-un"));
        let map = block("postgresql.md", "text");
        write("pg_ident.conf", &moved(&map, &[("hotwork-reaper ", &format!("{} ", me.trim()))]));
    }

    fn program(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = if as_other_user() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.dir).env("LC_ALL", "C");
        command
    }

    /// As the superuser, over the local socket.
    fn admin(&self, arguments: &[&str]) -> String {
        let mut command = self.program("psql");
        command.arg("-h").arg(&self.dir).args(["-p", &self.port.to_string(), "-U", "postgres", "-XAtq"]);
        run(command.args(["-v", "ON_ERROR_STOP=1"]).args(arguments))
    }

    /// `psql` as `user` with the certificate in `folder`.
    fn login(&self, user: &str, folder: &Path) -> Command {
        let (dir, folder, port) = (self.dir.display(), folder.display(), self.port);
        // The action CA stands between leaf and root; the server knows both.
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-XAtq"]).arg(format!(
            "host=127.0.0.1 port={port} dbname=postgres user={user} sslmode=verify-ca sslrootcert={dir}/api-ca.pem \
             sslcert={folder}/cert.pem sslkey={folder}/key.pem"
        ));
        command
    }

    fn session(&self, folder: &Path) -> Session {
        let mut child = self.login("reader", folder);
        let mut child =
            child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (lines, received) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Session { input: child.stdin.take().unwrap(), lines: received, _child: Server(child) }
    }

    /// Starts the reaper as the page installs it.
    fn reaper(&self, scene: &Scene) -> Server {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.admin(&["-f", root.join("deploy/postgresql/reaper.sql").to_str().unwrap(), "postgres"]);
        let hotwork = Path::new(env!("CARGO_BIN_EXE_hotwork")).parent().unwrap();
        let path = format!("{}:{}:{}", hotwork.display(), self.bin.display(), std::env::var("PATH").unwrap());
        let child: Child = Command::new(root.join("deploy/postgresql/hotwork-reaper"))
            .envs(&scene.daemon.env)
            .env("PATH", path)
            .env("PGHOST", &self.dir)
            .env("PGPORT", self.port.to_string())
            .envs([
                ("PGUSER", "hotwork_reaper"),
                ("PGDATABASE", "postgres"),
                ("HOTWORK_REAPER_INTERVAL", "0.2"),
            ])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(scene.path("reaper.log")).unwrap())
            .stderr(std::fs::File::create(scene.path("reaper.err")).unwrap())
            .spawn()
            .unwrap();
        Server(child)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _stopped: Result<Output, _> =
            self.program("pg_ctl").args(["-D", "data", "-m", "immediate", "-w", "stop"]).output();
    }
}

/// An open `psql`.
struct Session {
    input: ChildStdin,
    lines: Receiver<String>,
    _child: Server,
}

impl Session {
    /// What the database answers to a query; `None` when the session is over.
    fn ask(&mut self, query: &str) -> Option<String> {
        writeln!(self.input, "{query}").ok()?;
        self.lines.recv_timeout(Duration::from_secs(20)).ok()
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.ask("select 1;").is_none() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

#[test]
fn a_revoked_certificate_loses_its_open_session_and_keeps_no_new_one() {
    let Some(bin) = programs() else { return };
    let scene = Scene::start();
    let database = Database::start(bin, &scene.path("db"), &scene.path("ca.pem"));
    database.admin(&["-c", "create role reader login", "postgres"]);
    let hexes = "select hotwork.serial('40000000000000000000000000000001')";
    let _reaper = database.reaper(&scene);
    let said = || std::fs::read_to_string(scene.path("reaper.err")).unwrap_or_default();
    assert_eq!(database.admin(&["-c", hexes, "postgres"]).trim(), "85070591730234615865843651857942052865");
    let (bad, good) = (scene.certificate("bad"), scene.certificate("good"));
    let (mut bad_session, mut good_session) = (database.session(&bad), database.session(&good));
    let user = Some("reader".to_owned());
    assert_eq!(bad_session.ask("select current_user;"), user, "{}", said());
    assert_eq!(good_session.ask("select current_user;"), user, "{}", said());
    // The map names one role; the same certificate is nobody else.
    let other = database.login("postgres", &good).args(["-c", "select 1"]).output().unwrap();
    assert!(!other.status.success(), "{other:?}");
    // One that ends by itself: PostgreSQL does not notice, and the reaper does.
    let (short, issued) = scene.issued("short", LIFE);
    let (mut short_session, end) = (database.session(&short), end(&issued));
    assert_eq!(short_session.ask("select current_user;"), user, "{}", said());
    assert!(SystemTime::now() < end, "the machine was too slow to log in before the end");
    assert!(short_session.ends_within(Duration::from_secs(20)), "{}", said());
    assert!(SystemTime::now() + Duration::from_secs(1) >= end, "ended early");
    let again = database.login("reader", &short).args(["-c", "select 1"]).output().unwrap();
    assert!(!again.status.success(), "{again:?}");
    assert_eq!(good_session.ask("select current_user;"), user, "{}", said());
    let serials = scene.daemon.json(&["credential", "verify", bad.join("cert.pem").to_str().unwrap()]);
    scene.revoke(&["--credential", serials["credential"]["id"].as_str().unwrap()]);
    assert!(bad_session.ends_within(Duration::from_secs(10)), "{}", said());
    // PostgreSQL lets it in again; it does not stay.
    assert!(database.session(&bad).ends_within(Duration::from_secs(10)), "{}", said());
    assert_eq!(good_session.ask("select current_user;"), user, "{}", said());
    scene.revoke(&["--all"]);
    assert!(good_session.ends_within(Duration::from_secs(10)), "{}", said());
}
