//! Which image a container was made from, asked of a real Podman by its Docker-compatible API.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hotwork::attest::unix::{Images, UnixAttestor};
use hotwork::attest::{Attestor as _, Failure, Presented};

use super::agent::Agent;
use super::{Host, read, skipped, value};

/// A Podman with a store of its own that serves its API on a socket.
struct Podman {
    dir: tempfile::TempDir,
    server: Option<Child>,
}

impl Podman {
    /// One with an image of nothing; `Err` says why there is none.
    fn start() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut podman = Self { dir, server: None };
        let (nothing, archive) = (podman.dir.path().join("nothing"), podman.dir.path().join("nothing.tar"));
        std::fs::create_dir(&nothing).map_err(|error| error.to_string())?;
        let packed = Command::new("tar").arg("-C").arg(&nothing).arg("-cf").arg(&archive).arg(".").status();
        packed.map_err(|error| format!("tar: {error}"))?;
        podman.run(&["import", archive.to_str().unwrap(), "hotwork-test"])?;
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

    fn socket(&self) -> PathBuf {
        self.dir.path().join("podman.sock")
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

/// The control group that Podman puts a container into; removed when dropped.
struct Group(PathBuf);

impl Group {
    fn of(container: &str) -> Result<Self, String> {
        let roots = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].map(Path::new);
        let root = roots.iter().find(|root| root.join("cgroup.procs").exists());
        let root = root.ok_or("there is no tree of control groups")?;
        let path = root.join("libpod_parent").join(format!("libpod-{container}"));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Others may be in it.
        let _kept = self.0.parent().map(std::fs::remove_dir);
    }
}

#[tokio::test]
async fn the_image_of_a_container_is_evidence_and_a_runtime_that_is_away_is_no_container_without_one() {
    let podman = match Podman::start() {
        Ok(podman) => podman,
        Err(why) => return skipped(&format!("the image of a container needs podman: {why}")),
    };
    let created = podman.run(&["create", "--network", "none", "localhost/hotwork-test", "/nothing"]);
    let container = match created {
        Ok(container) => container,
        Err(why) => return skipped(&format!("podman makes no container here: {why}")),
    };
    let image = podman.run(&["inspect", "--format", "{{.Image}}", &container]).unwrap();
    let host = Host::new();
    let mut agent = Agent::start(&host.socket());
    let _first = host.listener.accept().await.unwrap();
    let group = match Group::of(&container) {
        Ok(group) => group,
        Err(why) => return skipped(&format!("no control group for the container: {why}")),
    };
    if let Err(error) = std::fs::write(group.0.join("cgroup.procs"), agent.id().to_string()) {
        return skipped(&format!("can not move a process to another cgroup: {error}"));
    }
    let attestor = UnixAttestor::with_images(Images::new(podman.socket()));
    let attested = async |agent: &mut Agent, attestor: &UnixAttestor| {
        agent.tell("connect");
        agent.tell("write a");
        let mut connection = host.listener.accept().await.unwrap();
        assert_eq!(read(&mut connection).await, b"a");
        let presented = Presented { unix: Some(connection.peer()), ..Presented::default() };
        attestor.attest(&presented).await.map(|outcome| match outcome {
            hotwork::attest::Outcome::Evidence(evidence) => evidence,
            hotwork::attest::Outcome::NotMine => panic!("a Unix peer was not taken"),
        })
    };
    let evidence = attested(&mut agent, &attestor).await.unwrap();
    assert_eq!(value(&evidence, "container.id"), container);
    assert_eq!(value(&evidence, "container.image"), format!("sha256:{image}"));
    // Nobody asks without the configuration.
    let evidence = attested(&mut agent, &UnixAttestor::new()).await.unwrap();
    assert!(!evidence.selectors().any(|fact| fact.kind.as_str() == "container.image"), "{evidence:?}");
    // The runtime goes away: what it said holds, and what it did not say is not known.
    drop(podman);
    assert_eq!(
        value(&attested(&mut agent, &attestor).await.unwrap(), "container.image"),
        format!("sha256:{image}")
    );
    let fresh = UnixAttestor::with_images(Images::new(host.directory.path().join("nothing.sock")));
    let failure = attested(&mut agent, &fresh).await.unwrap_err();
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    agent.quit();
}
