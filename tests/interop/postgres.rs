//! A real PostgreSQL that lets our certificates in through a map of common names.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use super::mint::certificate_files;
use super::tools::{installed, must, output, run};

/// The newest server that the system's packages brought.
fn server_programs() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let mut programs: Vec<PathBuf> = found.map(|entry| entry.path().join("bin")).collect();
    programs.retain(|bin| bin.join("initdb").exists() && bin.join("psql").exists());
    programs.sort();
    programs.pop()
}

/// A server of its own on a free loopback port; stopped when dropped.
struct Server {
    bin: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start(bin: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        certificate_files(dir.path(), 120);
        let mut tls = Command::new("openssl");
        tls.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        tls.args(["-subj", "/CN=localhost", "-days", "1", "-keyout"]).arg(dir.path().join("server.key"));
        run(tls.arg("-out").arg(dir.path().join("server.crt")));
        run(Command::new("chmod").arg("600").args(["server.key", "key.pem"]).current_dir(dir.path()));
        if as_other_user() {
            run(Command::new("chown").args(["-R", USER]).arg(dir.path()));
        }
        let server = Self { bin, dir, port };
        run(server.program("initdb").args(["-D", "data", "-U", "postgres", "-A", "trust", "--no-sync"]));
        server.configure();
        run(server.program("pg_ctl").args(["-D", "data", "-l", "server.log", "-w", "start"]));
        server
    }

    fn configure(&self) {
        let path = self.dir.path().display();
        let write =
            |name: &str, text: String| std::fs::write(self.dir.path().join("data").join(name), text).unwrap();
        write(
            "postgresql.auto.conf",
            format!(
                "ssl = on\nssl_cert_file = '{path}/server.crt'\nssl_key_file = '{path}/server.key'\n\
                 ssl_ca_file = '{path}/root.pem'\nlisten_addresses = '127.0.0.1'\nport = {}\n\
                 unix_socket_directories = '{path}'\nfsync = off\n",
                self.port
            ),
        );
        let local = "local all all trust\nhostssl all all 127.0.0.1/32 cert map=hotwork\n";
        write("pg_hba.conf", local.to_owned());
        write("pg_ident.conf", "hotwork /^acme:buyer:pay\\.invoice\\.settle$ settle\n".to_owned());
    }

    /// A program of the server's, run by a user that is not root, which PostgreSQL demands.
    fn program(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = if as_other_user() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.dir.path()).env("HOME", self.dir.path()).env("LC_ALL", "C");
        command
    }

    /// Asks who is logged in, over TLS with the certificate in `chain`.
    fn login(&self, user: &str, chain: &str) -> Command {
        let mut command = self.program("psql");
        let path = self.dir.path().display();
        command.args(["-tAc", "select current_user"]).arg(format!(
            "host=127.0.0.1 port={} dbname=postgres user={user} sslmode=require sslcert={path}/{chain} \
             sslkey={path}/key.pem",
            self.port
        ));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        output(self.program("pg_ctl").args(["-D", "data", "-m", "immediate", "-w", "stop"]));
    }
}

/// The user that the Debian package makes.
const USER: &str = "postgres";

fn as_other_user() -> bool {
    rustix::process::geteuid().is_root()
}

fn sql(server: &Server, statement: &str) {
    let mut command = server.program("psql");
    let port = server.port.to_string();
    command.arg("-h").arg(server.dir.path()).args(["-p", &port, "-U", "postgres", "-c", statement]);
    run(&mut command);
}

fn assert_refused(command: &mut Command, why: &str) {
    let said = output(command);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && text.contains(why), "{text}");
}

#[test]
fn postgresql_lets_our_certificate_in_as_the_mapped_role_and_no_other() {
    let Some(bin) = server_programs().filter(|_| installed("PostgreSQL").is_some()) else {
        assert!(!must(), "PostgreSQL is missing: install the package postgresql");
        eprintln!("SKIPPED PostgreSQL: install the package postgresql");
        return;
    };
    let server = Server::start(bin);
    sql(&server, "create role settle login");
    assert_eq!(run(&mut server.login("settle", "chain.pem")).trim(), "settle");
    // The map names one role, so the same certificate is nobody else.
    assert_refused(&mut server.login("postgres", "chain.pem"), "certificate authentication failed");
    // Without the action CA between it and the root, it does not verify.
    assert_refused(&mut server.login("settle", "cert.pem"), "error");
}
