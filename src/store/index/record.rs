//! What the index keeps of an entry, and how a group's worth of it is one value. Bytes only.
//!
//! A value covers up to [`CHUNK_RECORDS_MAX`] entries of one group, also those of which nothing is kept, so
//! that the values of a whole index follow one another without a gap and a lost one shows.
//!
//! ```text
//! version u8 | entries u8 | segment u64 | offset u64 | agents u8 | records u8
//! agents times: length u16 | text
//! records times: kind u8 | agent u8 | ordinal u8 | offset u32 | id 16 bytes | expires u64
//! crc32c u32 over key and value
//! ```

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::domain::digest::Digest;
use crate::domain::entry::{Entry, Event};
use crate::domain::id::CredentialId;
use crate::domain::revocation::Selector;
use crate::domain::status_list::StatusRef;
use crate::domain::time::Timestamp;
use crate::store::engine::Place;
use crate::store::journal::group::Take;

/// Entries that one value covers: sled dislikes large ones.
pub const CHUNK_RECORDS_MAX: usize = 64;
const VERSION: u8 = 1;
const RECORD_BYTES: usize = 31;

/// What the index has to know of an entry. It is read from canonical JSON without the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brief<'a> {
    /// A debit, which the state and the log keep.
    Consume,
    /// A denial.
    Deny {
        /// The decision.
        id: CredentialId,
        /// Who asked.
        agent: &'a str,
    },
    /// A certificate of an operator or verifier, or its removal.
    Enroll {
        /// When it no longer matters.
        expires: Timestamp,
    },
    /// A credential.
    Issue {
        /// Its id.
        id: CredentialId,
        /// Its holder.
        agent: &'a str,
        /// When it ends by itself.
        expires: Timestamp,
        /// Whether it has a retry key.
        has_key: bool,
        /// Where its status stands.
        status: Option<StatusRef>,
    },
    /// A holder ended a credential.
    Release(CredentialId),
    /// An operator ended credentials.
    Revoke(Selector),
    /// Something that only the log keeps.
    Other,
}

impl<'a> Brief<'a> {
    /// Of an entry.
    pub fn of(entry: &'a Entry) -> Self {
        match &entry.event {
            Event::Consume(_) => Self::Consume,
            Event::Deny(denial) => Self::Deny { id: denial.id, agent: denial.agent.as_str() },
            Event::Enroll(enrollment) => Self::Enroll { expires: enrollment.expires },
            Event::Remove(removal) => Self::Enroll { expires: removal.expires },
            Event::Issue(issuance) => Self::Issue {
                id: issuance.id,
                agent: issuance.agent.as_str(),
                expires: issuance.expires,
                has_key: issuance.idempotency.is_some(),
                status: issuance.status,
            },
            Event::Release(release) => Self::Release(release.credential),
            Event::Revoke(revocation) => Self::Revoke(revocation.selector.clone()),
            Event::Call(_) | Event::Load(_) | Event::Rotate(_) | Event::Start(_) => Self::Other,
        }
    }

    /// Of an entry's canonical JSON.
    ///
    /// # Errors
    /// When it is no entry.
    pub fn of_json(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        let brief: BriefEntry<'a> = serde_json::from_slice(json)?;
        Ok(match brief.event {
            BriefEvent::Consume(IgnoredAny) => Self::Consume,
            BriefEvent::Deny(deny) => Self::Deny { id: deny.id, agent: deny.agent },
            BriefEvent::Enroll(enrolled) | BriefEvent::Remove(enrolled) => {
                Self::Enroll { expires: enrolled.expires }
            }
            BriefEvent::Issue(issue) => Self::Issue {
                id: issue.id,
                agent: issue.agent,
                expires: issue.expires,
                has_key: issue.idempotency.is_some(),
                status: issue.status,
            },
            BriefEvent::Release(release) => Self::Release(release.credential),
            BriefEvent::Revoke(revoke) => Self::Revoke(revoke.selector),
            BriefEvent::Call(IgnoredAny)
            | BriefEvent::Load(IgnoredAny)
            | BriefEvent::Rotate(IgnoredAny)
            | BriefEvent::Start(IgnoredAny) => Self::Other,
        })
    }
}

#[derive(Deserialize)]
struct BriefEntry<'a> {
    #[serde(borrow)]
    event: BriefEvent<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BriefEvent<'a> {
    Call(IgnoredAny),
    Consume(IgnoredAny),
    #[serde(borrow)]
    Deny(BriefDeny<'a>),
    Enroll(BriefEnroll),
    #[serde(borrow)]
    Issue(BriefIssue<'a>),
    Load(IgnoredAny),
    Release(BriefRelease),
    Remove(BriefEnroll),
    Revoke(BriefRevoke),
    Rotate(IgnoredAny),
    Start(IgnoredAny),
}

#[derive(Deserialize)]
struct BriefDeny<'a> {
    agent: &'a str,
    id: CredentialId,
}

#[derive(Deserialize)]
struct BriefEnroll {
    expires: Timestamp,
}

#[derive(Deserialize)]
struct BriefIssue<'a> {
    agent: &'a str,
    expires: Timestamp,
    id: CredentialId,
    idempotency: Option<IgnoredAny>,
    status: Option<StatusRef>,
}

#[derive(Deserialize)]
struct BriefRelease {
    credential: CredentialId,
}

#[derive(Deserialize)]
struct BriefRevoke {
    selector: Selector,
}

/// Which kind a kept record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A denial.
    Deny,
    /// A single credential's end.
    End,
    /// A certificate of an operator or verifier, or its removal.
    Enroll,
    /// A credential.
    Issue,
    /// A watermark for one agent.
    MarkAgent,
    /// A watermark for all.
    MarkAll,
}

impl RecordKind {
    const ALL: [Self; 6] = [Self::Deny, Self::End, Self::Enroll, Self::Issue, Self::MarkAgent, Self::MarkAll];

    const fn code(self) -> u8 {
        match self {
            Self::Deny => 1,
            Self::End => 2,
            Self::Issue => 3,
            Self::MarkAgent => 4,
            Self::MarkAll => 5,
            Self::Enroll => 32,
        }
    }
}

/// One kept record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: RecordKind,
    /// Position of its agent's name in [`Chunk::agents`]; `None` for kinds without one.
    pub agent: Option<u8>,
    /// Its entry's index minus the chunk's first.
    pub ordinal: u8,
    /// Offset of its entry from the group's start.
    pub offset: u32,
    /// The credential's or decision's id; zeros for a watermark.
    pub id: [u8; 16],
    /// When it expires, or no longer matters; the epoch for all but credentials and enrolments.
    pub expires: Timestamp,
}

/// One value of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The group's time.
    pub time: Timestamp,
    /// The first entry that it covers.
    pub first: u64,
    /// How many entries it covers.
    pub entries: u8,
    /// Where the group is.
    pub place: Place,
    /// Names of agents.
    pub agents: Vec<String>,
    /// What is kept.
    pub records: Vec<Record>,
}

/// A value is not one that we wrote.
#[derive(Debug, thiserror::Error)]
#[error("a value of the index is damaged")]
pub struct BadChunk;

/// The key of a chunk: time, then first index, so that keys ascend with the log.
pub fn key(time: Timestamp, first: u64) -> [u8; 16] {
    let mut key = [0; 16];
    let parts = time.millis().to_be_bytes().into_iter().chain(first.to_be_bytes());
    key.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    key
}

impl Chunk {
    /// An empty chunk.
    pub const fn new(time: Timestamp, first: u64, place: Place) -> Self {
        Self { time, first, entries: 0, place, agents: Vec::new(), records: Vec::new() }
    }

    /// The index after the last entry it covers.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.entries))
    }

    /// Covers the next entry, which is at `offset` in the group.
    pub fn push(&mut self, brief: &Brief<'_>, offset: u32) {
        let (kind, agent, id, expires) = match brief {
            Brief::Deny { id, agent } => (RecordKind::Deny, Some(*agent), Some(id), None),
            Brief::Issue { id, agent, expires, .. } => {
                (RecordKind::Issue, Some(*agent), Some(id), Some(*expires))
            }
            Brief::Enroll { expires } => (RecordKind::Enroll, None, None, Some(*expires)),
            Brief::Release(id) | Brief::Revoke(Selector::Credential(id)) => {
                (RecordKind::End, None, Some(id), None)
            }
            Brief::Revoke(Selector::Agent(agent)) => {
                (RecordKind::MarkAgent, Some(agent.as_str()), None, None)
            }
            Brief::Revoke(Selector::All) => (RecordKind::MarkAll, None, None, None),
            Brief::Consume | Brief::Other => {
                self.entries = self.entries.saturating_add(1);
                return;
            }
        };
        let agent = agent.map(|agent| self.agent(agent));
        let id = id.map_or([0; 16], |id| *id.as_bytes());
        let expires = expires.unwrap_or_default();
        self.records.push(Record { kind, agent, ordinal: self.entries, offset, id, expires });
        self.entries = self.entries.saturating_add(1);
    }

    fn agent(&mut self, name: &str) -> u8 {
        let at = self.agents.iter().position(|known| known == name).unwrap_or_else(|| {
            self.agents.push(name.to_owned());
            self.agents.len() - 1
        });
        // At most 64 entries, so at most 64 names.
        u8::try_from(at).unwrap_or(u8::MAX)
    }

    /// The name of a record's agent.
    pub fn agent_of(&self, record: &Record) -> Option<&str> {
        record.agent.and_then(|at| self.agents.get(usize::from(at))).map(String::as_str)
    }

    /// The log index of a record's entry.
    pub fn index_of(&self, record: &Record) -> u64 {
        self.first.saturating_add(u64::from(record.ordinal))
    }

    /// The key.
    pub fn key(&self) -> [u8; 16] {
        key(self.time, self.first)
    }

    /// The value.
    pub fn encode(&self) -> Vec<u8> {
        let count = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let mut out = Vec::with_capacity(32 + 64 * self.agents.len() + RECORD_BYTES * self.records.len());
        out.extend([VERSION, self.entries]);
        out.extend(self.place.segment.to_le_bytes());
        out.extend(self.place.offset.to_le_bytes());
        out.extend([count(self.agents.len()), count(self.records.len())]);
        for agent in &self.agents {
            out.extend(u16::try_from(agent.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend(agent.as_bytes());
        }
        for record in &self.records {
            out.extend([record.kind.code(), record.agent.unwrap_or(u8::MAX), record.ordinal]);
            out.extend(record.offset.to_le_bytes());
            out.extend(record.id);
            out.extend(record.expires.millis().to_le_bytes());
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.key()), &out);
        out.extend(crc.to_le_bytes());
        out
    }

    /// Reads a value under its key.
    ///
    /// # Errors
    /// When it is not one that was written under this key.
    pub fn parse(key: &[u8], value: &[u8]) -> Result<Self, BadChunk> {
        let (body, crc) = value.split_last_chunk::<4>().ok_or(BadChunk)?;
        let sum = crc32c::crc32c_append(crc32c::crc32c(key), body);
        let key: [u8; 16] = key.try_into().map_err(|_| BadChunk)?;
        if sum != u32::from_le_bytes(*crc) {
            return Err(BadChunk);
        }
        let mut key = Take(&key);
        let time = Timestamp::from_millis(i64::from_be_bytes(key.array()));
        let first = u64::from_be_bytes(key.array());
        let mut take = Take(body);
        let [version, entries] = take.array();
        if version != VERSION {
            return Err(BadChunk);
        }
        let segment = u64::from_le_bytes(take.array());
        let place = Place { segment, offset: u64::from_le_bytes(take.array()) };
        let [agents, records] = take.array();
        let agents = (0..agents).map(|_| parse_agent(&mut take)).collect::<Result<Vec<_>, _>>()?;
        let records = (0..records).map(|_| parse_record(&mut take)).collect::<Result<Vec<_>, _>>()?;
        if take.0.is_empty() {
            Ok(Self { time, first, entries, place, agents, records })
        } else {
            Err(BadChunk)
        }
    }
}

fn parse_agent(take: &mut Take<'_>) -> Result<String, BadChunk> {
    let length = usize::from(u16::from_le_bytes(take.array()));
    let (text, rest) = take.0.split_at_checked(length).ok_or(BadChunk)?;
    take.0 = rest;
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| BadChunk)
}

fn parse_record(take: &mut Take<'_>) -> Result<Record, BadChunk> {
    if take.0.len() < RECORD_BYTES {
        return Err(BadChunk);
    }
    let [code, agent, ordinal] = take.array();
    let kind = RecordKind::ALL.into_iter().find(|kind| kind.code() == code).ok_or(BadChunk)?;
    let agent = (agent != u8::MAX).then_some(agent);
    let offset = u32::from_le_bytes(take.array());
    let id = take.array();
    let expires = Timestamp::from_millis(i64::from_le_bytes(take.array()));
    Ok(Record { kind, agent, ordinal, offset, id, expires })
}

/// The digest that names an agent's or everybody's watermarks in the index.
pub fn mark_key(agent: Option<&str>, index: u64) -> Vec<u8> {
    let mut key = mark_prefix(agent);
    key.extend(index.to_be_bytes());
    key
}

/// What the keys of an agent's or everybody's watermarks begin with: a digest, so that no agent's name can
/// run into another's.
pub fn mark_prefix(agent: Option<&str>) -> Vec<u8> {
    Digest::of(agent.unwrap_or_default().as_bytes()).as_bytes().to_vec()
}
