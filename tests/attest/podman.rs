//! A real Podman with a store of its own, and control groups of the tests' own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Serves its Docker-compatible API on a socket.
pub struct Podman {
    dir: tempfile::TempDir,
    server: Option<Child>,
}

impl Podman {
    /// One with an image of nothing; `Err` says why there is none.
    pub fn start() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut podman = Self { dir, server: None };
        podman.import("hotwork-test")?;
        let address = format!("unix://{}", podman.socket().display());
        let mut command = podman.command(&["system", "service", "--time", "0", &address]);
        podman.server = Some(command.spawn().map_err(|error| error.to_string())?);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !podman.socket().exists() {
            if Instant::now() > deadline {
                return Err("podman serves no API".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(podman)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("podman.sock")
    }

    /// Makes an image of nothing but its name.
    pub fn import(&self, name: &str) -> Result<(), String> {
        let (folder, archive) = (self.dir.path().join(name), self.dir.path().join(format!("{name}.tar")));
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        std::fs::write(folder.join(name), []).map_err(|error| error.to_string())?;
        let packed = Command::new("tar").arg("-C").arg(&folder).arg("-cf").arg(&archive).arg(".").status();
        packed.map_err(|error| format!("tar: {error}"))?;
        self.run(&["import", archive.to_str().unwrap(), name]).map(drop)
    }

    /// Makes a container of an image and gives its id. It is never started.
    pub fn create(&self, image: &str) -> Result<String, String> {
        self.run(&["create", "--network", "none", &format!("localhost/{image}"), "/nothing"])
    }

    /// The image of a container, as its runtime says.
    pub fn image(&self, container: &str) -> Result<String, String> {
        Ok(format!("sha256:{}", self.run(&["inspect", "--format", "{{.Image}}", container])?))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.dir.path().join("root"));
        command.arg("--runroot").arg(self.dir.path().join("run"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it prints.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(arguments).output().map_err(|error| format!("podman: {error}"))?;
        if !output.status.success() {
            return Err(format!("podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ended = server.kill();
            let _reaped = server.wait();
        }
    }
}

/// A control group in the hierarchy that attestation reads; removed when dropped, when all that were in it have ended.
pub struct Group {
    dir: PathBuf,
}

impl Group {
    /// One at this path of the hierarchy, such as `system.slice/a.service`; `Err` says why there is none. What is made is a
    /// group and no plain folder, as a process in it sees: the kernel says that it is there.
    pub fn new(path: &str) -> Result<Self, String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let mut why = vec!["no hierarchy that names units is mounted".to_owned()];
        // Version 2 counts before the one that systemd has in version 1.
        for is_meant in [is_unified, is_systemd as fn(&str, &str) -> bool] {
            for line in mounts.lines() {
                let mut words = line.split(' ').skip(1);
                let (at, kind, options) = (words.next(), words.next(), words.next());
                if is_meant(kind.unwrap_or_default(), options.unwrap_or_default()) {
                    match Self::below(Path::new(at.unwrap_or_default()), path) {
                        Ok(group) => return Ok(group),
                        Err(error) => why.push(error),
                    }
                }
            }
        }
        Err(why.join("; "))
    }

    /// The one that Podman without systemd has for a container.
    pub fn of_container(id: &str) -> Result<Self, String> {
        Self::new(&format!("libpod_parent/libpod-{id}"))
    }

    fn below(mount: &Path, path: &str) -> Result<Self, String> {
        // From here on it is removed again.
        let group = Self { dir: mount.join(path) };
        std::fs::create_dir_all(&group.dir).map_err(|error| format!("{}: {error}", group.dir.display()))?;
        let seen =
            group.command("cat").arg("/proc/self/cgroup").output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&seen.stdout).into_owned();
        let is_in = text.lines().any(|line| line.split(':').nth(2) == Some(&format!("/{path}")));
        let complaint = String::from_utf8_lossy(&seen.stderr).into_owned();
        if is_in { Ok(group) } else { Err(format!("{}: {text}{complaint}", group.dir.display())) }
    }

    /// Puts a process into it.
    pub fn take(&self, pid: u32) -> std::io::Result<()> {
        std::fs::write(self.dir.join("cgroup.procs"), pid.to_string())
    }

    /// A command that is in the group before it is the program.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        let script = r#"[ -f "$0" ] && echo $$ > "$0" && exec "$@""#;
        command.args(["-c", script]).arg(self.dir.join("cgroup.procs")).arg(program);
        command
    }
}

fn is_unified(kind: &str, _: &str) -> bool {
    kind == "cgroup2"
}

fn is_systemd(kind: &str, options: &str) -> bool {
    kind == "cgroup" && options.split(',').any(|option| option == "name=systemd")
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that ended leaves its group a moment later.
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::remove_dir(&self.dir).is_err_and(|error| error.kind() != ErrorKind::NotFound) {
            if Instant::now() > deadline {
                eprintln!("!! {} is left over", self.dir.display());
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Others may be in it.
        let _kept = self.dir.parent().map(std::fs::remove_dir);
    }
}
