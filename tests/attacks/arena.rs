//! One daemon under attack, with a good client beside the attacker and an eye on the memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use rustls::ClientConfig;

use crate::cgroup::Cgroup;
use crate::door::{self, Door, Gate, Way};
use crate::support::{Daemon, text};

/// What the daemon may use.
const MEMORY_KIB_MAX: u64 = 128 * 1024;
/// What may be left of an attack: allocators keep pages that are partly used. It is the same after an attack
/// that lasts ten times as long.
const MEMORY_KIB_LEFT_MAX: u64 = 32 * 1024;
/// What the kernel may keep for the daemon's connections, where it counts that apart (version 1 of cgroups): two buffers for
/// each of the sixteen of one certificate, and what it spends on lists. On the public listener the 64 of an address.
const SOCKETS_KIB_MAX: u64 = 16 * 1024;
/// What the daemon may have logged: its start, and some lines of the attack, whatever its number of blows.
const LOG_BYTES_MAX: usize = 64 * 1024;
/// How long the memory may take to come back: a handshake's time, and a little.
const RETURN: Duration = Duration::from_secs(15);
/// How long 99 of 100 calls of a good client may take at most, in a run of 5 s or more for each.
const LATENCY_MAX: Duration = Duration::from_secs(1);
/// The same with a new connection for each: in a flood of connections the kernel drops a caller's first packet now and then,
/// and the caller sends it again after a second, and after two more.
const CONNECTED_LATENCY_MAX: Duration = Duration::from_secs(4);
/// An attack lasts until the good client has made so many calls, however slow the machine is.
const CALLS_MIN: usize = 20;
/// How long one attack may take to have that.
const LONGEST: Duration = Duration::from_secs(60);

/// One attack at a time: they would disturb each other's figures.
static ONE: Mutex<()> = Mutex::new(());

/// What the attacker knows.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Of a call that is served there.
    pub path: &'static str,
    /// With the certificate of somebody who is let in there.
    pub config: ClientConfig,
    pub landed: Arc<AtomicU32>,
}

impl Target {
    /// Counts a blow: a connection that was made, or bytes that the daemon's side took. One round of an
    /// attack may well take longer than the test, since a daemon that is right stops reading.
    pub fn hit(&self) {
        self.landed.fetch_add(1, Ordering::Relaxed);
    }

    fn blows(&self) -> u32 {
        self.landed.load(Ordering::Relaxed)
    }
}

pub struct Arena {
    daemon: Daemon,
    gates: Vec<Gate>,
    /// Dropped after the daemon, which is in it.
    cgroup: Option<Cgroup>,
    _dir: tempfile::TempDir,
    _one: MutexGuard<'static, ()>,
}

impl Arena {
    /// A daemon that is attacked at each of these doors, one after the other.
    pub fn new(doors: &[Door]) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::new(MEMORY_KIB_MAX * 1024)
            .inspect_err(|why| eprintln!("!! NOT CONFINED to 128 MiB by a cgroup, measured only: {why}"))
            .ok();
        let launcher = cgroup.as_ref().map(Cgroup::launcher).unwrap_or_default();
        let (daemon, ca) = door::open(&launcher, dir.path());
        let confined = cgroup.as_ref().is_none_or(|group| group.holds(daemon.pid(), MEMORY_KIB_MAX * 1024));
        assert!(confined, "the daemon is not in its cgroup");
        let gates = doors.iter().map(|door| door.gate(&daemon, dir.path(), &ca)).collect();
        Self { daemon, gates, cgroup, _dir: dir, _one: one }
    }

    /// Leaves the daemon so many descriptors beyond those that it has open.
    pub fn leave_descriptors(&self, count: u64) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.daemon.pid())).unwrap().count() as u64;
        let limit = Some(open + count);
        let pid = Pid::from_raw(self.daemon.pid().cast_signed());
        prlimit(pid, Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    }

    /// Has every record looked at by whoever lists agents: so it is while a revocation like this is in force.
    pub fn make_lists_look(&self) {
        self.daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
        self.daemon.json(&["revoke", "--action", "demo.read", "--reason", "r", "--yes"]);
    }

    /// Runs `attack` at each door, again and again on `attackers` tasks, with the good client beside it, and holds the
    /// daemon to what it promises. What the daemon logged.
    pub fn attack<F, A>(self, attackers: usize, attack: F) -> String
    where
        F: Fn(Target) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = ()> + Send,
    {
        for gate in &self.gates {
            self.attack_at(gate, attackers, attack.clone());
        }
        let status = self.daemon.hotwork(&["status"]);
        assert!(status.status.success(), "{}", text(&status));
        self.daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
        self.daemon.log()
    }

    fn attack_at<F, A>(&self, gate: &Gate, attackers: usize, attack: F)
    where
        F: Fn(Target) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = ()> + Send,
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let before = self.memory("VmRSS");
        let calls = runtime.block_on(async {
            let over = Arc::new(AtomicBool::new(false));
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..attackers {
                let (attack, target, over) = (attack.clone(), gate.target.clone(), Arc::clone(&over));
                tasks.spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        attack(target.clone()).await;
                        tokio::task::yield_now().await;
                    }
                });
            }
            let calls = self.good_client(gate, duration()).await;
            over.store(true, Ordering::Relaxed);
            tasks.shutdown().await;
            calls
        });
        let reached = runtime.block_on(async {
            let Some(way) = gate.way(&self.daemon).await else { return false };
            way.ask().await
        });
        assert!(reached, "a new connection is not served: {}", self.daemon.log());
        self.judge(gate, &calls, before);
    }

    fn judge(&self, gate: &Gate, calls: &Calls, before: u64) {
        let blows = gate.target.blows();
        let peak = self.memory("VmHWM");
        let after = self.memory_returns(before);
        let (good, all, slow) = (calls.good, calls.took.len(), calls.p99());
        eprintln!(
            "{:?}: {blows} blows, good calls {good}/{all}, p99 {slow:?}, memory KiB before {before} peak {peak} after \
             {after}, {}",
            gate.door,
            self.cgroup.as_ref().map_or_else(
                || "NOT CONFINED".to_owned(),
                |group| format!("of all memory, and of sockets {:?}", group.peak())
            )
        );
        assert!(blows > 0, "nobody attacked");
        // One after the other, on two cores that the attacker works on too: enough to tell 99 of 100 apart
        // only when it lasts longer, and enough to see one that is lost.
        assert!(all >= CALLS_MIN, "the good client made only {all} calls in {LONGEST:?}");
        assert!(good * 100 >= all * 99, "kept {good} of {all} calls");
        let bound = if gate.door == Door::Public { CONNECTED_LATENCY_MAX } else { LATENCY_MAX };
        // A second gives too few calls to tell the hundredth from a hiccup of the machine.
        assert!(!is_campaign() || slow <= bound, "99 of 100 calls took up to {slow:?}");
        assert!(peak <= MEMORY_KIB_MAX, "the memory rose to {peak} KiB");
        assert!(after <= before + MEMORY_KIB_LEFT_MAX, "{after} KiB are left, {before} were there before");
        let sockets = self.cgroup.as_ref().map_or(0, |group| group.peak().1);
        assert!(sockets <= SOCKETS_KIB_MAX, "the kernel kept {sockets} KiB for its connections");
        let logged = self.daemon.log().len();
        assert!(logged <= LOG_BYTES_MAX, "a peer made the daemon log {logged} bytes");
        assert!(self.cgroup.as_ref().is_none_or(|cgroup| cgroup.kills() == 0), "killed for its memory");
    }

    /// Calls one after the other: for `time`, and until there is something to judge.
    async fn good_client(&self, gate: &Gate, time: Duration) -> Calls {
        let mut calls = Calls::default();
        let way: Way = gate.way(&self.daemon).await.expect("the good client does not get in");
        let started = Instant::now();
        let enough = |calls: &Calls| calls.took.len() >= CALLS_MIN && gate.target.blows() > 0;
        while started.elapsed() < time || (!enough(&calls) && started.elapsed() < LONGEST) {
            let asked = Instant::now();
            calls.good += usize::from(way.ask().await);
            calls.took.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        calls
    }

    /// A figure of `/proc/PID/status` in KiB.
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn memory_returns(&self, before: u64) -> u64 {
        let started = Instant::now();
        loop {
            let now = self.memory("VmRSS");
            if now <= before + MEMORY_KIB_LEFT_MAX || started.elapsed() > RETURN {
                return now;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[derive(Default)]
struct Calls {
    good: usize,
    took: Vec<Duration>,
}

impl Calls {
    /// How long 99 of 100 took at most.
    fn p99(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took.get((took.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// How long each attack lasts, when somebody says so.
fn said() -> Option<u64> {
    std::env::var("HOTWORK_ATTACK_SECONDS").ok().and_then(|text| text.parse().ok())
}

fn duration() -> Duration {
    Duration::from_secs(said().unwrap_or(1))
}

/// Whether it lasts long enough for latencies to be held to something.
fn is_campaign() -> bool {
    said().is_some_and(|seconds| seconds >= 5)
}
