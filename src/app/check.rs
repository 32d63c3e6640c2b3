//! `hotworkd check`: every problem of configuration and registry at once.

use std::path::{Path, PathBuf};

use crate::config::registry::Loaded;
use crate::config::{self, Config, Problems};
use crate::domain::name::{Issuer, TrustDomain};
use crate::domain::wording::counted;
use crate::notify::destination::Destination;
use crate::signer::svid::ServerName;

use super::args::Check;
use super::{Failure, build, say};

/// Checks and reports. Problems go to standard output, one a line; the exit code says whether there are any.
pub fn run(arguments: &Check) -> Result<(), Failure> {
    let subject = subject(&arguments.config)?;
    let today = build::today()?;
    let loaded = config::registry::load(&subject.registry, &subject.trust_domain, &subject.issuer, today)
        .map_err(|problems| report(&problems))?;
    loaded.warnings.iter().for_each(|warning| say(&warning.to_string()));
    check_notifiers(&subject)?;
    check_fit(&subject, &loaded)?;
    if arguments.strict && !loaded.warnings.is_empty() {
        return Err(Failure::new(format!(
            "{}, and --strict",
            counted(loaded.warnings.len(), "warning", "warnings")
        )));
    }
    say(&format!(
        "ok: {}, {}, {}, {}, {}",
        counted(loaded.registry.agents().len(), "agent", "agents"),
        counted(loaded.registry.apis().len(), "API", "APIs"),
        counted(loaded.registry.operators().len(), "operator", "operators"),
        counted(loaded.policies.len(), "policy", "policies"),
        counted(loaded.warnings.len(), "warning", "warnings"),
    ));
    Ok(())
}

struct Subject {
    registry: PathBuf,
    trust_domain: TrustDomain,
    issuer: Issuer,
    /// The daemon's file, when there is one, and who it says is told.
    notifiers: Option<(PathBuf, Vec<Destination>)>,
    /// What clients know the daemon's listeners by.
    names: Vec<ServerName>,
}

/// Looks at the files that notices need: secrets, programs, roots. A secret that others can read is found here,
/// and not in an incident.
fn check_notifiers(subject: &Subject) -> Result<(), Failure> {
    let Some((file, destinations)) = &subject.notifiers else { return Ok(()) };
    let mut bad = 0_usize;
    for (at, destination) in destinations.iter().enumerate() {
        if let Err(problem) = destination.target.check() {
            bad += 1;
            say(&format!("{}: notify[{at}] `{}`: {problem}", file.display(), destination.name));
        }
    }
    if bad == 0 { Ok(()) } else { Err(Failure::new(counted(bad, "problem", "problems").to_string())) }
}

/// Whom playbooks name must be there, and no agent has a name of ours; a registry without the daemon's file can't tell.
fn check_fit(subject: &Subject, loaded: &Loaded) -> Result<(), Failure> {
    let Some((_, destinations)) = &subject.notifiers else { return Ok(()) };
    let misfits = loaded.misfits(destinations, &subject.names);
    if misfits.is_empty() { Ok(()) } else { Err(report(&Problems::from(misfits))) }
}

/// A file is the daemon's configuration, which names its registry. A directory is a registry, with the
/// daemon's configuration in it or not.
fn subject(path: &Path) -> Result<Subject, Failure> {
    let file = if path.is_dir() { path.join("hotworkd.toml") } else { path.to_owned() };
    if path.is_dir() && !file.exists() {
        let bad = |error| Failure::new(format!("{error}"));
        let (trust_domain, issuer) =
            ("example.org".parse().map_err(bad)?, "https://hotwork.example.org".parse().map_err(bad)?);
        let (notifiers, names) = (None, Vec::new());
        return Ok(Subject { registry: path.to_owned(), trust_domain, issuer, notifiers, names });
    }
    let config = Config::load(&file).map_err(|problems| report(&problems))?;
    let registry = if path.is_dir() { path.to_owned() } else { config.registry_dir };
    let (notifiers, names) = (Some((file, config.notifiers)), config.edge.names());
    Ok(Subject { registry, trust_domain: config.trust_domain, issuer: config.issuer, notifiers, names })
}

fn report(problems: &Problems) -> Failure {
    say(&problems.to_string());
    Failure::new(counted(problems.len(), "problem", "problems").to_string())
}
