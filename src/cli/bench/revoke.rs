//! `hotwork bench revoke`: how soon a revocation is acknowledged, and how soon those who follow see it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;
use uuid::Uuid;

use super::fetch::{Fetched, Reader};
use super::load::percentile;
use crate::cli::args::bench::RevokeBench;
use crate::cli::{client, holder};
use crate::proto::v1;
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::credential_service_client::CredentialServiceClient;
use crate::proto::v1::issue_certificate_request::Key;
use crate::proto::v1::revocation_selector::Selector;
use crate::proto::v1::verification_service_client::VerificationServiceClient;

/// How long the subscribers may take for the last one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Callers that issue the credentials of the bulk revocation, and revoke what comes before.
const BULK_CALLERS: usize = 64;

/// What came of it. Times in microseconds.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Who followed the feed.
    pub subscribers: usize,
    /// Who revoked at once.
    pub callers: usize,
    /// Lineages that were revoked before.
    pub revoked_before: usize,
    /// Live credentials that were revoked one by one before.
    pub live_before: usize,
    /// Documents that were fetched meanwhile.
    pub fetched: usize,
    /// Bytes of the largest.
    pub fetched_bytes_max: usize,
    /// The slowest of those that were fetched first, before anything was measured.
    pub fetched_first_us: u64,
    /// The slowest of the others.
    pub fetched_slowest_us: u64,
    /// Revocations measured.
    pub revocations: usize,
    /// From the call to its answer.
    pub acknowledged_p50_us: u64,
    /// From the call to its answer.
    pub acknowledged_p99_us: u64,
    /// Of each revocation at each subscriber, from the answer on.
    pub visible_p50_us: u64,
    /// Of each revocation at each subscriber, from the answer on.
    pub visible_p99_us: u64,
    /// The latest of them all.
    pub visible_max_us: u64,
    /// Revocations that some subscriber did not see.
    pub missed: usize,
    /// Live credentials that one revocation by agent ended.
    pub bulk_credentials: u64,
    /// From that call to its answer.
    pub bulk_acknowledged_us: u64,
    /// From that answer until the last subscriber had it.
    pub bulk_visible_us: u64,
}

/// One revocation: its entry, the call and its answer.
struct Sample {
    index: u64,
    called: Instant,
    answered: Instant,
}

/// When a subscriber saw each entry.
type Seen = HashMap<u64, Instant>;

/// Runs it on the sockets `agent` and `admin`.
///
/// # Errors
/// The first failure of a call, or of a connection.
pub async fn run(agent: PathBuf, admin: PathBuf, args: RevokeBench) -> Result<Figures, Status> {
    before(&admin, args.revoked_before).await?;
    live_before(&agent, &admin, &args).await?;
    let reader = read(&agent, &admin, &args).await?;
    let stop = tokio::sync::watch::channel(0_u64);
    let from = newest(&admin).await?;
    let mut subscribers = Vec::new();
    for number in 0..args.subscribers {
        subscribers.push(subscribe(&admin, number, &from, stop.1.clone()).await?);
    }
    let each = args.revocations.div_ceil(args.callers.max(1));
    let mut callers: Vec<JoinHandle<Result<Vec<Sample>, Status>>> = Vec::new();
    for _ in 0..args.callers {
        let (issuing, revoking) = (channel(&agent).await?, channel(&admin).await?);
        callers.push(tokio::spawn(call(issuing, revoking, args.clone(), each)));
    }
    let mut samples = Vec::new();
    for caller in callers {
        samples.extend(caller.await.map_err(|_| Status::internal("a caller has failed"))??);
    }
    let mut figures = Figures { subscribers: args.subscribers, callers: args.callers, ..Figures::default() };
    if let Some((reader, first)) = reader {
        figures.fetched(first, reader.stop().await?);
    }
    let bulk =
        if args.credentials > 0 { Some(bulk(&agent, &admin, &args, &mut figures).await?) } else { None };
    let last = samples.iter().chain(&bulk).map(|sample| sample.index).max().unwrap_or_default();
    stop.0.send_replace(last.saturating_add(1));
    let mut seen: Vec<Seen> = Vec::new();
    for subscriber in subscribers {
        seen.push(subscriber.await.map_err(|_| Status::internal("a subscriber has failed"))??);
    }
    (figures.revoked_before, figures.live_before) = (args.revoked_before, args.live_before);
    figures.measure(&samples, &seen);
    if let Some(bulk) = bulk {
        let late = seen.iter().filter_map(|seen| seen.get(&bulk.index)).map(|at| micros(bulk.answered, *at));
        figures.bulk_acknowledged_us = micros(bulk.called, bulk.answered);
        figures.bulk_visible_us = late.max().unwrap_or_default();
    }
    Ok(figures)
}

impl Figures {
    fn fetched(&mut self, first: Fetched, then: Fetched) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.fetched = first.count.saturating_add(then.count);
        self.fetched_bytes_max = first.bytes_max.max(then.bytes_max);
        (self.fetched_first_us, self.fetched_slowest_us) = (micros(first.slowest), micros(then.slowest));
    }

    fn measure(&mut self, samples: &[Sample], seen: &[Seen]) {
        let mut acknowledged: Vec<u64> = samples.iter().map(|one| micros(one.called, one.answered)).collect();
        acknowledged.sort_unstable();
        let mut visible = Vec::with_capacity(samples.len().saturating_mul(seen.len()));
        for one in samples {
            let times = seen.iter().filter_map(|seen| seen.get(&one.index));
            let before = visible.len();
            visible.extend(times.map(|at| micros(one.answered, *at)));
            self.missed += usize::from(visible.len() - before < seen.len());
        }
        visible.sort_unstable();
        self.revocations = samples.len();
        (self.acknowledged_p50_us, self.acknowledged_p99_us) =
            (percentile(&acknowledged, 50), percentile(&acknowledged, 99));
        (self.visible_p50_us, self.visible_p99_us) = (percentile(&visible, 50), percentile(&visible, 99));
        self.visible_max_us = visible.last().copied().unwrap_or_default();
    }
}

/// 0 when `to` is before `from`: a subscriber can see it before its caller has the answer.
fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

async fn channel(path: &Path) -> Result<Channel, Status> {
    let failed = |what: String| Status::unavailable(format!("no connection: {what}"));
    let stream = UnixStream::connect(path).await.map_err(|error| failed(error.to_string()))?;
    client::channel(stream).await.map_err(|error| failed(error.to_string()))
}

/// Revokes lineages that nobody has, so that much is revoked already.
async fn before(admin: &Path, count: usize) -> Result<(), Status> {
    if count == 0 {
        return Ok(());
    }
    let mut callers: Vec<JoinHandle<Result<(), Status>>> = Vec::new();
    for _ in 0..BULK_CALLERS {
        let mut client = AdminServiceClient::new(channel(admin).await?);
        callers.push(tokio::spawn(async move {
            for _ in 0..count.div_ceil(BULK_CALLERS) {
                let lineage = Uuid::now_v7().to_string();
                client.revoke(request(Selector::Lineage(lineage))).await?;
            }
            Ok(())
        }));
    }
    for caller in callers {
        caller.await.map_err(|_| Status::internal("a caller has failed"))??;
    }
    Ok(())
}

fn request(selector: Selector) -> v1::RevokeRequest {
    let selector = Some(v1::RevocationSelector { selector: Some(selector) });
    v1::RevokeRequest { selector, reason: "bench".to_owned(), ..v1::RevokeRequest::default() }
}

async fn call(
    agent: Channel,
    admin: Channel,
    args: RevokeBench,
    count: usize,
) -> Result<Vec<Sample>, Status> {
    let mut issuing = CredentialServiceClient::new(agent);
    let mut revoking = AdminServiceClient::new(admin);
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let id = issue(&mut issuing, &args).await?.credential.unwrap_or_default().id;
        let called = Instant::now();
        let answer = revoking.revoke(request(Selector::CredentialId(id))).await?.into_inner();
        let index = answer.log_index.unwrap_or_default();
        samples.push(Sample { index, called, answered: Instant::now() });
    }
    Ok(samples)
}

fn wanted(args: &RevokeBench) -> v1::ActionRequest {
    v1::ActionRequest {
        action: args.action.to_string(),
        resource: args.resource.to_string(),
        ttl: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..v1::ActionRequest::default()
    }
}

async fn issue(
    client: &mut CredentialServiceClient<Channel>,
    args: &RevokeBench,
) -> Result<v1::IssueTokenResponse, Status> {
    let request = Some(wanted(args));
    Ok(client.issue_token(v1::IssueTokenRequest { request, binding: None }).await?.into_inner())
}

/// Issues credentials and revokes each by itself, so that status lists and CRLs are full of them.
async fn live_before(agent: &Path, admin: &Path, args: &RevokeBench) -> Result<(), Status> {
    if args.live_before == 0 {
        return Ok(());
    }
    let csr = holder::local_key().map_err(|_| Status::internal("no key could be made"))?.csr_der;
    let mut callers: Vec<JoinHandle<Result<(), Status>>> = Vec::new();
    for _ in 0..BULK_CALLERS {
        let mut issuing = CredentialServiceClient::new(channel(agent).await?);
        let mut revoking = AdminServiceClient::new(channel(admin).await?);
        let (args, csr) = (args.clone(), csr.clone());
        callers.push(tokio::spawn(async move {
            for at in 0..args.live_before.div_ceil(BULK_CALLERS) {
                let credential = if at % 2 == 0 {
                    issue(&mut issuing, &args).await?.credential
                } else {
                    let (asked, key) = (Some(wanted(&args)), Some(Key::CsrDer(csr.clone())));
                    let message = v1::IssueCertificateRequest { request: asked, key };
                    issuing.issue_certificate(message).await?.into_inner().credential
                };
                let id = credential.unwrap_or_default().id;
                revoking.revoke(request(Selector::CredentialId(id))).await?;
            }
            Ok(())
        }));
    }
    for caller in callers {
        caller.await.map_err(|_| Status::internal("a caller has failed"))??;
    }
    Ok(())
}

/// Somebody who fetches the CRLs, and a status list.
async fn read(agent: &Path, admin: &Path, args: &RevokeBench) -> Result<Option<(Reader, Fetched)>, Status> {
    let Some(from) = &args.fetch else { return Ok(None) };
    let address = from.strip_prefix("http://").unwrap_or(from).trim_end_matches('/').to_owned();
    let mut client = CredentialServiceClient::new(channel(agent).await?);
    let issued = issue(&mut client, args).await?;
    let list = list(&issued.token).ok_or_else(|| Status::internal("the token names no status list"))?;
    let mut revoking = AdminServiceClient::new(channel(admin).await?);
    let id = issued.credential.unwrap_or_default().id;
    revoking.revoke(request(Selector::CredentialId(id))).await?;
    Reader::start(address, vec!["/crl.pem".to_owned(), list]).await.map(Some)
}

/// The path of the status list that a token names.
fn list(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let uri = claims.get("status")?.get("status_list")?.get("uri")?.as_str()?;
    let (_, rest) = uri.split_once("://")?;
    rest.split_once('/').map(|(_, path)| format!("/{path}"))
}

/// Issues many credentials, and ends them with one call.
async fn bulk(
    agent: &Path,
    admin: &Path,
    args: &RevokeBench,
    figures: &mut Figures,
) -> Result<Sample, Status> {
    let mut callers: Vec<JoinHandle<Result<(), Status>>> = Vec::new();
    for _ in 0..BULK_CALLERS {
        let (mut client, args) = (CredentialServiceClient::new(channel(agent).await?), args.clone());
        callers.push(tokio::spawn(async move {
            for _ in 0..args.credentials.div_ceil(BULK_CALLERS) {
                issue(&mut client, &args).await?;
            }
            Ok(())
        }));
    }
    for caller in callers {
        caller.await.map_err(|_| Status::internal("a caller has failed"))??;
    }
    let mut client = CredentialServiceClient::new(channel(agent).await?);
    let me = client.who_am_i(v1::WhoAmIRequest {}).await?.into_inner().agent;
    let mut revoking = AdminServiceClient::new(channel(admin).await?);
    let called = Instant::now();
    let answer = revoking.revoke(request(Selector::Agent(me))).await?.into_inner();
    figures.bulk_credentials = answer.live_credentials;
    Ok(Sample { index: answer.log_index.unwrap_or_default(), called, answered: Instant::now() })
}

/// Follows the feed from now on, until it has the epoch that `until` says.
async fn subscribe(
    admin: &Path,
    number: usize,
    from: &v1::WatchRevocationsRequest,
    mut until: tokio::sync::watch::Receiver<u64>,
) -> Result<JoinHandle<Result<Seen, Status>>, Status> {
    let mut client = VerificationServiceClient::new(channel(admin).await?);
    let message = v1::WatchRevocationsRequest { label: format!("bench-{number}"), ..from.clone() };
    let mut feed = client.watch_revocations(message).await?.into_inner();
    // The first message says that it follows.
    let first = feed.message().await?;
    let mut epoch = first.map_or(0, |message| message.epoch);
    Ok(tokio::spawn(async move {
        let _client = client;
        let mut seen = Seen::new();
        let mut deadline = None;
        loop {
            let wanted = *until.borrow_and_update();
            if wanted > 0 && epoch >= wanted {
                return Ok(seen);
            }
            if wanted > 0 {
                deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            }
            tokio::select! {
                message = feed.message() => {
                    let Some(message) = message? else { return Ok(seen) };
                    let now = Instant::now();
                    seen.extend(message.revoked.iter().map(|revoked| (revoked.log_index, now)));
                    epoch = epoch.max(message.epoch);
                }
                _ = until.changed() => {}
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(seen);
            }
        }
    }))
}

/// Where the feed is now, to follow it from there: its beginning is read once for all.
async fn newest(admin: &Path) -> Result<v1::WatchRevocationsRequest, Status> {
    let mut client = VerificationServiceClient::new(channel(admin).await?);
    let message =
        v1::WatchRevocationsRequest { label: "bench".to_owned(), instance: 1, ..Default::default() };
    let mut feed = client.watch_revocations(message).await?.into_inner();
    loop {
        let message = feed.message().await?.ok_or_else(|| Status::unavailable("the feed ended"))?;
        let known = message.epoch == 0 || !message.epoch_sha256.is_empty();
        if !message.snapshot_continues && known {
            let (after_epoch, after_sha256) = (message.epoch, message.epoch_sha256);
            return Ok(v1::WatchRevocationsRequest {
                after_epoch,
                after_sha256,
                instance: 1,
                ..Default::default()
            });
        }
    }
}
