//! Wiring: the only place that names concrete parts.
//!
//! [`build::App::build_on`] makes the parts and binds the listeners, so that a test can start the real
//! daemon on port 0; [`serve::run`] serves until it is told to stop. Each subcommand is one file.

pub mod args;
pub mod build;
mod check;
mod descriptors;
mod dev;
mod edge;
mod emergency;
mod environment;
mod init;
mod last_good;
mod registry;
pub mod serve;
mod signals;
mod sockets;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::domain::wording::causes;
use args::{Arguments, Command};

/// Why the daemon ends with an error: the text for the person at the terminal, and the exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// It could not be done: exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// As [`Self::new`], with what an error says and its causes.
    pub fn caused(what: &str, error: &dyn std::error::Error) -> Self {
        Self::new(format!("{what}: {}", causes(error)))
    }

    /// With what to do next, on a line of its own.
    pub fn next(mut self, next: &str) -> Self {
        self.message = format!("{}\nnext: {next}", self.message);
        self
    }

    /// The arguments can't be right: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

/// `hotworkd`.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Completion { shell } => completion(shell),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Serve { config, state_dir, accept_clock } => {
            serve::run_file(&config, &state_dir, accept_clock)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say_error(&format!("hotworkd: {}", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

fn completion(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut command = <Arguments as clap::CommandFactory>::command();
    clap_complete::generate(shell, &mut command, "hotworkd", &mut std::io::stdout());
    Ok(())
}

/// One line of data to standard output. A closed pipe is the reader's choice, not our failure.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// One line to the person at the terminal.
fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
