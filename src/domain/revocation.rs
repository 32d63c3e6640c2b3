//! Revocation: what ended credentials that exist. Broad ones are watermarks, checked in constant time.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::credential::{Ended, EndedHow};
use super::id::CredentialId;
use super::name::{AgentId, OperatorName, Reason};
use super::time::Timestamp;

/// Which credentials a revocation ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// Everything of one agent.
    Agent(AgentId),
    /// Everything there is.
    All,
    /// One credential.
    Credential(CredentialId),
}

/// The record of one revocation. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Live credentials that it ended.
    pub live: u64,
    /// Who revoked.
    pub operator: OperatorName,
    /// Why.
    pub reason: Reason,
    /// What ended.
    pub selector: Selector,
}

/// Everything that is revoked or released, as an immutable snapshot. The issue path and verification
/// read it without a lock.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    all: Option<Arc<Ended>>,
    agents: Arc<HashMap<AgentId, Arc<Ended>>>,
    credentials: Singles,
}

/// Ends of single credentials in shards. A new snapshot shares the shards that did not change, so that one
/// more end among a hundred thousand copies some hundreds.
#[derive(Clone, Debug)]
struct Singles {
    shards: Vec<Arc<Shard>>,
}

/// Ends by credential, each with the credential's expiry.
type Shard = HashMap<CredentialId, (Timestamp, Arc<Ended>)>;

/// One for each value of an id's last byte, which is random.
const SHARDS: usize = 256;

impl Default for Singles {
    fn default() -> Self {
        Self { shards: vec![Arc::default(); SHARDS] }
    }
}

impl Singles {
    fn shard(id: &CredentialId) -> usize {
        let [.., last] = id.as_bytes();
        usize::from(*last)
    }

    fn ended(&self, id: &CredentialId) -> Option<&Arc<Ended>> {
        let shard = self.shards.get(Self::shard(id))?;
        shard.get(id).map(|(_, ended)| ended)
    }

    fn end(&mut self, id: CredentialId, expires: Timestamp, ended: Arc<Ended>) {
        if let Some(shard) = self.shards.get_mut(Self::shard(&id)) {
            Arc::make_mut(shard).entry(id).or_insert((expires, ended));
        }
    }

    fn forget(&mut self, now: Timestamp) {
        for shard in &mut self.shards {
            if shard.values().any(|(expires, _)| *expires <= now) {
                Arc::make_mut(shard).retain(|_, (expires, _)| *expires > now);
            }
        }
    }
}

impl Revocations {
    /// How the credential `id` of `agent`, minted at `issued`, was ended early, if it was. A watermark
    /// ends all that was minted at its time or before. The earliest end counts.
    pub fn ended(&self, id: &CredentialId, agent: &AgentId, issued: Timestamp) -> Option<&Arc<Ended>> {
        let broad = [self.all.as_ref(), self.agents.get(agent)];
        let covers = |ended: &&Arc<Ended>| issued <= ended.time;
        let single = self.credentials.ended(id);
        broad.into_iter().flatten().filter(covers).chain(single).min_by_key(|ended| ended.index)
    }

    /// Adds one credential's end. `expires` is the credential's, so that [`Self::forget`] can drop it.
    pub fn end_one(&mut self, id: CredentialId, expires: Timestamp, ended: Arc<Ended>) {
        self.credentials.end(id, expires, ended);
    }

    /// Adds a watermark for one agent. Only the newest counts: it covers all that the older ones did, and
    /// how a record ended is read from the log.
    pub fn end_agent(&mut self, agent: AgentId, ended: Arc<Ended>) {
        Arc::make_mut(&mut self.agents).insert(agent, ended);
    }

    /// Adds a watermark for everything.
    pub fn end_all(&mut self, ended: Arc<Ended>) {
        self.all = Some(ended);
    }

    /// Drops what no longer matters: single ends of credentials that have expired by themselves.
    pub fn forget(&mut self, now: Timestamp) {
        self.credentials.forget(now);
    }
}

/// The end of a credential by its holder.
pub fn release(actor: &AgentId, time: Timestamp, index: u64) -> Ended {
    Ended { how: EndedHow::Released, actor: actor.as_str().into(), reason: "released".into(), time, index }
}

/// The end of credentials by an operator.
pub fn revoke(revocation: &Revocation, time: Timestamp, index: u64) -> Ended {
    Ended {
        how: EndedHow::Revoked,
        actor: revocation.operator.as_str().into(),
        reason: revocation.reason.as_str().into(),
        time,
        index,
    }
}
