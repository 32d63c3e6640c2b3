//! Makes the parts of a daemon, one function a part, and binds its listeners.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::api::server::Listeners;
use crate::attest::Attestation;
use crate::attest::unix::{Images, UnixAttestor};
use crate::attest::x509::X509Attestor;
use crate::broker::{About, Broker, Entropy as _, Fresh, Loader, Parts, SystemEntropy};
use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::domain::agent::Day;
use crate::domain::clock::Clock;
use crate::domain::emergency::{Cause, Emergency};
use crate::domain::registry_files::RegistryFiles;
use crate::domain::status_list::Allocator;
use crate::notify::Notifier;
use crate::notify::outbox::Outbox;
use crate::signer::certificate::CertificateProfile;
use crate::signer::common_name::NameForm;
use crate::signer::extension::OidArc;
use crate::signer::keystore::KeyStore;
use crate::signer::minter::Minter;
use crate::signer::sealed::Sealer;
use crate::signer::secret::Passphrase;
use crate::store::Ledger;

use super::Failure;
use super::edge::{self, BoundEdge};
use super::emergency::{self, Opened};
use super::registry::{self, Loaded};
use super::sockets::{self, Sockets};

/// The daemon's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A daemon that is ready to serve: its broker, and its bound listeners.
pub struct App {
    /// The use cases.
    pub broker: Arc<Broker>,
    /// The listeners, bound and not yet accepting.
    pub listeners: Listeners,
    /// Where they are.
    pub bound: Bound,
    /// The configuration.
    pub config: Config,
}

/// Where the listeners are.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The agent socket.
    pub agent: PathBuf,
    /// The admin socket.
    pub admin: PathBuf,
    /// Read-only HTTP.
    pub http: Option<SocketAddr>,
    /// Health and metrics.
    pub ops: Option<SocketAddr>,
    /// The TCP listeners with certificates.
    pub edge: BoundEdge,
    /// The socket for proxies.
    pub authz: Option<PathBuf>,
}

impl App {
    /// Makes the parts and binds the listeners. Nothing is bound before the ledger is verified, the rules
    /// are loaded and both are recorded. `broken` is what could not be had before.
    ///
    /// # Errors
    /// The first part that can't be made, in words for the operator.
    pub async fn build_on(
        config: Config,
        broken: Option<Cause>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let minter = minter(&config)?;
        let Opened { ledger, cause } = emergency::open(&config, &minter, &clock).await?;
        let places = places(&ledger)?;
        let loader = loader(&config);
        let Loaded { fresh, cause: unloadable, recorded } =
            registry::load(&config, &loader, &ledger, minter.verifier_key())?;
        let Fresh { rules, files } = fresh;
        let causes: Vec<Cause> = broken.into_iter().chain(unloadable).chain(cause).collect();
        let sealer =
            Sealer::new(config.state_dir.clone(), minter.log_signer(), minter.verifier_key().clone());
        let outbox = outbox(&config, &ledger, &clock)?;
        let broker = Arc::new(Broker::new(Parts {
            attestation: Attestation::new(vec![
                Box::new(unix_attestor(&config)),
                Box::new(X509Attestor::new(Arc::clone(&clock))),
            ]),
            clock,
            entropy: Arc::new(SystemEntropy::default()),
            ledger,
            loader,
            minter,
            notifier: Arc::clone(&outbox) as Arc<dyn Notifier>,
            outbox,
            rules,
            sealer,
            places,
            remind_every: Duration::from_secs(config.remind_every_seconds),
            key_publish_ahead: Duration::from_secs(config.publication.key_publish_ahead_seconds),
            about: About { dev: config.dev, version: VERSION },
            emergency: (!causes.is_empty()).then_some(Emergency { causes }),
        }));
        let rotated = broker.finish_rotation().await;
        emergency::tolerate(&broker, rotated.map_err(|error| Failure::caused("token keys", &error)))?;
        let dropped = broker.drop_ended_keys().await.map(drop);
        emergency::tolerate(&broker, dropped.map_err(|error| Failure::caused("token keys", &error)))?;
        record_start(&broker, files, recorded).await?;
        broker.finish_restrictions().await;
        let (listeners, bound) = listeners(&config, &broker).await?;
        Ok(Self { broker, listeners, bound, config })
    }
}

fn minter(config: &Config) -> Result<Minter, Failure> {
    let passphrase = passphrase(config.passphrase_file.as_deref())?;
    if passphrase.is_none() && !config.dev {
        tracing::warn!("the keys lie on disk unencrypted; `passphrase_file` encrypts them");
    }
    let keys = KeyStore::open(&config.state_dir, &config.trust_domain, passphrase.as_ref())
        .map_err(|error| Failure::caused("keys", &error).next("`hotworkd init` makes keys"))?;
    let profile = CertificateProfile {
        oid_arc: oid_arc(&config.oid_arc)?,
        common_name: NameForm::default(),
        crl_url: config.publication.crl_url.as_deref().map(Arc::from),
    };
    Ok(Minter::new(keys, config.issuer.clone(), profile))
}

fn oid_arc(arcs: &[u64]) -> Result<OidArc, Failure> {
    let text = arcs.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    text.parse().map_err(|error| Failure::usage(format!("oid_arc: {error}, got `{text}`")))
}

/// The passphrase in `file`: the whole of it but for one line break at the end.
///
/// # Errors
/// When the file can't be read, or holds no passphrase.
pub fn passphrase(file: Option<&Path>) -> Result<Option<Passphrase>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let failed = |why: String| Failure::new(format!("passphrase_file: {}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    Passphrase::new(bytes).map(Some).map_err(|error| failed(error.to_string()))
}

/// The outbox begins where the log ends: what this start records is told.
fn outbox(config: &Config, ledger: &Ledger, clock: &Arc<dyn Clock>) -> Result<Arc<Outbox>, Failure> {
    for destination in &config.notifiers {
        if let Err(problem) = destination.target.check() {
            tracing::error!(name = %destination.name, problem, "a notifier can't be told like this");
        }
    }
    let directory = config.state_dir.join("notify");
    // What this start took over from an emergency is news to everybody; so is what it records itself.
    let size = ledger.merged_from().unwrap_or(ledger.status().size.saturating_sub(1));
    let (clock, durable) = (Arc::clone(clock), !ledger.is_emergency());
    let trust_domain = config.trust_domain.clone();
    let opened = Outbox::open(&directory, config.notifiers.clone(), trust_domain, size, clock, durable);
    opened.map(Arc::new).map_err(|error| Failure::new(format!("{}: {error}", directory.display())))
}

fn unix_attestor(config: &Config) -> UnixAttestor {
    match &config.container_runtime {
        Some(socket) => UnixAttestor::with_images(Images::new(socket.clone())),
        None => UnixAttestor::new(),
    }
}

fn places(ledger: &Ledger) -> Result<Allocator, Failure> {
    let mut key = [0; 32];
    SystemEntropy::default().fill(&mut key).map_err(|error| Failure::new(error.to_string()))?;
    Ok(Allocator::new(key, ledger.status_lists()))
}

fn loader(config: &Config) -> Loader {
    let (directory, trust_domain, issuer) =
        (config.registry_dir.clone(), config.trust_domain.clone(), config.issuer.clone());
    let (notifiers, names) = (config.notifiers.clone(), config.edge.names());
    Arc::new(move || {
        let today = today().map_err(|failure| vec![failure.message])?;
        let loaded = config::registry::load(&directory, &trust_domain, &issuer, today);
        let loaded =
            loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let misfits = loaded.misfits(&notifiers, &names);
        if !misfits.is_empty() {
            let problem = |problem| format!("{problem}; what hotworkd.toml says is known after a restart");
            return Err(misfits.iter().map(problem).collect());
        }
        Ok(registry::fresh(loaded))
    })
}

/// Today, UTC.
///
/// # Errors
/// When the clock can't be trusted.
pub fn today() -> Result<Day, Failure> {
    let now = SystemClock::new().now().map_err(|error| Failure::new(error.to_string()))?;
    Ok(Day(now.seconds() / 86_400))
}

/// Puts the start's own entries into the log. `recorded` says that its last load is of these files.
async fn record_start(broker: &Broker, files: RegistryFiles, recorded: bool) -> Result<(), Failure> {
    let failed = |error| Failure::caused("ledger", &error);
    emergency::tolerate(broker, broker.record_emergency().await.map_err(failed))?;
    let loaded = broker.record_first_load(files).await;
    let loaded = loaded.map_err(|error| Failure::caused("first load", &error));
    // Attack: who edits the registry breaks something else, too, so that the edit is in force without a record.
    if recorded { emergency::tolerate(broker, loaded) } else { loaded }
}

async fn listeners(config: &Config, broker: &Arc<Broker>) -> Result<(Listeners, Bound), Failure> {
    // Without a network the sockets of this machine are left.
    let (network, bound_network) = match edge::bind(config, broker).await {
        Ok(bound) => bound,
        Err(failure) => {
            emergency::tolerate(broker, Err(failure))?;
            Default::default()
        }
    };
    let Sockets { agent, admin, authz, break_glass } = sockets::bind(config, broker)?;
    let listeners = Listeners {
        agent_tcp: network.agent,
        verifier_tcp: network.verifier,
        admin_tcp: network.admin,
        agent,
        admin,
        http: tcp(config.http, broker).await?,
        ops: tcp(config.ops, broker).await?,
        authz,
        break_glass,
    };
    let address = |listener: &Option<tokio::net::TcpListener>| {
        listener.as_ref().and_then(|listener| listener.local_addr().ok())
    };
    let bound = Bound {
        agent: config.agent_socket.path.clone(),
        admin: config.admin_socket.path.clone(),
        http: address(&listeners.http),
        ops: address(&listeners.ops),
        edge: bound_network,
        authz: config.authz_socket.as_ref().map(|own| own.path.clone()),
    };
    Ok((listeners, bound))
}

async fn tcp(
    address: Option<SocketAddr>,
    broker: &Broker,
) -> Result<Option<tokio::net::TcpListener>, Failure> {
    let Some(address) = address else { return Ok(None) };
    match tokio::net::TcpListener::bind(address).await {
        Ok(bound) => Ok(Some(bound)),
        Err(error) => {
            let failure = Failure::new(format!("can't listen on {address}: {error}"));
            emergency::tolerate(broker, Err(failure)).map(|()| None)
        }
    }
}
