//! Users: each is attested as itself, one without a place in our user namespace is refused, and a daemon
//! without rights knows less of others, never more. These need root, for being somebody else.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use hotwork::attest::unix::{Listener, UnixAttestor};
use hotwork::attest::{Attestor, Outcome, Presented};

use crate::agent::{self, Agent, helper};
use crate::{Host, read, skipped, value};

/// Ids that no account has.
const USER: u32 = 54_321;
const GROUP: u32 = 54_322;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The agent as another user.
fn agent_of(copy: &Path, socket: &Path, user: u32) -> Agent {
    Agent::spawn(helper(copy, "agent::agent_process", socket).uid(user).gid(GROUP))
}

#[tokio::test]
async fn every_user_is_attested_as_itself() {
    if !is_root() {
        return skipped("being another user needs root");
    }
    let host = Host::new();
    let mut agent = agent_of(&host.copy_of_binary(), &host.socket(), USER);
    agent.tell("write a");
    let mut connection = host.listener.accept().await.unwrap();
    assert_eq!(read(&mut connection).await, b"a");
    let evidence = host.attest(&connection).await.unwrap();
    assert_eq!(value(&evidence, "unix.uid"), USER.to_string());
    assert_eq!(value(&evidence, "unix.gid"), GROUP.to_string());
}

#[tokio::test]
async fn the_overflow_user_is_nobody_and_the_overflow_group_no_group() {
    if !is_root() {
        return skipped("being the overflow user needs root");
    }
    let host = Host::new();
    let copy = host.copy_of_binary();
    let mut agent = agent_of(&copy, &host.socket(), 65_534);
    agent.tell("write a");
    let mut connection = host.listener.accept().await.unwrap();
    assert_eq!(read(&mut connection).await, b"a");
    assert_eq!(host.code(&connection).await, "user-unmapped");

    let mut agent = Agent::spawn(helper(&copy, "agent::agent_process", &host.socket()).uid(USER).gid(65_534));
    agent.tell("write a");
    let mut connection = host.listener.accept().await.unwrap();
    assert_eq!(read(&mut connection).await, b"a");
    assert_eq!(value(&host.attest(&connection).await.unwrap(), "unix.gid"), "");
}

/// Not a test: a daemon that attests one connection and says which facts it found.
#[test]
fn daemon_process() {
    let Some(path) = agent::socket() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = Listener::bind(&PathBuf::from(path), 0o666).unwrap();
        eprintln!("ok");
        let mut connection = listener.accept().await.unwrap();
        read(&mut connection).await;
        let presented = Presented { unix: Some(connection.peer()), ..Presented::default() };
        let Ok(Outcome::Evidence(evidence)) = UnixAttestor::new().attest(&presented).await else {
            panic!("no evidence");
        };
        let facts: Vec<String> = evidence.selectors().map(ToString::to_string).collect();
        eprintln!("{}", facts.join(" "));
    });
}

/// The facts that an unprivileged daemon finds of an agent of `user`.
fn facts_of(user: u32) -> String {
    let host = Host::new();
    let copy = host.copy_of_binary();
    let directory = host.directory.path().join("daemon");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::chown(&directory, Some(USER), None).unwrap();
    let socket = directory.join("socket");
    let mut daemon = Agent::spawn(helper(&copy, "users::daemon_process", &socket).uid(USER).gid(GROUP));
    assert_eq!(daemon.answer(), "ok");
    let mut agent = agent_of(&copy, &socket, user);
    agent.tell("write a");
    daemon.answer()
}

#[tokio::test]
async fn an_unprivileged_daemon_knows_the_executables_of_its_own_user_only() {
    if !is_root() {
        return skipped("being two other users needs root");
    }
    let same = facts_of(USER);
    for fact in ["unix.uid:54321", "unix.gid:54322", "unix.exe:/", "unix.sha256:", "cgroup.path:/"] {
        assert!(same.contains(fact), "{fact} in {same}");
    }
    let other = facts_of(USER + 10);
    for fact in ["unix.uid:54331", "unix.gid:54322", "cgroup.path:/"] {
        assert!(other.contains(fact), "{fact} in {other}");
    }
    assert!(!other.contains("unix.exe") && !other.contains("unix.sha256"), "{other}");
}
