//! `hotwork bench`: loads a running broker over its Unix socket and reports rate, latency, and the
//! daemon's CPU for each credential, beside the raw P-256 signing rate measured in the same run.

mod fetch;
mod load;
mod revoke;

use std::path::{Path, PathBuf};

use rustix::net::sockopt::socket_peercred;
use serde::Serialize;
use tokio::net::UnixStream;
use tonic::transport::Channel;

use super::args::Kind;
use super::args::bench::{Bench, RevokeBench, What};
use super::client::{self, Context};
use super::endpoint::{Endpoint, Listener};
use super::failure::{Exit, Failure};
use super::holder;
use super::table;
use load::{Figures, Load};

/// Signatures of each core for the raw rate: half a second.
const RAW_SIGNATURES: u32 = 20_000;

/// Callers or connections at most: the listener takes no more from one user.
const CALLERS_MAX: usize = 1_024;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    kind: &'static str,
    runs: Vec<Run>,
}

/// One run, and what the machine gave meanwhile: shared ones differ from one minute to the next.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    #[serde(flatten)]
    figures: Figures,
    /// One raw P-256 signature in microseconds with every core signing, measured before and after.
    raw_signature_us: Option<f64>,
}

/// Runs the bench.
///
/// # Errors
/// When the broker can't be reached, or answers the first request with an error.
pub async fn run(context: &Context, args: &Bench) -> Result<(), Failure> {
    if let Some(What::Revoke(args)) = &args.what {
        return revocations(context, args).await;
    }
    let counts = args.callers.iter().chain(&args.connections);
    if counts.clone().any(|count| !(1..=CALLERS_MAX).contains(count)) {
        return Err(Failure::usage(format!("--callers, --connections: expected 1 to {CALLERS_MAX}")));
    }
    let path = match Listener::Agent.read(context.endpoint.as_deref())? {
        Endpoint::Unix(path) => path,
        Endpoint::Https(_) => return Err(Failure::usage("bench: expected a `unix://` endpoint")),
    };
    // One request the ordinary way first, so that a denial reads as everywhere.
    let mut client = context.agent().await?;
    context.call(client.who_am_i(context.request(crate::proto::v1::WhoAmIRequest {}))).await?;
    let mut report = Report {
        kind: match args.kind {
            Kind::Cert => "certificate",
            Kind::Token => "token",
        },
        runs: Vec::new(),
    };
    for callers in &args.callers {
        context.screen.note(&format!("{callers} callers for {:?} ...", args.duration));
        let before = load::raw_signature_us(RAW_SIGNATURES);
        let figures = one_run(&path, args, *callers)?;
        let after = load::raw_signature_us(RAW_SIGNATURES);
        let raw_signature_us = before.zip(after).map(|(before, after)| f64::midpoint(before, after));
        report.runs.push(Run { figures, raw_signature_us });
    }
    let names = || report.runs.iter().map(|run| format!("{:.0}", run.figures.per_second)).collect();
    context.screen.show_value(&report, names, |screen| {
        let rows: Vec<_> = report.runs.iter().map(row).collect();
        let header =
            ["CALLERS", "RATE", "P50", "P99", "DAEMON CPU", "RAW SIGNATURE", "CPU/SIGNATURE", "FAILED"];
        table::rows(screen, header, &rows)
    })?;
    match report.runs.iter().find_map(|run| run.figures.failure.clone()) {
        Some(failure) => Err(Failure::new(Exit::Failed, "bench-failed", failure)
            .hint("the action's rate may be below the load; see `hotwork actions`")),
        None => Ok(()),
    }
}

/// `hotwork bench revoke`.
async fn revocations(context: &Context, args: &RevokeBench) -> Result<(), Failure> {
    if !(1..=CALLERS_MAX / 4).contains(&args.callers) || args.subscribers > CALLERS_MAX / 4 {
        let most = CALLERS_MAX / 4;
        return Err(Failure::usage(format!("--callers, --subscribers: expected at most {most}")));
    }
    let (agent, admin) = (socket(Listener::Agent, context)?, socket(Listener::Admin, context)?);
    // One request the ordinary way first, so that a refusal reads as everywhere.
    let mut client = context.admin().await?;
    context.call(client.list_verifiers(context.request(crate::proto::v1::ListVerifiersRequest {}))).await?;
    let args = args.clone();
    let broken = || Failure::new(Exit::Failed, "runtime", "the load could not be run");
    let run = move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|_| broken())?;
        runtime.block_on(revoke::run(agent, admin, args)).map_err(Failure::from)
    };
    let figures = std::thread::spawn(run).join().map_err(|_| broken())??;
    let names = || vec![figures.acknowledged_p99_us.to_string()];
    context.screen.show_value(&figures, names, |screen| {
        let us = |micros: u64| format!("{micros} us");
        let mut fields = vec![
            ("subscribers", figures.subscribers.to_string()),
            ("callers", figures.callers.to_string()),
            ("revoked before", figures.revoked_before.to_string()),
            ("live ones before", figures.live_before.to_string()),
            ("revocations", figures.revocations.to_string()),
            ("acknowledged p50", us(figures.acknowledged_p50_us)),
            ("acknowledged p99", us(figures.acknowledged_p99_us)),
            ("visible p50", us(figures.visible_p50_us)),
            ("visible p99", us(figures.visible_p99_us)),
            ("visible max", us(figures.visible_max_us)),
            ("missed", figures.missed.to_string()),
        ];
        if figures.fetched > 0 {
            fields.push(("fetched", figures.fetched.to_string()));
            fields.push(("largest", format!("{} bytes", figures.fetched_bytes_max)));
            fields.push(("fetched first", us(figures.fetched_first_us)));
            fields.push(("fetched slowest", us(figures.fetched_slowest_us)));
        }
        if figures.bulk_credentials > 0 {
            fields.push(("in one call", figures.bulk_credentials.to_string()));
            fields.push(("acknowledged", us(figures.bulk_acknowledged_us)));
            fields.push(("visible at all", us(figures.bulk_visible_us)));
        }
        table::fields(screen, &fields)
    })?;
    match figures.missed {
        0 => Ok(()),
        missed => {
            let message = format!("{missed} revocations were not seen by every subscriber");
            Err(Failure::new(Exit::Failed, "missed", message).hint("see `hotwork feed`"))
        }
    }
}

fn socket(listener: Listener, context: &Context) -> Result<PathBuf, Failure> {
    let given = match listener {
        Listener::Admin => context.admin_endpoint.as_deref(),
        Listener::Agent => context.endpoint.as_deref(),
        Listener::Verifier => context.verifier_endpoint.as_deref(),
    };
    match listener.read(given)? {
        Endpoint::Unix(path) => Ok(path),
        Endpoint::Https(_) => Err(Failure::usage("bench: expected a `unix://` endpoint")),
    }
}

/// One run on threads of its own: the command's runtime has one.
fn one_run(path: &Path, args: &Bench, callers: usize) -> Result<Figures, Failure> {
    let load = Load {
        action: args.action.to_string(),
        resource: args.resource.to_string(),
        callers,
        duration: args.duration,
    };
    let csr = match args.kind {
        Kind::Cert => Some(holder::local_key()?.csr_der),
        Kind::Token => None,
    };
    let connections = args.connections.unwrap_or(callers).min(callers);
    let path = path.to_owned();
    let broken = || Failure::new(Exit::Failed, "runtime", "the load could not be run");
    let run = move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|_| broken())?;
        runtime.block_on(async move {
            let (channels, daemon) = connect(&path, connections).await?;
            Ok(load::run(&channels, &load, csr, daemon).await)
        })
    };
    std::thread::spawn(run).join().map_err(|_| broken())?
}

/// Connections, and the daemon's process id from the first.
async fn connect(path: &PathBuf, connections: usize) -> Result<(Vec<Channel>, Option<u32>), Failure> {
    let unreachable = || {
        Failure::new(Exit::Unavailable, "unreachable", "the broker takes no more connections")
            .hint("give fewer --callers, or --connections")
    };
    let (mut channels, mut daemon) = (Vec::new(), None);
    for _ in 0..connections {
        let stream = UnixStream::connect(path).await.map_err(|_| unreachable())?;
        daemon = daemon.or_else(|| socket_peercred(&stream).ok().map(|peer| peer.pid.as_raw_nonzero().get()));
        channels.push(client::channel(stream).await.map_err(|_| unreachable())?);
    }
    Ok((channels, daemon.and_then(|pid| u32::try_from(pid).ok())))
}

fn row(run: &Run) -> [String; 8] {
    let Run { figures, raw_signature_us } = run;
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let ratio = figures.daemon_cpu_us.zip(*raw_signature_us).map(|(cpu, raw)| cpu / raw);
    [
        figures.callers.to_string(),
        format!("{:.0}/s", figures.per_second),
        format!("{} us", figures.p50_us),
        format!("{} us", figures.p99_us),
        or_dash(figures.daemon_cpu_us.map(|cpu| format!("{cpu:.0} us"))),
        or_dash(raw_signature_us.map(|raw| format!("{raw:.1} us"))),
        or_dash(ratio.map(|ratio| format!("{ratio:.1}"))),
        figures.failed.to_string(),
    ]
}
