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

pub use super::brief::{Brief, Revoked};
use super::mark;
use crate::domain::revocation::Selector;
use crate::domain::time::Timestamp;
use crate::store::engine::Place;
use crate::store::journal::group::Take;

/// Entries that one value covers: sled dislikes large ones.
pub const CHUNK_RECORDS_MAX: usize = 64;
const VERSION: u8 = 1;
const RECORD_BYTES: usize = 31;

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
    /// A load of the registry.
    Load,
    /// A lock.
    Lock,
    /// A watermark.
    Mark,
    /// A watermark of some tenants only.
    MarkScoped,
    /// A lock's end before its time.
    Unlock,
}

impl RecordKind {
    const ALL: [Self; 9] = [
        Self::Deny,
        Self::End,
        Self::Enroll,
        Self::Issue,
        Self::Load,
        Self::Lock,
        Self::Mark,
        Self::MarkScoped,
        Self::Unlock,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::Enroll => 32,
            Self::Deny => 1,
            Self::End => 2,
            Self::Issue => 3,
            Self::Lock => 6,
            Self::Mark => 7,
            Self::MarkScoped => 8,
            Self::Unlock => 9,
            Self::Load => 10,
        }
    }

    /// Whether it ended credentials.
    pub const fn ends(self) -> bool {
        matches!(self, Self::End | Self::Mark | Self::MarkScoped)
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
    /// The credential's or decision's id; for a watermark what names its selector ([`super::mark::name`]);
    /// for a lock its expiry, for a lock's end the lock, both in the first eight bytes.
    pub id: [u8; 16],
    /// When it expires; of a watermark, what it covers ([`super::mark`]); for an enrolment, when it no longer matters; the epoch for all others.
    pub expires: Timestamp,
}

impl Record {
    /// The number in the first eight bytes of its id.
    pub fn number(&self) -> u64 {
        self.id.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

fn numbered(number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    id
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

    /// Covers the next entry, which is at `offset` in the group. A revocation with a lock leaves two records.
    pub fn push(&mut self, brief: &Brief<'_>, offset: u32) {
        let none = Timestamp::default();
        match brief {
            Brief::Ask { id, agent, expires } => {
                // Found by its id as a decision is, and kept for the state.
                self.keep(RecordKind::Deny, Some(agent), *id.as_bytes(), none, offset);
                self.keep(RecordKind::Enroll, None, [0; 16], *expires, offset);
            }
            Brief::Deny { id, agent } => {
                self.keep(RecordKind::Deny, Some(agent), *id.as_bytes(), none, offset);
            }
            Brief::Issue { id, agent, expires, approval, .. } => {
                self.keep(RecordKind::Issue, Some(agent), *id.as_bytes(), *expires, offset);
                if let Some(until) = approval {
                    self.keep(RecordKind::Enroll, None, [0; 16], *until, offset);
                }
            }
            Brief::Enroll { expires } => self.keep(RecordKind::Enroll, None, [0; 16], *expires, offset),
            Brief::Load => self.keep(RecordKind::Load, None, [0; 16], none, offset),
            Brief::Lock(expires) => self.keep_lock(*expires, offset),
            Brief::Release(id) => self.keep(RecordKind::End, None, *id.as_bytes(), none, offset),
            Brief::Revoke(revoked) => {
                if let Selector::Credential(id) = &revoked.selector {
                    self.keep(RecordKind::End, None, *id.as_bytes(), none, offset);
                } else {
                    let kind = if revoked.scoped { RecordKind::MarkScoped } else { RecordKind::Mark };
                    let until = revoked.until(self.time).unwrap_or(mark::FOR_GOOD);
                    self.keep(kind, None, mark::name(&revoked.selector), until, offset);
                }
                if let Some(expires) = revoked.lock {
                    self.keep_lock(expires, offset);
                }
            }
            Brief::Unlock(lock) => self.keep(RecordKind::Unlock, None, numbered(*lock), none, offset),
            Brief::Consume | Brief::Other => {}
        }
        self.entries = self.entries.saturating_add(1);
    }

    fn keep_lock(&mut self, expires: Timestamp, offset: u32) {
        let expires = numbered(expires.millis().unsigned_abs());
        self.keep(RecordKind::Lock, None, expires, Timestamp::default(), offset);
    }

    fn keep(&mut self, kind: RecordKind, agent: Option<&str>, id: [u8; 16], expires: Timestamp, offset: u32) {
        let agent = agent.map(|agent| self.agent(agent));
        self.records.push(Record { kind, agent, ordinal: self.entries, offset, id, expires });
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
