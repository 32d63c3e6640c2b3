//! A host on which a page can be typed by root: a mount namespace of its own, so that what is installed and who is made there
//! is gone with the test. systemd does not run in it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::database::{USER, as_root};
use crate::scene::{Scene, Server};
use crate::support::eventually;

/// As `deploy/README.md` leaves a host: the registry is in `/etc/hotwork`, the programs are installed, and the socket is in
/// `/run/hotwork`. `$1` is the scene, `$2` the folder of the programs.
const SETUP: &str = r#"
set -eu
mkdir -p "$1/host/run/hotwork" "$1/host/run/postgresql" "$1/host/bin" "$1/host/sysusers"
cp -a /etc "$1/host/etc"
mkdir -p "$1/host/etc/hotwork" "$1/host/etc/systemd/system"
mount --bind "$1/host/etc" /etc
mount --bind "$1/config" /etc/hotwork
mount --bind "$1/host/sysusers" /usr/lib/sysusers.d
mount --bind "$1/host/bin" /usr/local/bin
for program in hotwork hotworkd; do
    touch "/usr/local/bin/$program"
    mount --bind "$2/$program" "/usr/local/bin/$program"
done
chown "$3" "$1/host/run/postgresql"
mount --bind "$1/host/run" /run
touch /run/hotwork/admin.sock
mount --bind "$1/state/admin.sock" /run/hotwork/admin.sock
touch "$1/host/ready"
exec sleep 600
"#;

pub struct Host {
    keeper: Server,
}

impl Host {
    /// One with the scene's broker; `None`, said aloud, for who may not mount.
    pub fn start(scene: &Scene) -> Option<Self> {
        let can = |arguments: &[&str]| Command::new("unshare").args(arguments).output();
        let tried = can(&["-m", "--propagation", "private", "true"]);
        if !as_root() || !tried.is_ok_and(|tried| tried.status.success()) {
            eprintln!("SKIPPED a page as root types it: needs root and mount namespaces");
            return None;
        }
        let programs = Path::new(env!("CARGO_BIN_EXE_hotwork")).parent().unwrap();
        let child = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", SETUP, "sh"])
            .args([scene.dir.path(), programs])
            .arg(USER)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let host = Self { keeper: Server(child.unwrap()) };
        eventually("the host is set up", || scene.path("host/ready").exists());
        Some(host)
    }

    /// A command there, in the directory `/`.
    pub fn command<S: AsRef<OsStr>>(&self, line: &[S]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.0.id())).arg("--").args(line);
        command
    }
}
