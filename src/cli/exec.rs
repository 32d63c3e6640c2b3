//! `hotwork exec`: a command with a credential that ends when the command does.
//!
//! The broker attests the process that asks, which is this one; the command gets files, not an identity.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;

use tokio::process::{Child, Command};

use super::args::Exec;
use super::client::Context;
use super::credential;
use super::duration::now;
use super::failure::{Exit, Failure};
use super::files::Private;
use super::issue::{Holder, Minted, mint};
use super::signals::{self, Signals};
use super::text::clean;

/// The variables that this command sets. Those of an outer `exec` must not reach the command.
const VARIABLES: [&str; 5] = [
    "HOTWORK_CA_FILE",
    "HOTWORK_CERT_FILE",
    "HOTWORK_CREDENTIAL_ID",
    "HOTWORK_KEY_FILE",
    "HOTWORK_TOKEN_FILE",
];

/// Runs the command and gives its exit code.
///
/// # Errors
/// When there is no credential, or the command can't be started.
pub async fn run(context: &Context, args: &Exec, parents: &[Option<PathBuf>]) -> Result<u8, Failure> {
    // From here on no signal ends this process before the credential is given back.
    let mut signals = Signals::new().map_err(|error| own("signals", &error))?;
    let minted = tokio::select! {
        minted = ask(context, args) => minted?,
        signal = signals.next() => return Err(interrupted(signal)),
    };
    let id = minted.credential()?.id.clone();
    let ends = minted.credential()?.expire_time.map_or(i64::MAX, |time| time.seconds);
    let outcome = with_files(&minted, args, &mut signals, parents).await;
    drop(minted);
    if now() < ends {
        release(context, &id).await;
    }
    outcome
}

async fn ask(context: &Context, args: &Exec) -> Result<Minted, Failure> {
    let mut client = context.agent().await?;
    mint(context, &mut client, &args.action, &args.ask, Holder::Here).await
}

/// A new connection: the command may have run for hours, and the broker may have been started anew since.
async fn release(context: &Context, id: &str) {
    let released = match context.agent().await {
        Ok(mut client) => credential::give_back(context, &mut client, id).await.map(drop),
        Err(failure) => Err(failure),
    };
    match released {
        Ok(()) => {}
        // It has ended already: an operator was faster.
        Err(failure) if failure.exit == Exit::Conflict => {}
        Err(failure) => context.screen.note(&format!(
            "warning: credential {} was not released and ends by itself: {}",
            clean(id),
            failure.message
        )),
    }
}

async fn with_files(
    minted: &Minted,
    args: &Exec,
    signals: &mut Signals,
    parents: &[Option<PathBuf>],
) -> Result<u8, Failure> {
    let private = Private::new(parents)?;
    minted.write(private.folder())?;
    let child = start(minted, args, &private)?;
    let status = supervise(child, signals).await.map_err(|error| own("wait", &error))?;
    Ok(code(status))
}

fn start(minted: &Minted, args: &Exec, private: &Private) -> Result<Child, Failure> {
    let (program, rest) =
        args.command.split_first().ok_or_else(|| Failure::usage("no command after `--`"))?;
    let mut command = Command::new(program);
    command.args(rest);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command.env("HOTWORK_CREDENTIAL_ID", &minted.credential()?.id);
    for (name, _) in minted.files() {
        command.env(variable(name), private.folder().path_of(name));
    }
    command.spawn().map_err(|error| not_started(&program.to_string_lossy(), &error))
}

fn variable(file: &str) -> &'static str {
    match file {
        "ca.pem" => "HOTWORK_CA_FILE",
        "cert.pem" => "HOTWORK_CERT_FILE",
        "key.pem" => "HOTWORK_KEY_FILE",
        _ => "HOTWORK_TOKEN_FILE",
    }
}

async fn supervise(mut child: Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    loop {
        // The child is reaped in `wait` only, and its id is gone then: no signal can reach another process.
        let id = child.id();
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => {
                if !signals::child_has_it(signal) {
                    signals::send(id, signal);
                }
            }
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| 128_i32.saturating_add(signal));
    // An exit code has eight bits, and so has 128 plus any signal.
    status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::HotworkFailed.number())
}

fn not_started(program: &str, error: &io::Error) -> Failure {
    let program = clean(program);
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new(
            Exit::CommandNotFound,
            "command-not-found",
            format!("`{program}`: no such command"),
        )
        .hint("check its spelling and PATH");
    }
    Failure::new(
        Exit::CannotExecute,
        "command-not-executable",
        format!("cannot execute `{program}`: {error}"),
    )
    .hint("check that it is a program, with `ls -l` and `file`")
}

fn own(reason: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::HotworkFailed, reason, format!("cannot supervise the command: {error}"))
        .hint("check the limits of this session (`ulimit -a`)")
}

fn interrupted(signal: i32) -> Failure {
    let number = u8::try_from(signal).unwrap_or_default();
    Failure::new(Exit::Interrupted(number), "interrupted", "interrupted before the credential came")
        .hint("run it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_signals_pass_through() {
        for (raw, wanted) in [(0, 0), (7 << 8, 7), (255 << 8, 255), (9, 137), (15, 143)] {
            assert_eq!(code(ExitStatus::from_raw(raw)), wanted);
        }
    }

    #[test]
    fn a_command_that_is_not_there_differs_from_one_that_cannot_run() {
        assert_eq!(not_started("x", &io::ErrorKind::NotFound.into()).exit.number(), 127);
        assert_eq!(not_started("x", &io::ErrorKind::PermissionDenied.into()).exit.number(), 126);
    }
}
