//! The socket for responders: where those who may call the admin socket reach it, and what is left when sockets can't
//! be had.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hotwork::proto::v1;
use hotwork::proto::v1::break_glass_service_client::BreakGlassServiceClient;

use crate::support::{Daemon, channel, code, example, text};

/// A deployment with its sockets in a directory of their own.
struct Site {
    dir: tempfile::TempDir,
    config: PathBuf,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example("coding", dir.path());
        let (state, run) = (dir.path().join("state"), dir.path().join("run"));
        let text = fs::read_to_string(&config).unwrap();
        let moved = text.replace(&format!("{}/a", state.display()), &format!("{}/a", run.display()));
        let admin = format!("path = \"{}/admin.sock\"\n", run.display());
        fs::write(&config, moved.replace(&admin, &format!("{admin}mode = \"0620\"\n"))).unwrap();
        let operators = config.with_file_name("operators.toml");
        let uid = format!("uid = {}\n", rustix::process::getuid().as_raw());
        let known = fs::read_to_string(&operators).unwrap().replace("uid = 0\n", &uid);
        fs::write(&operators, known).unwrap();
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self) -> Daemon {
        Daemon::serve(&self.config, &self.path("state"))
    }

    /// A start that must fail.
    fn refused(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotworkd"));
        command.args(["serve", "--config"]).arg(&self.config).output().unwrap()
    }
}

fn answers(socket: &Path) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = BreakGlassServiceClient::new(channel(socket.to_str().unwrap()).await);
        client.list(v1::ListRequest {}).await.is_ok()
    })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn responders_reach_their_socket_where_they_reach_the_admin_socket() {
    let site = Site::new();
    let daemon = site.start();
    let own = site.path("run/break-glass.sock");
    // Who is not the daemon's user enters no directory of mode 0700, whatever the socket's own mode is.
    assert_eq!((mode(&own), mode(&site.path("run/admin.sock"))), (0o620, 0o620));
    assert_eq!(mode(&site.path("state")) & 0o077, 0);
    assert!(answers(&own));
    assert!(!site.path("state/break-glass.sock").exists());
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn when_something_else_stands_there_the_socket_is_in_the_state_directory() {
    let site = Site::new();
    fs::create_dir(site.path("run/break-glass.sock")).unwrap();
    let daemon = site.start();
    assert!(answers(&site.path("state/break-glass.sock")));
    assert!(daemon.log().contains("break-glass moves to another socket"), "{}", daemon.log());
}

#[test]
fn in_an_emergency_one_socket_is_enough_and_on_no_other_day() {
    let site = Site::new();
    assert_eq!(site.start().stop(), 0);
    // The sockets' directory is gone.
    fs::remove_dir_all(site.path("run")).unwrap();
    let refused = site.refused();
    assert!(
        code(&refused) != 0 && text(&refused).contains("the directory of a socket"),
        "{}",
        text(&refused)
    );
    // The store is tried by a file of this name.
    fs::create_dir(site.path("state/.probe")).unwrap();
    let daemon = site.start();
    assert!(answers(&site.path("state/break-glass.sock")));
    assert!(daemon.log().contains("left undone in an emergency"), "{}", daemon.log());
    drop(daemon);
    // And with none at all nobody could call.
    fs::remove_file(site.path("state/break-glass.sock")).unwrap();
    fs::create_dir(site.path("state/break-glass.sock")).unwrap();
    let refused = site.refused();
    assert!(code(&refused) != 0 && text(&refused).contains("nobody could call"), "{}", text(&refused));
}
