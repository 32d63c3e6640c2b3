//! Attestation against real processes that try to be somebody else.

#![cfg(test)]

mod agent;
mod containers;
mod listener;
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod podman;
mod race;
mod users;
mod x509;

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hotwork::attest::unix::{Connection, Listener, UnixAttestor};
use hotwork::attest::{Attestor, Failure, Outcome, Presented, Rejected};
use hotwork::domain::digest::Digest;
use hotwork::domain::evidence::Evidence;
use tokio::io::AsyncReadExt;

use agent::Agent;

/// A listener in a directory of its own, and an attestor.
struct Host {
    directory: tempfile::TempDir,
    listener: Listener,
    attestor: UnixAttestor,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let listener = Listener::bind(&directory.path().join("socket"), 0o666).unwrap();
        Self { directory, listener, attestor: UnixAttestor::new() }
    }

    fn socket(&self) -> PathBuf {
        self.listener.path().to_owned()
    }

    /// A copy of this binary that may be replaced and run by anybody.
    fn copy_of_binary(&self) -> PathBuf {
        let copy = self.directory.path().join("agent");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
        copy
    }

    /// An agent that has connected, written one byte and been attested.
    async fn attested_agent(&self) -> (Agent, Connection) {
        let mut agent = Agent::start(&self.socket());
        agent.tell("write a");
        let mut connection = self.listener.accept().await.unwrap();
        assert_eq!(read(&mut connection).await, b"a");
        assert_eq!(value(&self.attest(&connection).await.unwrap(), "unix.uid"), own_uid());
        (agent, connection)
    }

    async fn attest(&self, connection: &Connection) -> Result<Arc<Evidence>, Rejected> {
        let presented = Presented { unix: Some(connection.peer()), ..Presented::default() };
        match self.attestor.attest(&presented).await {
            Ok(Outcome::Evidence(evidence)) => Ok(evidence),
            Ok(Outcome::NotMine) => panic!("a Unix peer was not taken"),
            Err(Failure::Rejected(rejected)) => Err(rejected),
            Err(unavailable @ Failure::Unavailable { .. }) => panic!("{unavailable:?}"),
        }
    }

    async fn code(&self, connection: &Connection) -> &'static str {
        self.attest(connection).await.unwrap_err().code()
    }
}

async fn read(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = [0; 64];
    let read = connection.read(&mut bytes).await.unwrap();
    bytes[..read].to_vec()
}

fn own_uid() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

/// The only value of a kind, or an empty text.
fn value(evidence: &Evidence, kind: &str) -> String {
    let kind = kind.parse().unwrap();
    let values: Vec<&str> = evidence.values(&kind).collect();
    assert!(values.len() <= 1, "{values:?}");
    values.concat()
}

/// Says loudly that a test could not run here, and which right it lacks.
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

#[tokio::test]
async fn the_process_that_connected_and_wrote_is_attested() {
    let host = Host::new();
    let (mut agent, mut connection) = host.attested_agent().await;
    agent.tell("write-from-thread b");
    assert_eq!(read(&mut connection).await, b"b");
    let evidence = host.attest(&connection).await.unwrap();
    let binary = std::env::current_exe().unwrap();
    assert_eq!(value(&evidence, "unix.exe"), binary.to_str().unwrap());
    assert_eq!(value(&evidence, "unix.sha256"), Digest::of(&std::fs::read(binary).unwrap()).to_string());
    assert_eq!(value(&evidence, "unix.gid"), rustix::process::getegid().as_raw().to_string());
    assert!(value(&evidence, "cgroup.path").starts_with('/'));
    assert_eq!(connection.peer().credentials().unwrap().pid, agent.id());
}

#[tokio::test]
async fn a_child_that_inherits_the_connection_and_writes_spoils_it_for_good() {
    let host = Host::new();
    let (mut agent, mut connection) = host.attested_agent().await;
    agent.tell("child-writes");
    // Unread, the child's bytes have changed nothing: what was read so far is the agent's.
    assert!(host.attest(&connection).await.is_ok());
    assert_eq!(read(&mut connection).await, b"child");
    assert_eq!(host.code(&connection).await, "other-sender");
    agent.tell("write b");
    assert_eq!(read(&mut connection).await, b"b");
    assert_eq!(host.code(&connection).await, "other-sender");
    assert_eq!(connection.peer().credentials(), Err(Rejected::OtherSender));
}

#[tokio::test]
async fn a_connection_passed_over_another_socket_is_not_the_receivers() {
    let host = Host::new();
    let (mut agent, mut connection) = host.attested_agent().await;
    let path = host.directory.path().join("passing");
    let passing = UnixListener::bind(&path).unwrap();
    agent.tell(&format!("pass-to {}", path.display()));
    let (receiver, _) = passing.accept().unwrap();
    let passed = agent::receive(std::os::fd::AsFd::as_fd(&receiver)).unwrap();
    std::io::Write::write_all(&mut UnixStream::from(passed), b"stranger").unwrap();
    assert_eq!(read(&mut connection).await, b"stranger");
    assert_eq!(host.code(&connection).await, "other-sender");
}

#[tokio::test]
async fn descriptors_sent_along_are_closed_and_spoil_the_connection() {
    let host = Host::new();
    let (mut agent, mut connection) = host.attested_agent().await;
    agent.tell("send-descriptor d");
    assert_eq!(read(&mut connection).await, b"d");
    agent.tell("await-closed");
    assert_eq!(host.code(&connection).await, "descriptors-passed");
    agent.tell("write b");
    assert_eq!(read(&mut connection).await, b"b");
    assert_eq!(host.code(&connection).await, "descriptors-passed");
}

#[tokio::test]
async fn a_process_that_executes_another_program_is_no_longer_the_one_that_connected() {
    let host = Host::new();
    let (mut agent, mut connection) = host.attested_agent().await;
    agent.tell("exec-shell");
    agent.tell("write b");
    assert_eq!(read(&mut connection).await, b"b");
    assert_eq!(host.code(&connection).await, "process-changed");
    assert_eq!(connection.peer().credentials(), Err(Rejected::Changed));
}

#[tokio::test]
async fn an_executable_replaced_on_disk_ends_the_connection_and_has_no_path() {
    let host = Host::new();
    let copy = host.copy_of_binary();
    let running = Digest::of(&std::fs::read(&copy).unwrap()).to_string();
    let mut agent = Agent::spawn(&mut agent::helper(&copy, "agent::agent_process", &host.socket()));
    agent.tell("write a");
    let mut first = host.listener.accept().await.unwrap();
    read(&mut first).await;
    let evidence = host.attest(&first).await.unwrap();
    assert_eq!(value(&evidence, "unix.exe"), copy.to_str().unwrap());
    assert_eq!(value(&evidence, "unix.sha256"), running);

    let other = host.directory.path().join("other");
    std::fs::write(&other, b"another program").unwrap();
    std::fs::rename(&other, &copy).unwrap();
    assert_eq!(host.code(&first).await, "process-changed");

    // What still runs connects anew: known by what it is, not by the path that another file has now.
    agent.tell("connect");
    agent.tell("write b");
    let mut second = host.listener.accept().await.unwrap();
    read(&mut second).await;
    let evidence = host.attest(&second).await.unwrap();
    assert_eq!(value(&evidence, "unix.exe"), "");
    assert_eq!(value(&evidence, "unix.sha256"), running);
}

#[tokio::test]
async fn a_process_that_ended_after_writing_is_nobody() {
    let host = Host::new();
    let (mut agent, mut connection) = host.attested_agent().await;
    agent.tell("write b");
    agent.quit();
    assert_eq!(read(&mut connection).await, b"b");
    assert_eq!(host.code(&connection).await, "process-gone");
}

#[tokio::test]
async fn a_process_that_ended_before_it_was_accepted_is_nobody() {
    let host = Host::new();
    let mut agent = Agent::start(&host.socket());
    agent.tell("write a");
    agent.quit();
    let mut connection = host.listener.accept().await.unwrap();
    assert_eq!(read(&mut connection).await, b"a");
    assert_eq!(host.code(&connection).await, "process-gone");
}

/// The heir has the agent's pid, uid and gid, and its socket: the message credentials are equal in every
/// number. Only the pidfd tells them apart.
#[tokio::test]
async fn a_process_with_the_recycled_pid_does_not_inherit_the_identity() {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    let host = Host::new();
    let (mut agent, mut connection) = host.attested_agent().await;
    let path = host.directory.path().join("passing");
    let passing = UnixListener::bind(&path).unwrap();
    agent.tell(&format!("pass-to {}", path.display()));
    let (receiver, _) = passing.accept().unwrap();
    let passed = agent::receive(std::os::fd::AsFd::as_fd(&receiver)).unwrap();
    let pid = agent.id();
    agent.quit();

    for _ in 0..1_000 {
        if let Err(error) = std::fs::write(LAST_PID, (pid - 1).to_string()) {
            return skipped(&format!("pid reuse needs to write {LAST_PID}: {error}"));
        }
        let output = |descriptor: &OwnedFd| Stdio::from(descriptor.try_clone().unwrap());
        let script = format!("[ $$ = {pid} ] && printf heir");
        let mut heir = Command::new("/bin/sh").args(["-c", &script]).stdout(output(&passed)).spawn().unwrap();
        let same = heir.id() == pid;
        heir.wait().unwrap();
        if same {
            assert_eq!(read(&mut connection).await, b"heir");
            assert_eq!(host.code(&connection).await, "process-gone");
            return;
        }
    }
    panic!("pid {pid} did not come round");
}

/// A control group of the tests' own; removed when dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let root = roots.iter().find(|root| PathBuf::from(root).join("cgroup.procs").exists())?;
        let path = PathBuf::from(root).join(format!("hotwork-test-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        Some(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn a_process_moved_to_another_control_group_is_no_longer_the_one_that_connected() {
    let Some(group) = Group::new() else { return skipped("moving a process needs a writable cgroup 2 tree") };
    let host = Host::new();
    let (agent, connection) = host.attested_agent().await;
    if let Err(error) = std::fs::write(group.0.join("cgroup.procs"), agent.id().to_string()) {
        return skipped(&format!("can not move a process to another cgroup: {error}"));
    }
    assert_eq!(host.code(&connection).await, "process-changed");
    agent.quit();
}
