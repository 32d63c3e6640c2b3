//! Reads: credentials, decisions, entries. Blocking; callers keep them off async threads.
//!
//! The index finds, the journal has the record. A reader sees what is durable, and damage is an error,
//! never a missing record.

use std::collections::{HashMap, hash_map};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::index::IndexError;
use super::index::record::{Chunk, Record, RecordKind};
use super::index::scan::Cursor;
use super::ledger::{Inner, Shared};
use crate::domain::credential::{Credential, Ended, Issuance, State};
use crate::domain::digest::Digest;
use crate::domain::entry::{BadEntry, Entry, Event};
use crate::domain::id::CredentialId;
use crate::domain::limits::{LEDGER_COMMAND_AGE_MS_MAX, PAGE_SIZE_MAX, TTL_SECONDS_MAX};
use crate::domain::name::{AgentId, TenantName};
use crate::domain::revocation;
use crate::domain::time::Timestamp;

/// A reader of the ledger. Clones are cheap. It keeps the ledger open.
#[derive(Clone, Debug)]
pub struct Reader {
    inner: Arc<Inner>,
}

/// Which credentials a listing has.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Only this agent's.
    pub agent: Option<AgentId>,
    /// Only agents of these tenants; all when empty.
    pub tenants: Vec<TenantName>,
    /// Also those that have ended, as far back as the index goes.
    pub include_ended: bool,
    /// The time that "live" is meant at.
    pub now: Timestamp,
}

/// One page of a listing, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The credentials.
    pub credentials: Vec<Credential>,
    /// Gives the next page; `None` on the last one. A page can be short, or empty, and still have a next.
    pub next: Option<PageToken>,
}

/// Where the next page begins. Opaque to callers; it grants nothing, because each call filters anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageToken(Cursor);

/// The text is not a page token of ours.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a page token of this service")]
pub struct BadPageToken;

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = [self.0.time.millis().to_be_bytes(), self.0.index.to_be_bytes()].concat();
        let sum = crc32c::crc32c(&body).to_be_bytes();
        f.write_str(&URL_SAFE_NO_PAD.encode([body.as_slice(), &sum].concat()))
    }
}

impl FromStr for PageToken {
    type Err = BadPageToken;

    fn from_str(text: &str) -> Result<Self, BadPageToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadPageToken)?;
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(BadPageToken)?;
        let (time, index) = body.split_first_chunk::<8>().ok_or(BadPageToken)?;
        let index = u64::from_be_bytes(index.try_into().map_err(|_| BadPageToken)?);
        let time = Timestamp::from_millis(i64::from_be_bytes(*time));
        let whole = crc32c::crc32c(body) == u32::from_be_bytes(*sum);
        if whole { Ok(Self(Cursor { time, index })) } else { Err(BadPageToken) }
    }
}

/// A read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// An entry is not as written.
    #[error("entry `{index}` of the journal can't be read")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: BadEntry,
    },
    /// The index failed.
    #[error("the index can't be read")]
    Index(#[from] IndexError),
    /// The read did not end.
    #[error("the read was interrupted")]
    Interrupted,
    /// The journal can't be read or is damaged.
    #[error("the journal can't be read")]
    Journal(#[from] io::Error),
    /// The index names an entry that is another one, or there is none where one was counted.
    #[error("the index does not fit the journal at entry `{0}`; a restart rebuilds it")]
    Mismatch(u64),
    /// The log has no such entry, or no such size.
    #[error("the log has {size} entries, there is no `{asked}`")]
    Range {
        /// What was asked.
        asked: u64,
        /// The size.
        size: u64,
    },
}

impl Shared {
    /// The newest load of the registry, and the registry's digest: of one that was carried forward as the log's key signed it,
    /// else as its entry has it.
    pub(super) fn last_load(&self) -> Result<Option<(u64, Digest)>, ReadError> {
        let Some(index) = self.index.last_load()? else { return Ok(None) };
        if let Some(carried) = self.loaded.filter(|(carried, _)| *carried == index) {
            return Ok(Some(carried));
        }
        let json = self.positions.entry(index)?.ok_or(ReadError::Mismatch(index))?;
        let entry = Entry::from_json(&json).map_err(|source| ReadError::Entry { index, source })?;
        let Event::Load(load) = entry.event else { return Err(ReadError::Mismatch(index)) };
        Ok(Some((index, load.registry)))
    }
}

impl Reader {
    pub(super) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The record of the credential `id`, unless it was swept.
    ///
    /// # Errors
    /// [`ReadError`]: unknown is not the same as absent.
    pub fn credential(&self, id: CredentialId) -> Result<Option<Credential>, ReadError> {
        let found = self.shared().index.find(id)?;
        let Some((chunk, record)) = found.filter(|(_, record)| record.kind == RecordKind::Issue) else {
            return Ok(None);
        };
        self.load(&chunk, &record, &mut HashMap::new()).map(Some)
    }

    /// The decision `id`, an issuance or a denial: its index and entry.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn decision(&self, id: CredentialId) -> Result<Option<(u64, Entry)>, ReadError> {
        let Some((chunk, record)) = self.shared().index.find(id)? else { return Ok(None) };
        let index = chunk.index_of(&record);
        Ok(Some((index, self.entry_of(&chunk, &record)?)))
    }

    /// A page of at most `size` credentials, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn credentials(
        &self,
        filter: &Filter,
        size: usize,
        token: Option<PageToken>,
    ) -> Result<Page, ReadError> {
        let lifetime_ms = i64::from(TTL_SECONDS_MAX) * 1000 + LEDGER_COMMAND_AGE_MS_MAX;
        let oldest =
            if filter.include_ended { Timestamp::default() } else { filter.now.plus_millis(-lifetime_ms) };
        let count = size.clamp(1, PAGE_SIZE_MAX);
        let wanted = |chunk: &Chunk, record: &Record| {
            filter.takes(chunk, record) && self.may_be_live(filter, chunk, record)
        };
        let listed = self.shared().index.list(token.map(|token| token.0), oldest, count, wanted)?;
        let mut ends = HashMap::new();
        let mut credentials = Vec::with_capacity(listed.records.len());
        for (chunk, record) in &listed.records {
            let credential = self.load(chunk, record, &mut ends)?;
            if filter.include_ended || credential.state(filter.now) == State::Live {
                credentials.push(credential);
            }
        }
        Ok(Page { credentials, next: listed.next.map(PageToken) })
    }

    /// Whether the record can be live, as far as the snapshot tells. It spares reading the entries of
    /// those that have ended.
    fn may_be_live(&self, filter: &Filter, chunk: &Chunk, record: &Record) -> bool {
        if filter.include_ended {
            return true;
        }
        let revocations = self.shared().revocations.load();
        let id = CredentialId::from_bytes(record.id).ok();
        let agent = chunk.agent_of(record).and_then(|agent| agent.parse().ok());
        let Some((id, agent)) = id.zip(agent) else { return true };
        revocations.ended(&id, &agent, id.time()).is_none()
    }

    /// When `agent` was last given a credential, as far back as the index goes.
    ///
    /// # Errors
    /// None today; an engine that asks a database has them.
    pub fn last_issue(&self, agent: &AgentId) -> Result<Option<Timestamp>, ReadError> {
        let last = self.shared().last_issue.read().unwrap_or_else(PoisonError::into_inner);
        Ok(last.get(agent.as_str()).copied())
    }

    /// The canonical JSON of the entry at `index`; `None` beyond the end.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.entries(index, 1)?.pop())
    }

    /// The canonical JSON of up to `count` durable entries from `first` on.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries(&self, first: u64, count: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        // The journal may hold a group that is being synced now: it is not there yet.
        let size = self.shared().head.load().size;
        let left = usize::try_from(size.saturating_sub(first)).unwrap_or(usize::MAX);
        let count = count.min(left).min(PAGE_SIZE_MAX);
        let found = self.shared().positions.entries(first, count)?;
        let next = first.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
        // The head says that they are there.
        if found.len() < count { Err(ReadError::Mismatch(next)) } else { Ok(found) }
    }

    /// The digest of the registry in the log's newest load; `None` before the first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn last_load(&self) -> Result<Option<Digest>, ReadError> {
        Ok(self.shared().last_load()?.map(|(_, registry)| registry))
    }

    /// Takes records that ended longer than the retention before the newest entry out of the index, never out of the log.
    /// Gives how many. By no clock: one that is far ahead would take what is live, and a quiet log loses nothing by waiting.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn sweep(&self) -> Result<u64, ReadError> {
        let now = self.shared().head.load().time;
        let cutoff = now.plus_millis(self.shared().retention_ms.saturating_neg());
        let swept = self.shared().index.sweep(cutoff)?;
        let mut last = self.shared().last_issue.write().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, time| *time >= cutoff);
        Ok(swept)
    }

    /// Writes, unless it is there, what an emergency start needs of entries that it then need not read. Gives the
    /// first entry that it will have to read; `None` while that is all of them, and in an emergency.
    ///
    /// # Errors
    /// [`ReadError`]; what was carried forward before stays good.
    pub fn carry_forward(&self) -> Result<Option<u64>, ReadError> {
        self.shared().carrier.as_ref().map_or(Ok(None), |carrier| carrier.carry(self.shared()))
    }

    /// The record's entry, from its place in the journal.
    fn entry_of(&self, chunk: &Chunk, record: &Record) -> Result<Entry, ReadError> {
        let json = self.shared().positions.record(chunk.place, record.offset)?;
        let index = chunk.index_of(record);
        Entry::from_json(&json).map_err(|source| ReadError::Entry { index, source })
    }

    fn load(&self, chunk: &Chunk, record: &Record, ends: &mut Ends) -> Result<Credential, ReadError> {
        let index = chunk.index_of(record);
        let Event::Issue(issuance) = self.entry_of(chunk, record)?.event else {
            return Err(ReadError::Mismatch(index));
        };
        if *issuance.id.as_bytes() != record.id {
            return Err(ReadError::Mismatch(index));
        }
        let ended = self.ended(&issuance, index, ends)?;
        Ok(Credential { issuance: *issuance, index, ended })
    }

    /// How a credential ended early: by its own end, or by the first watermark over it while it lived.
    fn ended(&self, issuance: &Issuance, index: u64, ends: &mut Ends) -> Result<Option<Ended>, ReadError> {
        let store = &self.shared().index;
        let mut first = store.end_of(issuance.id.as_bytes())?;
        let mut marks = store.marks_over(issuance, index)?;
        marks.sort_unstable_by_key(|mark| mark.index);
        for mark in marks {
            if first.is_some_and(|first| first < mark.index) {
                break;
            }
            let mine = !mark.scoped || self.end_at(mark.index, ends)?.1.contains(issuance.agent.tenant());
            if mine {
                first = Some(mark.index);
                break;
            }
        }
        let Some(at) = first else { return Ok(None) };
        Ok(Some(self.end_at(at, ends)?.0.clone()))
    }

    /// How the entry at `index` ended credentials, and of which tenants only.
    fn end_at<'e>(&self, index: u64, ends: &'e mut Ends) -> Result<&'e End, ReadError> {
        match ends.entry(index) {
            hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            hash_map::Entry::Vacant(place) => Ok(place.insert(self.read_end(index)?)),
        }
    }

    fn read_end(&self, index: u64) -> Result<End, ReadError> {
        let json = self.shared().positions.entry(index)?.ok_or(ReadError::Mismatch(index))?;
        let entry = Entry::from_json(&json).map_err(|source| ReadError::Entry { index, source })?;
        match &entry.event {
            Event::Release(release) => {
                Ok((revocation::release(&release.agent, entry.time, index), Vec::new()))
            }
            Event::Revoke(revoked) => {
                Ok((revocation::revoke(revoked, entry.time, index), revoked.tenants.clone()))
            }
            Event::Ask(_)
            | Event::BreakGlass(_)
            | Event::Call(_)
            | Event::Decide(_)
            | Event::Consume(_)
            | Event::Deny(_)
            | Event::Enroll(_)
            | Event::Issue(_)
            | Event::Emergency(_)
            | Event::Load(_)
            | Event::Merge(_)
            | Event::Remove(_)
            | Event::Lock(_)
            | Event::Rotate(_)
            | Event::Start(_)
            | Event::Unlock(_) => Err(ReadError::Mismatch(index)),
        }
    }
}

/// Ends that were read, by entry.
type Ends = HashMap<u64, End>;
/// How an entry ended credentials, and of which tenants only; of all when empty.
type End = (Ended, Vec<TenantName>);

impl Filter {
    fn takes(&self, chunk: &Chunk, record: &Record) -> bool {
        if record.kind != RecordKind::Issue || (!self.include_ended && record.expires <= self.now) {
            return false;
        }
        let Some(name) = chunk.agent_of(record) else { return false };
        let agent = self.agent.as_ref().is_none_or(|agent| agent.as_str() == name);
        let tenant = || {
            let parsed = name.parse::<AgentId>();
            parsed.is_ok_and(|agent| self.tenants.contains(agent.tenant()))
        };
        agent && (self.tenants.is_empty() || tenant())
    }
}
