//! What a durable record costs: commits of 1, 64 and 256 concurrent callers on the real disk; and how long it takes
//! until a lineage of 100,000 has ended, while callers go on in it.
//!
//! `HOTWORK_BENCH_START=1000000 cargo bench --bench commit` measures the start with that many records
//! instead, plain and with the index deleted. `HOTWORK_BENCH_DIR` says on which disk.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "a benchmark")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use hotwork::clock::SystemClock;
use hotwork::domain::catalogue::Tier;
use hotwork::domain::clock::Clock;
use hotwork::domain::credential::{Issuance, Kind};
use hotwork::domain::digest::Digest;
use hotwork::domain::id::{CredentialId, Lineage};
use hotwork::domain::ledger::Command;
use hotwork::domain::request::Confirmation;
use hotwork::domain::revocation::{Revocation, Selector};
use hotwork::domain::signer::{Algorithm, Signer, SigningFailed};
use hotwork::domain::time::Timestamp;
use hotwork::store::{Ledger, LedgerError, Options, Recorded};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

struct LogKey(Ed25519KeyPair);

impl Signer for LogKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn kid(&self) -> &str {
        "log"
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

fn open(directory: &Path, clock: &Arc<SystemClock>) -> Ledger {
    let key = Arc::new(LogKey(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()));
    let clock = Arc::clone(clock);
    Ledger::open(Options::new(directory.to_owned(), "example.org/log".to_owned(), key, clock)).unwrap()
}

fn issuance(now: Timestamp, number: u64) -> Issuance {
    let mut random = [0; 10];
    random.iter_mut().skip(2).zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    let agent = format!("spiffe://example.org/tenant/acme/agent/worker-{}", number % 50);
    Issuance {
        action: "repo.pull.open".parse().unwrap(),
        agent: agent.parse().unwrap(),
        approval: None,
        args: None,
        attested: Vec::new(),
        audience: "https://api.example.org".parse().unwrap(),
        cnf: Confirmation {
            jkt: Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap()),
            x5t_s256: None,
        },
        content: Digest::of(&number.to_be_bytes()),
        drill: false,
        evidence: Digest::of(b"evidence"),
        expires: now.plus_millis(120_000),
        id: CredentialId::new(now, &random),
        idempotency: None,
        issued: now,
        key: None,
        kind: Kind::Token,
        lineage: Lineage::new(now, &random),
        max_calls: None,
        owner: None,
        parameters: Vec::new(),
        policies: vec!["coding#0".parse().unwrap()],
        principal: agent.as_str().into(),
        purpose: None,
        registry: Digest::of(b"registry"),
        resource: "repo/acme/widgets".parse().unwrap(),
        serial: None,
        single_use: false,
        status: None,
        tier: Tier::Auto,
    }
}

async fn issue(
    ledger: &Ledger,
    clock: &Arc<SystemClock>,
    lineage: Option<Lineage>,
    number: u64,
) -> Result<Recorded, LedgerError> {
    let mut issuance = issuance(clock.now().unwrap(), number);
    issuance.lineage = lineage.unwrap_or(issuance.lineage);
    ledger.submit(Command::Issue(Box::new(issuance))).await
}

/// Commits the records of these numbers with `callers` at a time, in one lineage or each in its own.
async fn fill(
    ledger: &Ledger,
    clock: &Arc<SystemClock>,
    lineage: Option<Lineage>,
    numbers: Range<u64>,
    callers: u64,
) {
    let tasks = (0..callers).map(|caller| {
        let (ledger, clock, end) = (ledger.clone(), Arc::clone(clock), numbers.end);
        let mut number = numbers.start + caller;
        tokio::spawn(async move {
            while number < end {
                issue(&ledger, &clock, lineage, number).await.unwrap();
                number += callers;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn directory() -> tempfile::TempDir {
    let base = std::env::var_os("HOTWORK_BENCH_DIR").unwrap_or_else(|| "target".into());
    tempfile::tempdir_in(base).unwrap()
}

/// CPU time of the writer's thread, in seconds.
fn writer_cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let ticks = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let stat = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let nanos: f64 = stat.split(' ').next()?.parse().ok()?;
        (name.trim() == "ledger").then_some(nanos)
    });
    ticks.sum::<f64>() / 1e9
}

fn commits(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = Arc::new(SystemClock::new());
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10);
    for callers in [1_u64, 64, 256] {
        let dir = directory();
        let ledger = open(dir.path(), &clock);
        let batch = callers.max(32) * 8;
        let mut from = 0;
        group.throughput(Throughput::Elements(batch));
        let (cpu, began) = (writer_cpu(), Instant::now());
        group.bench_function(format!("{callers} callers"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(fill(&ledger, &clock, None, from..from + batch, callers));
                from += batch;
            });
        });
        let (cpu, wall) = (writer_cpu() - cpu, began.elapsed().as_secs_f64());
        let records = u32::try_from(from).map_or(f64::INFINITY, f64::from);
        eprintln!(
            "{callers} callers: {records} records, {:.0}/s, {:.2} us of writer CPU each",
            records / wall,
            cpu * 1e6 / records
        );
    }
    group.finish();
}

/// Ends a lineage with so many records, while 4 callers issue in it.
fn lineage(descendants: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = Arc::new(SystemClock::new());
    let dir = directory();
    let ledger = open(dir.path(), &clock);
    for trial in 0..5 {
        let lineage = Lineage::new(clock.now().unwrap(), &[trial; 10]);
        let from = u64::from(trial) * 10 * descendants;
        runtime.block_on(fill(&ledger, &clock, Some(lineage), from..from + descendants, 256));
        let size = ledger.status().size;
        let hostile: Vec<_> = (0..4)
            .map(|caller| {
                let (ledger, clock) = (ledger.clone(), Arc::clone(&clock));
                runtime.spawn(async move {
                    let mut number = from + (caller + 1) * 2 * descendants;
                    let mut last = 0;
                    while let Ok(recorded) = issue(&ledger, &clock, Some(lineage), number).await {
                        (number, last) = (number + 1, recorded.index());
                    }
                    last
                })
            })
            .collect();
        while ledger.status().size < size + 20 {
            std::thread::yield_now();
        }
        let began = Instant::now();
        let ended = runtime.block_on(ledger.submit(Command::Revoke {
            revocation: Revocation {
                for_good: false,
                issued_before: None,
                live: None,
                lock: None,
                operator: "bench".parse().unwrap(),
                reason: "bench".parse().unwrap(),
                selector: Selector::Lineage(lineage),
                tenants: Vec::new(),
            },
            target: None,
        }));
        let took = began.elapsed();
        let ended = ended.unwrap().index();
        let last = hostile.into_iter().map(|caller| runtime.block_on(caller).unwrap()).max().unwrap();
        assert!(last < ended, "recorded after it had ended");
        eprintln!("a lineage with {descendants} records ended in {took:?}, with 4 callers in it");
    }
}

fn start(records: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = Arc::new(SystemClock::new());
    let dir = directory();
    let ledger = open(dir.path(), &clock);
    let began = Instant::now();
    runtime.block_on(fill(&ledger, &clock, None, 0..records, 256));
    eprintln!("filled {records} records in {:?}, writer CPU {:.2} s", began.elapsed(), writer_cpu());
    drop(ledger);
    for what in ["plain", "index deleted", "plain"] {
        if what == "index deleted" {
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let began = Instant::now();
        let ledger = open(dir.path(), &clock);
        let took = began.elapsed();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
        eprintln!("start, {what}: {took:?}, {} entries, {rss}", ledger.status().size);
        drop(ledger);
    }
}

fn main() {
    match std::env::var("HOTWORK_BENCH_START").ok().and_then(|records| records.parse().ok()) {
        Some(records) => start(records),
        None => {
            let mut criterion = Criterion::default().configure_from_args();
            commits(&mut criterion);
            criterion.final_summary();
            // As a test it only has to work.
            lineage(if std::env::args().any(|argument| argument == "--bench") { 100_000 } else { 1_000 });
        }
    }
}
