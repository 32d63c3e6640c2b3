//! The TCP listeners with certificates, and whose certificates are believed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::api::tls::{BundleFile, Settings};
use crate::domain::limits::{
    SERVER_NAMES_MAX, TLS_CONNECTION_SECONDS_DEFAULT, TLS_CONNECTION_SECONDS_MAX, TRUST_BUNDLES_MAX,
};
use crate::domain::name::TrustDomain;
use crate::signer::svid::ServerName;

use super::check::Listen;
use super::forms::{AbsolutePath, Seconds};
use super::raw::Table;

/// The network edge. All of it is off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Where agents with certificates ask. `None` is off.
    pub agent: Option<TlsListen>,
    /// Where verifiers ask.
    pub verifier: Option<TlsListen>,
    /// Where operators with certificates call.
    pub admin: Option<TlsListen>,
    /// Whose workloads are believed.
    pub bundles: Vec<BundleFile>,
}

impl Edge {
    /// The names that clients know our listeners by, as far as we make their certificates.
    pub fn names(&self) -> Vec<ServerName> {
        let listeners = [&self.agent, &self.verifier, &self.admin].into_iter().flatten();
        let names = listeners.filter_map(|listener| match &listener.certificate {
            ServerCertificate::Files { .. } => None,
            ServerCertificate::Minted(names) => Some(names.iter().cloned()),
        });
        names.flatten().collect()
    }
}

/// One TCP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsListen {
    /// The address.
    pub listen: SocketAddr,
    /// Versions and age.
    pub settings: Settings,
    /// Where its certificate comes from.
    pub certificate: ServerCertificate,
}

/// Where a listener's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerCertificate {
    /// Files in PEM.
    Files {
        /// The chain, leaf first.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Our own identity CA, for these names.
    Minted(Vec<ServerName>),
}

/// Reads the sections. `own` is our trust domain, when that is right.
pub(super) fn read(table: &Table<'_>, own: Option<&TrustDomain>) -> Option<Edge> {
    let agent = listener(table, "agent_tcp");
    let verifier = listener(table, "verifier_tcp");
    let admin = listener(table, "admin_tcp");
    let bundles = bundles(table, own);
    if let (Some(Some(_)), Some([])) = (&agent, bundles.as_deref()) {
        table.error("agent_tcp", "no [[trust_bundle]]: no certificate would be believed here");
    }
    Some(Edge { agent: agent?, verifier: verifier?, admin: admin?, bundles: bundles? })
}

fn listener(table: &Table<'_>, key: &'static str) -> Option<Option<TlsListen>> {
    let section = table.table(key)?;
    let listen = section.or("listen", Listen(None));
    let tls12 = section.flag("tls12", false);
    let max_age = section.or("max_age", Seconds(TLS_CONNECTION_SECONDS_DEFAULT));
    if max_age.is_some_and(|Seconds(age)| !(60..=TLS_CONNECTION_SECONDS_MAX).contains(&age)) {
        section.error("max_age", "expected 1m to 24h");
    }
    let certificate = certificate(&section, matches!(listen, Some(Listen(Some(_)))));
    section.done();
    let Listen(listen) = listen?;
    let settings = Settings { tls12: tls12?, max_age: Duration::from_secs(max_age?.0) };
    let certificate = certificate?;
    Some(listen.map(|listen| TlsListen { listen, settings, certificate }))
}

fn certificate(section: &Table<'_>, on: bool) -> Option<ServerCertificate> {
    let names: Option<Vec<ServerName>> = section.list("server_names");
    let chain = section.optional::<AbsolutePath>("certificate_file");
    let key = section.optional::<AbsolutePath>("key_file");
    let (names, chain, key) = (names?, chain?, key?);
    match (chain, key) {
        (Some(AbsolutePath(chain)), Some(AbsolutePath(key))) => Some(ServerCertificate::Files { chain, key }),
        (None, None) => {
            if on && names.is_empty() {
                let what = "empty: clients would know no name of ours; give the DNS names or addresses that \
                            they use, or certificate_file and key_file";
                section.error("server_names", what);
            }
            if names.len() > SERVER_NAMES_MAX {
                section.error("server_names", format!("expected at most {SERVER_NAMES_MAX} names"));
            }
            Some(ServerCertificate::Minted(names))
        }
        (Some(_), None) => {
            section.error("key_file", "missing; certificate_file needs it");
            None
        }
        (None, Some(_)) => {
            section.error("certificate_file", "missing; key_file needs it");
            None
        }
    }
}

fn bundles(table: &Table<'_>, own: Option<&TrustDomain>) -> Option<Vec<BundleFile>> {
    let sections = table.tables("trust_bundle");
    if sections.len() > TRUST_BUNDLES_MAX {
        table.error("trust_bundle", format!("expected at most {TRUST_BUNDLES_MAX} bundles"));
    }
    let mut bundles: Vec<BundleFile> = Vec::new();
    let mut bad = false;
    for section in sections {
        let trust_domain: Option<TrustDomain> = section.required("trust_domain");
        let file = section.required::<AbsolutePath>("file");
        if trust_domain.is_some() && trust_domain.as_ref() == own {
            let what = "our own trust domain: what this broker issues is no evidence for it";
            section.error("trust_domain", what);
        }
        if bundles.iter().any(|known| Some(&known.trust_domain) == trust_domain.as_ref()) {
            section.error("trust_domain", "a second bundle of this trust domain; put the roots in one file");
        }
        section.done();
        match (trust_domain, file) {
            (Some(trust_domain), Some(AbsolutePath(file))) => bundles.push(BundleFile { trust_domain, file }),
            (None, _) | (_, None) => bad = true,
        }
    }
    (!bad).then_some(bundles)
}
