//! Completions and manual pages.

use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::args::Cli;
use super::failure::Failure;
use super::output::Screen;

/// Prints the completion script of `shell`.
///
/// # Errors
/// When standard output can't be written.
pub fn completion(screen: &Screen, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hotwork", &mut script);
    screen.data(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, or writes all of them to `dir`.
///
/// # Errors
/// When they can't be written.
pub fn man(screen: &Screen, dir: Option<&Path>) -> Result<(), Failure> {
    if let Some(dir) = dir {
        let written = clap_mangen::generate_to(Cli::command(), dir);
        return written.map_err(|error| Failure::file("write the manual to", dir, &error));
    }
    let mut page = Vec::new();
    let rendered: io::Result<()> = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.map_err(|error| Failure::output(&error))?;
    screen.data(&String::from_utf8_lossy(&page))
}
