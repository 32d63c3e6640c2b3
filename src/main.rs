//! The daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    // `hotworkd dev` links its own binary as `hotwork`, for a clone in which only the daemon was built.
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    if name.as_deref().and_then(std::path::Path::file_name) == Some("hotwork".as_ref()) {
        return hotwork::cli::run();
    }
    hotwork::app::main()
}
