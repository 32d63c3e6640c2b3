//! The load itself: callers that issue as fast as they are answered, and what came of it.
//!
//! It knows the agent RPCs and `/proc/PID/stat` of the daemon, and nothing else of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use tonic::transport::Channel;

use crate::proto::v1::credential_service_client::CredentialServiceClient;
use crate::proto::v1::issue_certificate_request::Key;
use crate::proto::v1::{ActionRequest, IssueCertificateRequest, IssueTokenRequest};

/// What to load with.
#[derive(Clone, Debug)]
pub struct Load {
    /// The action to ask for.
    pub action: String,
    /// Its resource.
    pub resource: String,
    /// Concurrent callers.
    pub callers: usize,
    /// How long, after a warm-up of a tenth of it.
    pub duration: Duration,
}

/// What came of it.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Concurrent callers.
    pub callers: usize,
    /// Credentials issued.
    pub issued: usize,
    /// Calls that failed.
    pub failed: usize,
    /// Credentials in a second.
    pub per_second: f64,
    /// Median latency in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the latency in microseconds.
    pub p99_us: u64,
    /// Daemon CPU for each credential in microseconds; absent when the daemon can't be seen.
    pub daemon_cpu_us: Option<f64>,
    /// The first failure, when there was one.
    pub failure: Option<String>,
}

/// The raw cost of one ES256 signature in microseconds, with every core signing at once: what a core gives
/// when all are busy, as they are under load. The floor of every issuance.
pub fn raw_signature_us(rounds: u32) -> Option<f64> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let signers: Vec<_> = (0..cores).map(|_| std::thread::spawn(move || sign_many(rounds))).collect();
    let costs: Option<Vec<f64>> = signers.into_iter().map(|signer| signer.join().ok()?).collect();
    let costs = costs?;
    let count = f64::from(u32::try_from(costs.len()).ok()?);
    Some(costs.iter().sum::<f64>() / count)
}

fn sign_many(rounds: u32) -> Option<f64> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).ok()?;
    let start = Instant::now();
    for round in 0..rounds {
        std::hint::black_box(pair.sign(&random, &round.to_le_bytes()).ok()?);
    }
    Some(start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds))
}

/// Loads the broker behind `channels`; `daemon` is its process id, where known.
pub async fn run(channels: &[Channel], load: &Load, csr: Option<Vec<u8>>, daemon: Option<u32>) -> Figures {
    let load = Arc::new(load.clone());
    let warm_up = load.duration / 10;
    let start = Instant::now();
    let (from, until) = (start + warm_up, start + warm_up + load.duration);
    let callers: Vec<_> = (0..load.callers)
        .zip(channels.iter().cycle())
        .map(|(_, channel)| {
            let caller = Caller::new(channel.clone(), &load, csr.clone());
            tokio::spawn(caller.call_between(from, until))
        })
        .collect();
    tokio::time::sleep_until(from.into()).await;
    let cpu_before = daemon.and_then(cpu_time);
    tokio::time::sleep_until(until.into()).await;
    let cpu_after = daemon.and_then(cpu_time);
    let mut all = Samples::default();
    for caller in callers {
        if let Ok(samples) = caller.await {
            all.absorb(samples);
        }
    }
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    all.figures(&load, cpu)
}

struct Caller {
    client: CredentialServiceClient<Channel>,
    request: ActionRequest,
    csr: Option<Vec<u8>>,
}

impl Caller {
    fn new(channel: Channel, load: &Load, csr: Option<Vec<u8>>) -> Self {
        let request = ActionRequest {
            action: load.action.clone(),
            resource: load.resource.clone(),
            ..ActionRequest::default()
        };
        Self { client: CredentialServiceClient::new(channel), request, csr }
    }

    async fn call_between(mut self, from: Instant, until: Instant) -> Samples {
        let mut samples = Samples::default();
        loop {
            let start = Instant::now();
            if start >= until {
                return samples;
            }
            let result = self.call().await;
            if start >= from {
                samples.add(start.elapsed(), result);
            }
        }
    }

    async fn call(&mut self) -> Result<(), tonic::Status> {
        let request = Some(self.request.clone());
        match &self.csr {
            Some(csr) => {
                let key = Some(Key::CsrDer(csr.clone()));
                self.client.issue_certificate(IssueCertificateRequest { request, key }).await.map(drop)
            }
            None => self.client.issue_token(IssueTokenRequest { request, binding: None }).await.map(drop),
        }
    }
}

#[derive(Default)]
struct Samples {
    micros: Vec<u64>,
    failed: usize,
    failure: Option<String>,
}

impl Samples {
    fn add(&mut self, took: Duration, result: Result<(), tonic::Status>) {
        match result {
            Ok(()) => self.micros.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            Err(status) => {
                self.failed += 1;
                self.failure.get_or_insert_with(|| format!("{:?}: {}", status.code(), status.message()));
            }
        }
    }

    fn absorb(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
    }

    fn figures(mut self, load: &Load, cpu: Option<Duration>) -> Figures {
        self.micros.sort_unstable();
        let issued = self.micros.len();
        let count = f64::from(u32::try_from(issued).unwrap_or(u32::MAX));
        Figures {
            callers: load.callers,
            issued,
            failed: self.failed,
            per_second: count / load.duration.as_secs_f64(),
            p50_us: percentile(&self.micros, 50),
            p99_us: percentile(&self.micros, 99),
            daemon_cpu_us: cpu.filter(|_| issued > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / count),
            failure: self.failure,
        }
    }
}

/// The value below which `percent` of the sorted values lie; 0 when there are none.
pub(super) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = sorted.len().saturating_mul(percent) / 100;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// User and system time of a process so far (`proc_pid_stat(5)`, fields 14 and 15).
fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The command's name can hold spaces and parentheses; fields are counted from the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis((user + system).saturating_mul(1000) / ticks.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (51, 100));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }

    #[test]
    fn the_cpu_time_of_this_process_can_be_read() {
        assert!(cpu_time(std::process::id()).is_some());
        assert!(cpu_time(u32::MAX).is_none());
    }
}
