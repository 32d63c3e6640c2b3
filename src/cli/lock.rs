//! `hotwork lock`: refuses what may come, for a time and with a message.

use super::args::control::{Lock, LockCommand, LockCreate};
use super::client::Context;
use super::duration::{absolute, now, relative};
use super::failure::Failure;
use super::selector::{Named, is_empty, named, option, words};
use super::table;
use super::words as word;
use crate::domain::wording::counted;
use crate::proto::v1;

/// `hotwork lock`.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn run(context: &Context, command: &Lock) -> Result<(), Failure> {
    let short = &command.create;
    let both = command.command.is_some() && (!is_empty(&short.selector) || short.message.is_some());
    if both {
        return Err(Failure::usage("what is to be locked stands after `create`, or alone")
            .hint("`hotwork lock --all --message TEXT`, or `hotwork lock create --all --message TEXT`"));
    }
    match &command.command {
        None => create(context, short).await,
        Some(LockCommand::Create(args)) => create(context, args).await,
        Some(LockCommand::List) => list(context).await,
        Some(LockCommand::Rm { lock }) => remove(context, *lock).await,
    }
}

async fn create(context: &Context, args: &LockCreate) -> Result<(), Failure> {
    let given = &args.selector;
    if given.credential.is_some() || given.serial.is_some() {
        return Err(Failure::usage("a lock refuses what may come, and one credential never comes again")
            .hint("end it with `hotwork revoke`, or lock its agent or action"));
    }
    let Some(text) = &args.message else {
        return Err(Failure::usage("--message is missing: it is what whoever is refused is told"));
    };
    let mut client = context.admin().await?;
    let named = named(context, &mut client, given).await?;
    let message = v1::LockRequest {
        selector: Some(named.selector.clone()),
        terms: Some(terms(args.ttl, text.as_str())),
    };
    let answer = context.call(client.lock(context.request(message))).await?;
    let lock = answer.lock.clone().unwrap_or_default();
    context.screen.show(
        &answer,
        || vec![lock.id.to_string()],
        |screen| {
            let fields = [
                ("locked", named.words.clone()),
                ("lock", lock.id.to_string()),
                ("in force since", absolute(lock.create_time.as_ref())),
                ("ends", absolute(lock.expire_time.as_ref())),
                ("message", lock.message.clone()),
                ("stops", stops(answer.agents_stopped, answer.actions_stopped, answer.approvals_stopped)),
                ("does not end", lives_on(&answer, &named)),
            ];
            table::fields(screen, &fields)
        },
    )
}

/// Whom and what a lock stops, as far as the broker can tell.
pub fn stops(agents: Option<u32>, actions: Option<u32>, approvals: u32) -> String {
    let some = |count: Option<u32>, one, many| count.map(|count| counted(count, one, many).to_string());
    let approvals = counted(approvals, "request for approval", "requests for approval");
    let all =
        [some(agents, "agent", "agents"), some(actions, "action", "actions"), Some(approvals.to_string())];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What was issued lives on, and how to end it.
fn lives_on(answer: &v1::LockResponse, named: &Named) -> String {
    let revoke = format!("hotwork revoke {} --reason TEXT", option(&named.selector));
    match (answer.live_credentials, answer.live_is_lower_bound) {
        (0, false) => "nothing: none of its credentials is live".to_owned(),
        (0, true) => format!("what is live, too much to be counted in time: `{revoke}` does"),
        (live, bound) => {
            let least = if bound { "at least " } else { "" };
            format!("{least}{}: `{revoke}` does", counted(live, "live credential", "live credentials"))
        }
    }
}

/// The terms of a lock.
pub fn terms(ttl_seconds: u32, message: &str) -> v1::LockTerms {
    let ttl = Some(prost_types::Duration { seconds: ttl_seconds.into(), nanos: 0 });
    v1::LockTerms { ttl, message: message.to_owned() }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let answer = context.call(client.list_locks(context.request(v1::ListLocksRequest {}))).await?;
    let names = || answer.locks.iter().map(|lock| lock.id.to_string()).collect();
    context.screen.show(&answer, names, |screen| {
        let now = now();
        let row = |lock: &v1::Lock| {
            [
                lock.id.to_string(),
                lock.selector.as_ref().map(words).unwrap_or_default(),
                lock.tenants.join(" "),
                word::agent(&lock.operator),
                relative(lock.expire_time.as_ref(), now),
                lock.message.clone(),
            ]
        };
        let rows: Vec<_> = answer.locks.iter().map(row).collect();
        table::rows(screen, ["LOCK", "WHAT", "TENANTS", "BY", "ENDS", "MESSAGE"], &rows)
    })
}

async fn remove(context: &Context, lock: u64) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let message = context.request(v1::UnlockRequest { lock_id: lock });
    let answer = context.call(client.unlock(message)).await.map_err(|failure| match failure.code {
        "NOT_FOUND" => failure.hint("`hotwork lock list` shows the locks in force"),
        _ => failure,
    })?;
    context.screen.show(
        &answer,
        || vec![lock.to_string()],
        |screen| {
            let fields = [
                ("unlocked", lock.to_string()),
                ("durable since", absolute(answer.time.as_ref())),
                ("log entry", answer.log_index.to_string()),
            ];
            table::fields(screen, &fields)
        },
    )
}
