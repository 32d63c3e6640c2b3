//! `hotworkd check`: every problem of configuration and registry at once.

use crate::config::{self, Config};

use super::args::Check;
use super::{Failure, build, say};

/// Checks and reports. Problems go to standard output, one a line; the exit code says whether there are any.
pub fn run(arguments: &Check) -> Result<(), Failure> {
    let file = arguments.config.join("hotworkd.toml");
    let config = match Config::load(&file) {
        Ok(config) => config,
        Err(problems) => return Err(report(&problems.to_vec(), 0)),
    };
    match config::registry::load(
        &arguments.config,
        &config.trust_domain,
        &config.issuer,
        build::today()?,
    ) {
        Err(problems) => Err(report(&problems.to_vec(), 0)),
        Ok(loaded) if arguments.strict && !loaded.warnings.is_empty() => Err(report(&[], loaded.warnings.len())),
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| say(&warning.to_string()));
            say(&format!(
                "ok: {} agents, {} APIs, {} policies, {} warnings",
                loaded.registry.agents().len(),
                loaded.registry.apis().len(),
                loaded.policies.len(),
                loaded.warnings.len()
            ));
            Ok(())
        }
    }
}
