//! The command of agents, operators and responders.

use std::process::ExitCode;

fn main() -> ExitCode {
    hotwork::cli::run()
}
