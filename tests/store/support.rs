//! A log key, records and a directory for the tests.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotwork::clock::ManualClock;
use hotwork::domain::catalogue::Tier;
use hotwork::domain::credential::{Idempotency, Issuance, Kind};
use hotwork::domain::digest::Digest;
use hotwork::domain::entry::Call;
use hotwork::domain::evidence::Selector as Fact;
use hotwork::domain::id::{CredentialId, Lineage};
use hotwork::domain::ledger::{Command, Target};
use hotwork::domain::name::AgentId;
use hotwork::domain::request::Confirmation;
use hotwork::domain::revocation::{Revocation, Selector};
use hotwork::domain::signer::{Algorithm, Signer, SigningFailed};
use hotwork::domain::time::Timestamp;
use hotwork::store::{Ledger, LedgerError, OpenError, Options, Recorded};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

pub const ORIGIN: &str = "example.org/log";
pub const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

pub struct LogKey(Ed25519KeyPair);

impl LogKey {
    pub fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }
}

impl Signer for LogKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn kid(&self) -> &str {
        "log"
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START))
}

pub fn options(directory: &Path, clock: &Arc<ManualClock>) -> Options {
    let clock = Arc::clone(clock);
    Options::new(directory.to_owned(), ORIGIN.to_owned(), Arc::new(LogKey::new(7)), clock)
}

pub fn open(directory: &Path, clock: &Arc<ManualClock>) -> Ledger {
    unlocked(|| Ledger::open(options(directory, clock))).unwrap()
}

/// Opens once nobody has the lock: a child that another test is starting has it, too, until it is another program.
pub fn unlocked(open: impl Fn() -> Result<Ledger, OpenError>) -> Result<Ledger, OpenError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match open() {
            Err(OpenError::Locked(_)) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

pub fn agent(name: &str) -> AgentId {
    format!("spiffe://example.org/tenant/acme/agent/{name}").parse().unwrap()
}

pub fn id(at: Timestamp, number: u64) -> CredentialId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    CredentialId::new(at, &random)
}

pub fn issuance(at: Timestamp, number: u64, name: &str) -> Issuance {
    Issuance {
        action: "demo.read".parse().unwrap(),
        agent: agent(name),
        approval: None,
        args: None,
        attested: vec![Fact::new("unix.uid", "1000").unwrap()],
        audience: "https://demo.example".parse().unwrap(),
        cnf: Confirmation::default(),
        content: Digest::of(&number.to_be_bytes()),
        drill: false,
        evidence: Digest::of(b"evidence"),
        expires: Timestamp::from_seconds(at.seconds() + 120),
        id: id(at, number),
        idempotency: None,
        issued: at,
        key: Some("key-1".into()),
        kind: Kind::Token,
        lineage: Lineage::new(at, &[3; 10]),
        max_calls: None,
        owner: Some("team a".into()),
        parameters: Vec::new(),
        policies: vec!["demo#0".parse().unwrap()],
        principal: agent(name).as_str().into(),
        purpose: None,
        registry: Digest::of(b"registry"),
        resource: "demo/hello".parse().unwrap(),
        serial: None,
        single_use: false,
        status: None,
        tier: Tier::Auto,
    }
}

pub fn issue(at: Timestamp, number: u64, name: &str) -> Command {
    Command::Issue(Box::new(issuance(at, number, name)))
}

/// What a viewer's call leaves in the log.
pub fn call() -> Command {
    Command::Call(Call {
        allowed: true,
        operator: "alice".parse().unwrap(),
        reason: None,
        rpc: "hotwork.v1.AdminService/ListAgents".into(),
        statement: None,
    })
}

pub fn issue_with_key(at: Timestamp, number: u64, name: &str, key: &[u8], request: &[u8]) -> Command {
    let mut issuance = issuance(at, number, name);
    issuance.idempotency = Some(Idempotency { key: Digest::of(key), request: Digest::of(request) });
    Command::Issue(Box::new(issuance))
}

pub fn revocation(selector: Selector) -> Revocation {
    Revocation {
        for_good: false,
        issued_before: None,
        live: None,
        lock: None,
        operator: "olga".parse().unwrap(),
        reason: "incident 7".parse().unwrap(),
        selector,
        tenants: Vec::new(),
    }
}

pub fn revoke(selector: Selector) -> Command {
    Command::Revoke { revocation: revocation(selector), target: None }
}

pub fn revoke_one(issuance: &Issuance) -> Command {
    let target = Target { agent: issuance.agent.clone(), issued: issuance.issued, expires: issuance.expires };
    Command::Revoke { revocation: revocation(Selector::Credential(issuance.id)), target: Some(target) }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub fn submit(ledger: &Ledger, command: Command) -> Result<Recorded, LedgerError> {
    block_on(ledger.submit(command))
}
