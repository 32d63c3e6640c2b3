//! The `hotwork` command.
//!
//! A client of the wire contract: it speaks `proto` and shows what comes. It decides nothing, and it
//! knows neither policy nor store but for the offline check of a log. Data goes to standard output,
//! messages to standard error, and the exit codes are a contract ([`failure::Exit`]).

mod approval;
pub mod args;
mod audit;
mod audit_signatures;
mod audit_verify;
mod bench;
mod break_glass;
mod caller;
pub mod client;
mod consent;
mod credential;
pub mod duration;
mod endpoint;
mod enroll;
mod exec;
pub mod failure;
mod feed;
mod files;
mod holder;
mod inspect;
mod issue;
mod json;
mod lock;
mod notify;
mod operator;
pub mod output;
mod request;
mod revoke;
mod selector;
mod shell;
mod signals;
mod signing;
mod table;
mod text;
mod tls;
mod verify;
mod wait;
mod words;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use args::{Cli, Command, Format};
use client::Context;
use failure::{Exit, Failure};
use output::Screen;

use crate::proto::v1;

/// Runs the command of this process.
pub fn run() -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    let no_color =
        !crate::telemetry::wants_color(env::var_os("NO_COLOR").as_deref(), env::var_os("TERM").as_deref());
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return misread(&error, wants_json(&words), no_color),
    };
    let screen = Screen::new(cli.common.output, no_color);
    let context = Context {
        screen,
        endpoint: cli.common.endpoint,
        admin_endpoint: cli.common.admin_endpoint,
        verifier_endpoint: cli.common.verifier_endpoint,
        tls: tls::TlsFiles { cert: cli.common.tls_cert, key: cli.common.tls_key, ca: cli.common.tls_ca },
        timeout: cli.common.timeout,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(&context, &cli.command)),
        Err(error) => Err(Failure::new(Exit::Failed, "runtime", format!("cannot start: {error}"))
            .hint("check the limits of this session (`ulimit -a`)")),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            screen.fail(&failure);
            ExitCode::from(failure.exit.number())
        }
    }
}

async fn dispatch(context: &Context, command: &Command) -> Result<u8, Failure> {
    let done = match command {
        Command::Exec(args) => {
            let parents = ["XDG_RUNTIME_DIR", "TMPDIR"].map(|name| env::var_os(name).map(PathBuf::from));
            return exec::run(context, args, &parents).await.map_err(Failure::in_exec);
        }
        Command::Issue(args) => issue::run(context, args).await,
        Command::Whoami => caller::whoami(context).await,
        Command::Actions => caller::actions(context).await,
        Command::Credential(command) => credential::run(context, command).await,
        Command::Agent(command) => operator::agent(context, command).await,
        Command::Api(args::operator::Api::List) => operator::apis(context).await,
        Command::Operator(command) => enroll::run(context, v1::EnrolledAs::Operator, command).await,
        Command::Verifier(command) => enroll::run(context, v1::EnrolledAs::Verifier, command).await,
        Command::Request(command) => approval::run(context, command).await,
        Command::Revoke(args) => return revoke::run(context, args).await,
        Command::Lock(args) => lock::run(context, args).await,
        Command::BreakGlass(command) => break_glass::run(context, command).await,
        Command::Feed => feed::show(context).await,
        Command::Explain(args) => operator::explain(context, args).await,
        Command::Audit(command) => audit::run(context, command).await,
        Command::Notify(command) => return notify::run(context, command).await,
        Command::Bench(args) => bench::run(context, args).await,
        Command::Reload => operator::reload(context).await,
        Command::Keys { command } => operator::keys(context, command.as_ref()).await,
        Command::Status(args) => operator::status(context, args).await,
        Command::Completion { shell } => shell::completion(&context.screen, *shell),
        Command::Man { dir } => shell::man(&context.screen, dir.as_deref()),
    };
    done.map(|()| 0)
}

/// A command line that is wrong, or that asks for help.
fn misread(error: &clap::Error, json: bool, no_color: bool) -> ExitCode {
    let wrong = error.exit_code() != 0;
    if wrong && json {
        let text = error.to_string();
        let message = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
        Screen::new(Format::Json, no_color).fail(&Failure::usage(message));
    } else {
        // Nobody is left to tell when the stream is closed.
        let _ = error.print();
    }
    let missing = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    ExitCode::from(if wrong || missing { Exit::Usage.number() } else { 0 })
}

/// Whether a command line that can't be parsed asks for JSON.
fn wants_json(words: &[OsString]) -> bool {
    let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).take_while(|word| *word != "--").collect();
    let joined =
        words.iter().any(|word| ["-ojson", "-o=json", "--output=json"].iter().any(|form| word == form));
    joined
        || words.windows(2).any(|pair| matches!(pair, [flag, value] if is_output(flag) && *value == "json"))
}

fn is_output(flag: &OsStr) -> bool {
    flag == "-o" || flag == "--output"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_command_line_still_says_whether_it_wants_json() {
        let wants = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "hotwork -o json issue",
            "hotwork issue --output=json",
            "hotwork -ojson",
            "hotwork --output json",
        ] {
            assert!(wants(line), "{line}");
        }
        for line in ["hotwork issue", "hotwork -o yaml", "hotwork exec -- cmd -o json"] {
            assert!(!wants(line), "{line}");
        }
    }
}
