//! `hotwork revoke`: ends credentials, after a look at how many, and tells who knows of it.

use std::future::Future;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prost_types::Timestamp;

use super::args::control::Revoke;
use super::client::Context;
use super::duration::absolute;
use super::failure::{Exit, Failure};
use super::lock::{stops, terms};
use super::output::Screen;
use super::selector::{Named, named};
use super::table;
use crate::domain::limits::{LOCK_SECONDS_DEFAULT, WAIT_SECONDS_MAX};
use crate::domain::name::Reason;
use crate::domain::wording::counted;
use crate::proto::v1;

/// Whom the broker calls those that it can't tell: it started a moment ago, or had no room to remember.
const OTHERS: &str = "others";
/// The reason of a dry run, which changes and records nothing of the kind.
const DRY: &str = "dry run";
/// What became of a signing key.
const KEY_ENDED: &str =
    "ended for good and out of the key set: whatever it signed is refused, also with a later time";
/// Whom a revocation hits beside those that it names, where no credential says that it is meant.
const BESIDE: &str = "ALL older credentials in your reach, at verifiers that follow the feed, until agents ask for new ones: no \
     credential says its owner or its evidence";
/// A call that takes longer shows that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the bar moves.
const STEP: Duration = Duration::from_millis(100);

/// `hotwork revoke`. Gives the exit code: 10 when a verifier has not acknowledged in time.
///
/// # Errors
/// When the operator declines, or the broker refuses or can't be reached.
pub async fn run(context: &Context, args: &Revoke) -> Result<u8, Failure> {
    let wait = args.wait.unwrap_or_default();
    if wait > Duration::from_secs(WAIT_SECONDS_MAX) {
        return Err(Failure::usage(format!("--wait: expected at most {WAIT_SECONDS_MAX}s"))
            .hint("`hotwork feed` shows who has acknowledged later"));
    }
    // An answer that waits for others must not be cut off by our own deadline.
    let context = Context { timeout: context.timeout.max(wait + Duration::from_secs(2)), ..context.clone() };
    let mut client = context.admin().await?;
    let named = named(&context, &mut client, &args.selector).await?;
    let mut call = async |reason: &str, dry_run| {
        let message = request(args, &named, reason, dry_run);
        with_progress(&context.screen, wait, context.call(client.revoke(context.request(message)))).await
    };
    if args.dry_run {
        let reason = args.reason.as_ref().map_or(DRY, Reason::as_str);
        show(&context, &call(reason, true).await?, &named)?;
        return Ok(0);
    }
    let reason = reason(&context, args)?;
    if context.screen.interactive && !args.yes && !named.single {
        let dry = call(reason.as_str(), true).await?;
        confirm(&context, &named, &dry)?;
    }
    let answer = call(reason.as_str(), false).await?;
    show(&context, &answer, &named)?;
    Ok(late(&context, args, &answer))
}

fn request(args: &Revoke, named: &Named, reason: &str, dry_run: bool) -> v1::RevokeRequest {
    let message = args.lock_message.as_ref().map_or("", Reason::as_str);
    v1::RevokeRequest {
        selector: Some(named.selector.clone()),
        reason: reason.to_owned(),
        dry_run,
        issued_before: args
            .issued_before
            .map(|time| Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }),
        wait: args.wait.and_then(|wait| prost_types::Duration::try_from(wait).ok()),
        lock: args.lock.then(|| terms(args.lock_ttl.unwrap_or(LOCK_SECONDS_DEFAULT), message)),
    }
}

fn reason(context: &Context, args: &Revoke) -> Result<Reason, Failure> {
    if let Some(reason) = &args.reason {
        return Ok(reason.clone());
    }
    if !context.screen.interactive {
        return Err(Failure::usage("--reason is missing: it goes into the log, for those who ask later why")
            .hint("add --reason 'one line that says why'"));
    }
    let line = context.screen.ask("Reason (goes into the log, for those who ask later why):")?;
    line.parse().map_err(|error| Failure::usage(format!("reason: {error}")))
}

fn confirm(context: &Context, named: &Named, dry: &v1::RevokeResponse) -> Result<(), Failure> {
    let (live, lock) = (live(dry), stopped(dry).map(|stops| format!("; its lock stops {stops}")));
    let beside = beside(named).map(|others| format!("; it refuses, too, {others}"));
    let question = format!(
        "This ends {}, now and for good; live credentials: {live}{}{}. Go on? [y/N]",
        named.words,
        lock.unwrap_or_default(),
        beside.unwrap_or_default()
    );
    let answer = context.screen.ask(&question)?;
    if ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "not-confirmed", "nothing was revoked").hint("answer `y`, or give --yes"))
}

/// Waits for the answer; on a terminal a bar shows that it takes long.
async fn with_progress<T>(screen: &Screen, wait: Duration, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    if !screen.interactive {
        return answer.await;
    }
    if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut answer).await {
        return answer;
    }
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(millis(wait.max(PATIENCE))), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("waiting for verifiers {wide_bar} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_position(millis(PATIENCE));
    loop {
        match tokio::time::timeout(STEP, &mut answer).await {
            Ok(answer) => {
                bar.finish_and_clear();
                return answer;
            }
            Err(_) => bar.inc(millis(STEP)),
        }
    }
}

fn live(answer: &v1::RevokeResponse) -> String {
    let least = if answer.live_is_lower_bound { "at least " } else { "" };
    format!("{least}{}", answer.live_credentials)
}

/// What the lock that was asked for with it stops, or would.
fn stopped(answer: &v1::RevokeResponse) -> Option<String> {
    let approvals = answer.approvals_stopped?;
    Some(stops(answer.agents_stopped, answer.actions_stopped, approvals))
}

/// What it refuses beside what it names.
fn beside(named: &Named) -> Option<&'static str> {
    (!named.told).then_some(BESIDE)
}

fn show(context: &Context, answer: &v1::RevokeResponse, named: &Named) -> Result<(), Failure> {
    let names = || answer.log_index.map(|index| index.to_string()).into_iter().collect();
    context.screen.show(answer, names, |screen| {
        let done = answer.log_index.is_some();
        let text = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let mut fields = vec![
            (if done { "ended" } else { "would end" }, named.words.clone()),
            ("live credentials", live(answer)),
            (
                if done { "refuses, too" } else { "would refuse, too" },
                beside(named).unwrap_or_default().to_owned(),
            ),
            ("durable since", if done { absolute(answer.time.as_ref()) } else { String::new() }),
            ("log entry", text(answer.log_index)),
            ("epoch", text(answer.epoch)),
            ("lock", text(answer.lock_id)),
            (if done { "stops" } else { "would stop" }, stopped(answer).unwrap_or_default()),
            ("key", if answer.key_ended_for_good { KEY_ENDED.to_owned() } else { String::new() }),
        ];
        fields.extend(answer.verifiers.iter().map(|verifier| ("verifier", acknowledged(answer, verifier))));
        if done {
            fields.push(("worst residual", residual(answer)));
        }
        table::fields(screen, &fields)
    })
}

fn has(answer: &v1::RevokeResponse, verifier: &v1::Verifier) -> bool {
    verifier.acknowledged_epoch >= answer.epoch.unwrap_or_default()
}

fn acknowledged(answer: &v1::RevokeResponse, verifier: &v1::Verifier) -> String {
    let name = match verifier.streams {
        0 | 1 => verifier.name.clone(),
        streams => format!("{} ({streams} streams)", verifier.name),
    };
    if has(answer, verifier) {
        let after = delay_ms(answer, verifier).map(|ms| format!(" after {ms} ms")).unwrap_or_default();
        return format!("{name} acknowledged epoch {}{after}", verifier.acknowledged_epoch);
    }
    match (away(verifier), &verifier.connect_time) {
        (None, _) => format!("{name} has NOT acknowledged; it is at epoch {}", verifier.acknowledged_epoch),
        (Some(away), Some(_)) => {
            format!("{name} has NOT acknowledged and {away}; it is at epoch {}", verifier.acknowledged_epoch)
        }
        (Some(away), None) if name == OTHERS => {
            format!("{name}, whom the broker can't tell, may NOT have acknowledged: who {away}")
        }
        (Some(away), None) => format!("{name} is enrolled, has NOT acknowledged and {away}"),
    }
}

/// Since when it does not follow, and until when that matters.
fn away(verifier: &v1::Verifier) -> Option<String> {
    let (since, until) = (verifier.away_since.as_ref()?, verifier.away_until.as_ref());
    let with = match (verifier.streams, verifier.away) {
        (0, 0 | 1) => String::new(),
        (0, all) => format!(" with all {all} instances"),
        (_, some) => format!(" with {}", counted(some, "instance", "instances")),
    };
    let (since, until) = (absolute(Some(since)), absolute(until));
    Some(format!("is away{with} since {since}: it may run on without hearing of it until {until}"))
}

fn delay_ms(answer: &v1::RevokeResponse, verifier: &v1::Verifier) -> Option<i64> {
    let millis = |time: &Timestamp| time.seconds * 1000 + i64::from(time.nanos / 1_000_000);
    let (from, to) = (answer.time.as_ref()?, verifier.acknowledge_time.as_ref()?);
    Some((millis(to) - millis(from)).max(0))
}

/// The longest that somebody may have taken, or may still take, what ended.
fn residual(answer: &v1::RevokeResponse) -> String {
    let Some(until) = &answer.residual_time else { return "none: nothing was live".to_owned() };
    let elsewhere = format!("{} where nobody follows the feed or asks the broker", absolute(Some(until)));
    let verifiers = &answer.verifiers;
    if verifiers.is_empty() || !verifiers.iter().all(|verifier| has(answer, verifier)) {
        return format!("until {elsewhere}");
    }
    let slowest =
        verifiers.iter().filter_map(|verifier| delay_ms(answer, verifier)).max().unwrap_or_default();
    format!("{slowest} ms at those that follow; until {elsewhere}")
}

/// 10 when a verifier has not acknowledged, and somebody waited for that.
fn late(context: &Context, args: &Revoke, answer: &v1::RevokeResponse) -> u8 {
    let late = answer.verifiers.iter().filter(|verifier| !has(answer, verifier)).count();
    if late == 0 || args.wait.is_none() {
        return 0;
    }
    let of = counted(answer.verifiers.len(), "verifier", "verifiers");
    context.screen.note(&format!(
        "not acknowledged in time by {late} of {of}; the revocation is in force at the broker"
    ));
    Exit::Partial.number()
}
