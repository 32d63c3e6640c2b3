//! Loads the registry: a directory of declarations to one checked value, or to every problem there is.

mod agents;
mod apis;
mod cross;
mod files;
mod operators;
mod playbooks;
mod routes;

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::agent::{AgentEntry, Day};
use crate::domain::catalogue::Api;
use crate::domain::name::{HostName, Issuer, NotifierName, TrustDomain};
use crate::domain::operator::Operator;
use crate::domain::playbook::Playbook;
use crate::domain::registry::{Parts, Registry};
use crate::domain::registry_files::RegistryFiles;
use crate::notify::destination::Destination;
use crate::policy::{Policies, Source};
use crate::signer::svid::ServerName;

use super::problem::{Gathered, Place, Problem, Problems, Severity};
use super::raw::{Document, Table};
use files::{Files, Text};

/// A registry with its policies, and what a person should look at.
#[derive(Debug)]
pub struct Loaded {
    /// Agents, APIs, operators and playbooks.
    pub registry: Registry,
    /// The policies, checked against them.
    pub policies: Policies,
    /// Problems that do not stop the load.
    pub warnings: Vec<Problem>,
    /// What it was loaded from.
    pub files: RegistryFiles,
    /// Whom playbooks name to be told, and where.
    named: Vec<(NotifierName, Place)>,
    /// What clients know agents by, and where that is said.
    servers: Vec<(HostName, Place)>,
}

impl Loaded {
    /// What is wrong with whom playbooks name to be told, given those that there are. Destinations are the daemon's, so
    /// a registry alone has no such problem.
    pub fn untold(&self, known: &[Destination]) -> Vec<Problem> {
        let known = |name: &NotifierName| known.iter().any(|destination| destination.name == *name);
        let unknown = self.named.iter().filter(|(name, _)| !known(name));
        let message = |name| format!("no [[notify]] of hotworkd.toml has this name: `{name}`");
        unknown.map(|(name, place)| error(place, message(name))).collect()
    }

    /// Agents that clients would take for this broker, given the names that clients know our own listeners by: whoever has
    /// such an agent's certificate could answer in our place.
    pub fn impostors(&self, own: &[ServerName]) -> Vec<Problem> {
        let is_ours = |name: &HostName| own.iter().any(|own| own.to_string() == name.as_str());
        let found = self.servers.iter().filter(|(name, _)| is_ours(name));
        let message = |name| {
            format!(
                "a listener of this broker has this name, and the agent could answer in its place: `{name}`"
            )
        };
        found.map(|(name, place)| error(place, message(name))).collect()
    }

    /// Both: what only the daemon's own file tells to be wrong.
    pub fn misfits(&self, known: &[Destination], own: &[ServerName]) -> Vec<Problem> {
        self.untold(known).into_iter().chain(self.impostors(own)).collect()
    }
}

fn error(place: &Place, message: String) -> Problem {
    Problem {
        file: place.file.clone(),
        line: place.line,
        column: place.column,
        key: place.key.clone(),
        message,
        severity: Severity::Error,
    }
}

/// Something declared, and where: the place of its name first, then of other keys that matter elsewhere.
struct Declared<T> {
    item: T,
    place: Place,
    others: Vec<Place>,
}

impl<T> Declared<T> {
    /// The place of `key`, or of the name.
    fn at(&self, key: &str) -> Place {
        self.others.iter().find(|place| place.key == key).unwrap_or(&self.place).clone()
    }
}

/// Loads `apis/*.toml`, `agents/*.toml`, `operators.toml`, `playbooks/*.toml` and `policies/*.cedar` of `dir`. `today` tells which
/// reviews are overdue. The registry's digest is that of the files' names and contents.
///
/// # Errors
/// With every problem of every file, when one of them is an error.
pub fn load(dir: &Path, trust_domain: &TrustDomain, issuer: &Issuer, today: Day) -> Result<Loaded, Problems> {
    let gathered = Gathered::default();
    let files = Files::read(dir, &gathered);
    checked(files, dir, trust_domain, issuer, today, gathered)
}

/// As [`load`], from texts by the names of their files, such as `apis/demo.toml`.
///
/// # Errors
/// With every problem of every text, when one of them is an error.
pub fn parse(
    texts: BTreeMap<String, String>,
    trust_domain: &TrustDomain,
    issuer: &Issuer,
    today: Day,
) -> Result<Loaded, Problems> {
    checked(Files::of(texts), Path::new(""), trust_domain, issuer, today, Gathered::default())
}

/// As [`load`], of a sealed copy: what the log says was loaded last.
///
/// # Errors
/// With every problem. A copy of a good load has none, unless another version of this program made it.
pub fn load_sealed(
    sealed: &RegistryFiles,
    trust_domain: &TrustDomain,
    issuer: &Issuer,
    today: Day,
) -> Result<Loaded, Problems> {
    let texts = sealed.0.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
    parse(texts, trust_domain, issuer, today)
}

fn checked(
    files: Files,
    dir: &Path,
    trust_domain: &TrustDomain,
    issuer: &Issuer,
    today: Day,
    gathered: Gathered,
) -> Result<Loaded, Problems> {
    let apis = each(&files.apis, &gathered, apis::read);
    let agents = each(&files.agents, &gathered, agents::read);
    let operators: Vec<Declared<Operator>> =
        each(&files.operators, &gathered, operators::read).into_iter().flatten().collect();
    let playbooks: Vec<Declared<Playbook>> =
        each(&files.playbooks, &gathered, |table| playbooks::read(table, trust_domain));
    playbooks::check(&playbooks, &apis, &agents, &operators, dir, &gathered);
    cross::check(&apis, &agents, &operators, &playbooks, dir, today, &gathered);
    let named = playbooks.iter().flat_map(|book| {
        let place = book.at("notify");
        book.item.notify.iter().map(move |name| (name.clone(), place.clone()))
    });
    let named = named.collect();
    let servers = agents.iter().flat_map(|agent: &Declared<AgentEntry>| {
        let place = agent.at("server_names");
        let names = agent.item.identity.iter().flat_map(|identity| &identity.names);
        names.map(move |name| (name.clone(), place.clone()))
    });
    let servers = servers.collect();
    let registry = Registry::new(Parts {
        trust_domain: trust_domain.clone(),
        issuer: issuer.clone(),
        digest: files.digest(),
        agents: agents.into_iter().map(|declared: Declared<AgentEntry>| declared.item).collect(),
        apis: apis.into_iter().map(|declared: Declared<Api>| declared.item).collect(),
        operators: operators.into_iter().map(|declared| declared.item).collect(),
        playbooks: playbooks.into_iter().map(|declared| declared.item).collect(),
    });
    // Policies are checked against what could be read, so that their problems show with the others.
    let sealable = files.sealable();
    let (policies, problems) = Policies::load(&sources(files.policies), &registry);
    for problem in problems {
        gathered.add(problem.into());
    }
    let warnings = gathered.finish()?;
    // Without a problem there are policies; a load that says nothing and gives nothing is refused all the same.
    let policies = policies.ok_or_else(|| Problems::from(warnings.clone()))?;
    Ok(Loaded { registry, policies, warnings, files: sealable, named, servers })
}

/// Reads each file as a table with `read`, which reports what is wrong with it.
fn each<T>(texts: &[Text], gathered: &Gathered, read: impl for<'a> Fn(Table<'a>) -> Option<T>) -> Vec<T> {
    let one = |file: &Text| {
        let document = Document { file: &file.path, text: &file.text, gathered };
        let parsed = document.parse();
        read(Table::root(document, &parsed))
    };
    texts.iter().filter_map(one).collect()
}

fn sources(texts: Vec<Text>) -> Vec<Source> {
    let stem =
        |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    texts
        .into_iter()
        .map(|file| Source { name: stem(&file.path), path: file.path, text: file.text })
        .collect()
}

#[cfg(test)]
mod tests;
