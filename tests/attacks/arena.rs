//! One daemon under attack, with a good client beside the attacker and an eye on the memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotwork::proto::v1;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use rustls::ClientConfig;

use crate::LISTENER;
use crate::cgroup::Cgroup;
use crate::pki::{self, Identity};
use crate::support::{Daemon, text};

/// What the daemon may use.
const MEMORY_KIB_MAX: u64 = 128 * 1024;
/// What may be left of an attack: allocators keep pages that are partly used. It is the same after an attack
/// that lasts ten times as long.
const MEMORY_KIB_LEFT_MAX: u64 = 32 * 1024;
/// What the kernel may keep for the daemon's connections, where it counts that apart (version 1 of cgroups): two buffers for
/// each of the sixteen of one certificate, and what it spends on lists.
const SOCKETS_KIB_MAX: u64 = 16 * 1024;
/// What the daemon may have logged: its start, and some lines of the attack, whatever its number of blows.
const LOG_BYTES_MAX: usize = 64 * 1024;
/// How long the memory may take to come back: a handshake's time, and a little.
const RETURN: Duration = Duration::from_secs(15);
/// A good client's patience.
const PATIENCE: Duration = Duration::from_secs(5);
/// An attack lasts until the good client has made so many calls, however slow the machine is.
const CALLS_MIN: u32 = 20;
/// How long one attack may take to have that.
const LONGEST: Duration = Duration::from_secs(60);

/// One attack at a time: they would disturb each other's figures.
static ONE: Mutex<()> = Mutex::new(());

/// What the attacker knows.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// With a verifier's certificate.
    pub config: ClientConfig,
    landed: Arc<AtomicU32>,
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
    good: Identity,
    target: Target,
    /// Dropped after the daemon, which is in it.
    cgroup: Option<Cgroup>,
    _dir: tempfile::TempDir,
    _one: MutexGuard<'static, ()>,
}

impl Arena {
    pub fn new() -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::new(MEMORY_KIB_MAX * 1024)
            .inspect_err(|why| eprintln!("!! NOT CONFINED to 128 MiB by a cgroup, measured only: {why}"))
            .ok();
        let launcher = cgroup.as_ref().map(Cgroup::launcher).unwrap_or_default();
        let daemon = Daemon::dev_under(&launcher, &dir.path().join("state"), &["--tcp"]);
        let confined = cgroup.as_ref().is_none_or(|group| group.holds(daemon.pid(), MEMORY_KIB_MAX * 1024));
        assert!(confined, "the daemon is not in its cgroup");
        let enroll = |name: &str| {
            let out = dir.path().join(name);
            let output = daemon.hotwork(&["verifier", "enroll", name, "--out", &out.display().to_string()]);
            assert!(output.status.success(), "{}", text(&output));
            Identity::read(&out)
        };
        let (good, bad) = (enroll("good"), enroll("bad"));
        let target = Target {
            address: pki::address(&daemon, LISTENER),
            config: pki::config(&daemon, Some(&bad), &["h2"]),
            landed: Arc::default(),
        };
        Self { daemon, good, target, cgroup, _dir: dir, _one: one }
    }

    /// Leaves the daemon so many descriptors beyond those that it has open.
    pub fn leave_descriptors(&self, count: u64) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.daemon.pid())).unwrap().count() as u64;
        let limit = Some(open + count);
        let pid = Pid::from_raw(self.daemon.pid().cast_signed());
        prlimit(pid, Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    }

    /// Runs `attack` again and again on `attackers` tasks, with the good client beside it, and holds the
    /// daemon to what it promises.
    pub fn attack<F, A>(self, attackers: usize, attack: F)
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
                let (attack, target, over) = (attack.clone(), self.target.clone(), Arc::clone(&over));
                tasks.spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        attack(target.clone()).await;
                        tokio::task::yield_now().await;
                    }
                });
            }
            let calls = self.good_client(duration()).await;
            over.store(true, Ordering::Relaxed);
            tasks.shutdown().await;
            calls
        });
        let blows = self.target.blows();
        let peak = self.memory("VmHWM");
        let after = self.memory_returns(before);
        eprintln!(
            "{blows} blows, good calls {}/{}, memory KiB before {before} peak {peak} after {after}, {}",
            calls.good,
            calls.all,
            self.cgroup.as_ref().map_or_else(
                || "NOT CONFINED".to_owned(),
                |group| format!("of all memory, and of sockets {:?}", group.peak())
            )
        );
        assert!(blows > 0, "nobody attacked");
        // One after the other, on two cores that the attacker works on too: enough to tell 99 of 100 apart
        // only when it lasts longer, and enough to see one that is lost.
        assert!(calls.all >= CALLS_MIN, "the good client made only {} calls in {LONGEST:?}", calls.all);
        assert!(calls.good * 100 >= calls.all * 99, "kept {} of {} calls", calls.good, calls.all);
        assert!(peak <= MEMORY_KIB_MAX, "the memory rose to {peak} KiB");
        assert!(after <= before + MEMORY_KIB_LEFT_MAX, "{after} KiB are left, {before} were there before");
        let sockets = self.cgroup.as_ref().map_or(0, |group| group.peak().1);
        assert!(sockets <= SOCKETS_KIB_MAX, "the kernel kept {sockets} KiB for its connections");
        let logged = self.daemon.log().len();
        assert!(logged <= LOG_BYTES_MAX, "a peer made the daemon log {logged} bytes");
        assert!(self.cgroup.as_ref().is_none_or(|cgroup| cgroup.kills() == 0), "killed for its memory");
        self.alive(&runtime);
    }

    /// New connections are served, and the broker issues.
    fn alive(&self, runtime: &tokio::runtime::Runtime) {
        let reached = runtime.block_on(async {
            let mut client = self.connect().await.ok()?;
            client.get_trust_bundle(v1::GetTrustBundleRequest {}).await.ok()
        });
        assert!(reached.is_some(), "a new connection is not served: {}", self.daemon.log());
        let status = self.daemon.hotwork(&["status"]);
        assert!(status.status.success(), "{}", text(&status));
        self.daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    }

    async fn connect(&self) -> std::io::Result<VerificationServiceClient<tonic::transport::Channel>> {
        let channel = tokio::time::timeout(PATIENCE, pki::channel(&self.daemon, LISTENER, Some(&self.good)));
        channel.await?.map(VerificationServiceClient::new)
    }

    /// Calls on one open connection, one after the other: for `time`, and until there is something to judge.
    async fn good_client(&self, time: Duration) -> Calls {
        let mut calls = Calls::default();
        let mut client = self.connect().await.expect("the good client does not get in");
        let started = Instant::now();
        let enough = |calls: &Calls| calls.all >= CALLS_MIN && self.target.blows() > 0;
        while started.elapsed() < time || (!enough(&calls) && started.elapsed() < LONGEST) {
            let call = client.get_trust_bundle(v1::GetTrustBundleRequest {});
            let kept = matches!(tokio::time::timeout(PATIENCE, call).await, Ok(Ok(_)));
            calls.all += 1;
            calls.good += u32::from(kept);
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
    good: u32,
    all: u32,
}

fn duration() -> Duration {
    let seconds = std::env::var("HOTWORK_ATTACK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}
