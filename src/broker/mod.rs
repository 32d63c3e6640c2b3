//! The use cases, named by verbs. This floor knows the rooms below by their doors and no wire format.
//!
//! [`Broker`] holds the parts; each use case is one file with one `impl Broker` block.

pub mod announce;
pub mod approve;
mod attest;
pub mod break_glass;
pub mod consume;
pub mod decide;
pub mod emergency;
pub mod enroll;
mod entropy;
pub mod explain;
pub mod identity;
mod insist;
pub mod introspect;
pub mod inventory;
pub mod issue;
pub mod limit;
pub mod lock;
pub mod operate;
pub mod publish;
mod record;
pub mod release;
pub mod reload;
mod remember;
mod remind;
pub mod revoke;
pub mod rotate;
mod seal;
pub mod standing;
pub mod sweep;
pub mod underway;
pub mod verifiers;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::attest::Attestation;
use crate::domain::clock::Clock;
use crate::domain::credential::Credential;
use crate::domain::digest::Digest;
use crate::domain::emergency::Emergency;
use crate::domain::id::{ApprovalId, CredentialId};
use crate::domain::limits::{APPROVALS_MAX, RECORDS_REMEMBERED_MAX};
use crate::domain::memory::Memory;
use crate::domain::registry::Registry;
use crate::domain::registry_files::RegistryFiles;
use crate::domain::request::Justification;
use crate::domain::status_list::Allocator;
use crate::notify::Notifier;
use crate::notify::outbox::Outbox;
use crate::policy::Policies;
use crate::signer::minter::Minter;
use crate::signer::sealed::Sealer;
use crate::store::Ledger;

pub use entropy::{Entropy, EntropyFailed, SystemEntropy};
pub use issue::{IssueError, Issued};
pub use reload::{LoadFailed, Loader};
pub use seal::SealError;

/// What requests are decided on, swapped as a whole: registry and policies that were loaded together.
#[derive(Debug)]
pub struct Rules {
    /// Agents, APIs and operators.
    pub registry: Registry,
    /// What is permitted.
    pub policies: Policies,
    /// What the load warned of, each with file, line and key.
    pub warnings: Vec<String>,
}

/// What a load gives.
#[derive(Debug)]
pub struct Fresh {
    /// What requests are to be decided on.
    pub rules: Rules,
    /// What it was loaded from, to be sealed.
    pub files: RegistryFiles,
}

/// The parts that a broker is made of.
pub struct Parts {
    /// Who is asking.
    pub attestation: Attestation,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and serial numbers.
    pub entropy: Arc<dyn Entropy>,
    /// The record.
    pub ledger: Ledger,
    /// Reads registry and policies anew.
    pub loader: Loader,
    /// What credentials are made with.
    pub minter: Minter,
    /// Who is told at once.
    pub notifier: Arc<dyn Notifier>,
    /// Who is told of what the log says.
    pub outbox: Arc<Outbox>,
    /// The rules in force at the start.
    pub rules: Rules,
    /// Keeps a copy of what was loaded last.
    pub sealer: Sealer,
    /// Places in status lists.
    pub places: Allocator,
    /// How long a new token key is published before it signs.
    pub key_publish_ahead: Duration,
    /// How often an open break-glass session is told of again.
    pub remind_every: Duration,
    /// Facts for `status`.
    pub about: About,
    /// What could not be had at the start, when that is so.
    pub emergency: Option<Emergency>,
}

/// Facts about this daemon.
#[derive(Clone, Debug)]
pub struct About {
    /// Whether this is `hotworkd dev`.
    pub dev: bool,
    /// The daemon's version.
    pub version: &'static str,
}

/// The broker: one value behind an `Arc`, shared by all edges.
pub struct Broker {
    attestation: Attestation,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    ledger: Ledger,
    limits: limit::Limits,
    loader: Loader,
    minter: Minter,
    notifier: Arc<dyn Notifier>,
    outbox: Arc<Outbox>,
    rules: ArcSwap<Rules>,
    sealer: Sealer,
    about: About,
    emergency: ArcSwapOption<Emergency>,
    places: Allocator,
    publisher: publish::Publisher,
    key_publish_ahead: Duration,
    remind_every: Duration,
    rotating: tokio::sync::Mutex<()>,
    records: Memory<CredentialId, Credential>,
    shown: Memory<Digest, (CredentialId, Digest)>,
    /// What agents said of their requests for approval. It is lost at a restart, and there again when they repeat
    /// it: the log has the digest.
    words: Memory<ApprovalId, Justification>,
    reloading: tokio::sync::Mutex<()>,
    restricting: break_glass::OneAtATime,
    underway: underway::Underway,
    verifiers: Arc<verifiers::Verifiers>,
}

impl Broker {
    /// A broker of these parts.
    pub fn new(parts: Parts) -> Self {
        let publisher = publish::Publisher::new(parts.ledger.status().size);
        let mut numbers = [0; 4];
        // Without randomness nothing is minted, and numbers that begin at 0 are no harm.
        let _random = parts.entropy.fill(&mut numbers);
        let enrolled = parts.ledger.enrollments().verifiers();
        let verifiers = Arc::new(verifiers::Verifiers::new(enrolled, u32::from_le_bytes(numbers)));
        Self {
            attestation: parts.attestation,
            clock: parts.clock,
            entropy: parts.entropy,
            ledger: parts.ledger,
            limits: limit::Limits::default(),
            loader: parts.loader,
            minter: parts.minter,
            notifier: parts.notifier,
            outbox: parts.outbox,
            rules: ArcSwap::from_pointee(parts.rules),
            sealer: parts.sealer,
            about: parts.about,
            emergency: ArcSwapOption::from_pointee(parts.emergency),
            places: parts.places,
            publisher,
            key_publish_ahead: parts.key_publish_ahead,
            remind_every: parts.remind_every,
            rotating: tokio::sync::Mutex::new(()),
            records: Memory::new(RECORDS_REMEMBERED_MAX),
            shown: Memory::new(RECORDS_REMEMBERED_MAX),
            words: Memory::new(APPROVALS_MAX),
            reloading: tokio::sync::Mutex::new(()),
            restricting: break_glass::OneAtATime::default(),
            underway: underway::Underway::default(),
            verifiers,
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// The ledger.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Who follows the revocations.
    pub const fn verifiers(&self) -> &Arc<verifiers::Verifiers> {
        &self.verifiers
    }

    /// What credentials are made with, for the public parts.
    pub const fn minter(&self) -> &Minter {
        &self.minter
    }
}
