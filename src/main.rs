//! The daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    hotwork::app::main()
}
