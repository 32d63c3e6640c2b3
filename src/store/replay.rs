//! Replay: the index catches up with the journal, and the state is made of the entries that still matter.
//!
//! Only entries younger than the longest life of a credential can bear on a decision; of older ones the
//! index has the watermarks. Entries are read without what is not needed, so that a million take seconds.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use super::carried::Carried;
use super::engine::Place;
use super::index::record::{Brief, Chunk, RecordKind, Revoked};
use super::index::{Content, Index, IndexError, note_issues};
use super::journal::group::Group;
use super::journal::recovery::{Damage, Found};
use super::journal::segment::{self, SegmentHeader};
use crate::domain::entry::{Entry, Event, VERSION};
use crate::domain::id::CredentialId;
use crate::domain::ledger::{State, Target};
use crate::domain::name::AgentId;
use crate::domain::revocation::{InForce, KEPT_MS, Locks, Mark, Revocations, Selector};
use crate::domain::time::Timestamp;

/// Why the state could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    /// An entry is none, although its checksum is right.
    #[error(transparent)]
    Damaged(Damage),
    /// The index failed, or does not fit the journal: it has to be made anew.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The journal could not be read.
    #[error("the journal could not be read: `{path}`")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Entries at or before this time can't bear on any decision of a log whose newest entry is at `newest`.
pub(super) fn window_start(newest: Timestamp) -> Timestamp {
    newest.plus_millis(-KEPT_MS)
}

/// Brings the index up to the journal's end and makes the state, also of what is `carried` of entries that aren't read.
pub(super) fn replay(
    found: &Found,
    index: &Index,
    content: Content,
    carried: &Carried,
) -> Result<(Content, State), ReplayError> {
    let mut pass = Pass {
        index,
        carried,
        applied: content.applied,
        last_issue: content.last_issue,
        since: window_start(found.time),
        newest: found.time,
        state: None,
        agents: HashMap::new(),
        found,
    };
    let mut buffer = Vec::new();
    let ends = found.segments.iter().skip(1).map(|(first, _)| *first).chain([found.size]);
    for ((first, newest), end) in found.segments.iter().zip(ends) {
        if end > content.applied || *newest >= pass.since {
            pass.segment(*first, &mut buffer)?;
        }
    }
    let mut state = match pass.state.take() {
        Some(state) => state,
        None => pass.old_state(found.size)?,
    };
    state.forget(found.time);
    Ok((Content { applied: found.size, last_issue: pass.last_issue }, state))
}

struct Pass<'a> {
    index: &'a Index,
    /// Entries that need not be looked for in segments that were passed over.
    carried: &'a Carried,
    applied: u64,
    last_issue: HashMap<String, Timestamp>,
    since: Timestamp,
    newest: Timestamp,
    /// Made when the first entry that matters comes.
    state: Option<State>,
    /// Parsed names: most entries are of few agents.
    agents: HashMap<String, AgentId>,
    found: &'a Found,
}

impl Pass<'_> {
    fn segment(&mut self, first: u64, buffer: &mut Vec<u8>) -> Result<(), ReplayError> {
        let path = self.found.positions.path(first);
        read(&path, buffer).map_err(|source| ReplayError::Io { path, source })?;
        let damaged = |what: &str, offset: usize, entry: u64| {
            let offset = u64::try_from(offset).unwrap_or(u64::MAX);
            let what = what.to_owned();
            ReplayError::Damaged(Damage { segment: segment::name(first), offset, entry, what })
        };
        let header = SegmentHeader::parse(buffer);
        let (_, mut at) = header.map_err(|_| damaged("the segment changed while it was read", 0, first))?;
        while at < buffer.len() {
            let group = Group::parse(buffer.get(at..).unwrap_or_default());
            let group = group.map_err(|_| damaged("the segment changed while it was read", at, first))?;
            let place = Place { segment: first, offset: u64::try_from(at).unwrap_or(u64::MAX) };
            self.group(&group, place, |offset, entry| {
                damaged("the entry has no known form", at + offset, entry)
            })?;
            at += group.header.total_bytes();
        }
        Ok(())
    }

    fn group(
        &mut self,
        group: &Group<'_>,
        place: Place,
        damaged: impl Fn(usize, u64) -> ReplayError,
    ) -> Result<(), ReplayError> {
        let header = group.header;
        let (new, matters) = (header.end() > self.applied, header.time >= self.since);
        if !new && !matters {
            return Ok(());
        }
        let mut briefs = Vec::with_capacity(64);
        for ((offset, json), entry) in group.entries().zip(header.first..) {
            let at = usize::try_from(offset).unwrap_or_default();
            let brief = Brief::of_json(json).map_err(|_| damaged(at, entry))?;
            briefs.push((brief, offset, json));
        }
        if new {
            // A crash may have come between two values of one group.
            let from = self.applied.max(header.first);
            let known = usize::try_from(from - header.first).unwrap_or(usize::MAX);
            let kept = briefs.iter().skip(known).map(|(brief, offset, _)| (brief.clone(), *offset));
            self.index.apply(header.time, from, place, kept)?;
            let mut chunk = Chunk::new(header.time, header.first, place);
            briefs.iter().for_each(|(brief, offset, _)| chunk.push(brief, *offset));
            note_issues(&chunk, &mut self.last_issue);
            self.applied = header.end();
        }
        if matters {
            for ((brief, offset, json), entry) in briefs.iter().zip(header.first..) {
                let at = usize::try_from(*offset).unwrap_or_default();
                self.entry(brief, json, entry, header.time, &|| damaged(at, entry))?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        brief: &Brief<'_>,
        json: &[u8],
        index: u64,
        time: Timestamp,
        damaged: &dyn Fn() -> ReplayError,
    ) -> Result<(), ReplayError> {
        if self.state.is_none() {
            self.state = Some(self.old_state(index)?);
        }
        if let (Brief::Issue { status: Some(status), expires, .. }, Some(state)) = (brief, &mut self.state) {
            state.replay_status(*status, *expires);
        }
        match brief {
            Brief::Issue { agent, expires, has_key: false, approval: None, .. } => {
                if *expires > self.newest {
                    let agent = self.agent(agent).ok_or_else(damaged)?;
                    if let Some(state) = &mut self.state {
                        state.replay_live(&agent, *expires, time);
                    }
                }
                return Ok(());
            }
            Brief::Deny { .. } | Brief::Load | Brief::Other => return Ok(()),
            Brief::Ask { .. }
            | Brief::Consume
            | Brief::Enroll { .. }
            | Brief::Issue { .. }
            | Brief::Lock(_)
            | Brief::Release(_)
            | Brief::Revoke(_)
            | Brief::Unlock(_) => {}
        }
        let entry = Entry::from_json(json).map_err(|_| damaged())?;
        let target = match brief {
            Brief::Revoke(Revoked { selector: Selector::Credential(id), .. }) => self.target(*id)?,
            Brief::Ask { .. }
            | Brief::Consume
            | Brief::Deny { .. }
            | Brief::Enroll { .. }
            | Brief::Issue { .. }
            | Brief::Load
            | Brief::Lock(_)
            | Brief::Other
            | Brief::Release(_)
            | Brief::Revoke(_)
            | Brief::Unlock(_) => None,
        };
        if let Some(state) = &mut self.state {
            state.replay(&entry, index, |_| target.clone());
        }
        Ok(())
    }

    fn agent(&mut self, name: &str) -> Option<AgentId> {
        if let Some(agent) = self.agents.get(name) {
            return Some(agent.clone());
        }
        let agent: AgentId = name.parse().ok()?;
        self.agents.insert(name.to_owned(), agent.clone());
        Some(agent)
    }

    fn target(&mut self, id: CredentialId) -> Result<Option<Target>, ReplayError> {
        let found = self.index.find(id)?.filter(|(_, record)| record.kind == RecordKind::Issue);
        let Some((chunk, record)) = found else { return Ok(None) };
        let agent = chunk.agent_of(&record).and_then(|name| self.agent(name));
        Ok(agent.map(|agent| Target { agent, issued: id.time(), expires: record.expires }))
    }

    /// The state before the entry `before`, of which only the ended lineages, the locks and the time still
    /// matter.
    fn old_state(&self, before: u64) -> Result<State, ReplayError> {
        let mut revocations = Revocations::default();
        revocations.reach(self.index.epoch()?);
        for index in self.index.marks_for_good(before)? {
            let (Event::Revoke(revoked), time) = self.entry_at(index)? else {
                return Err(IndexError::Gap(index).into());
            };
            revocations.end_many(&revoked.selector, Mark::of(&revoked, time, index));
        }
        let mut locks = Locks::default();
        for index in self.index.locks_in_force(before, self.newest)? {
            let (event, time) = self.entry_at(index)?;
            let lock = event.lock().ok_or(IndexError::Gap(index))?;
            locks.add(InForce { index, time, lock });
        }
        let mut state = State::starting_from(revocations, locks, self.newest);
        for index in self.index.enrollments(before, self.newest)? {
            let (event, time) = self.entry_at(index)?;
            state.replay(&Entry { event, time, v: VERSION }, index, |_| None);
        }
        Ok(state)
    }

    fn entry_at(&self, index: u64) -> Result<(Event, Timestamp), ReplayError> {
        let json = match self.carried.entries.get(&index) {
            Some(carried) => carried.json.clone(),
            None => self.found.positions.entry(index).ok().flatten().ok_or(IndexError::Gap(index))?,
        };
        let entry = Entry::from_json(&json).map_err(|_| IndexError::Gap(index))?;
        Ok((entry.event, entry.time))
    }
}

fn read(path: &std::path::Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    File::open(path)?.read_to_end(buffer)?;
    Ok(())
}
