//! The merge: at a good start the groups of an emergency become the journal's next ones, byte for byte, and an
//! entry says so.
//!
//! Each step is found again by what the journal already holds, so that a crash at any point leaves a start that
//! goes on where it was, and a second merge changes nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::content::{Content, FILE, Parsed, parse};
use super::{empty, path};
use crate::domain::emergency::Merge;
use crate::domain::entry::{Entry, Event, VERSION};
use crate::domain::limits::{EMERGENCY_BYTES, JOURNAL_SEGMENT_BYTES_MAX};
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::note::{Checkpoint, VerifierKey};
use crate::domain::signer::Signer;
use crate::store::engine::{Batch, Store as _, StoreError};
use crate::store::journal::Journal;
use crate::store::journal::group::GroupBuffer;
use crate::store::journal::recovery::{Damage, Found, RecoveryError, recover_from};
use crate::store::medium::{FileSystem, Medium};

/// What is needed to go on with the journal.
pub(in crate::store) struct Parts<'a> {
    pub(in crate::store) root: &'a Path,
    pub(in crate::store) key: &'a VerifierKey,
    pub(in crate::store) signer: &'a dyn Signer,
    pub(in crate::store) medium: &'a Arc<dyn Medium>,
    pub(in crate::store) segment_bytes_max: u64,
}

/// An emergency that is part of the log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Merged {
    /// The index of its first entry.
    pub(in crate::store) first: u64,
    /// Whether the journal grew, so that it has to be read again.
    pub(in crate::store) appended: bool,
}

/// Why an emergency could not be merged.
#[derive(Debug)]
pub(in crate::store) enum MergeError {
    /// The emergency journal, or what the journal holds in its place, is not as it was written.
    Damaged(Damage),
    /// A file operation failed.
    Io(io::Error),
}

impl From<io::Error> for MergeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StoreError> for MergeError {
    fn from(error: StoreError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

/// Reads the emergency journal below `root`; without one there is nothing in it.
pub(in crate::store) fn read(root: &Path, key: &VerifierKey) -> Result<Parsed, MergeError> {
    let path = path(root);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Parsed { content: None, dirty: 0 });
        }
        Err(error) => return Err(error.into()),
        Ok(about) if about.len() > EMERGENCY_BYTES => {
            return Err(MergeError::Io(io::Error::other(
                "the emergency journal is larger than any that is made",
            )));
        }
        Ok(_) => {}
    }
    parse(std::fs::read(path)?, key).map_err(MergeError::Damaged)
}

/// Merges what the emergency journal holds behind the log that was `found`, and empties it.
pub(in crate::store) fn merge(parts: &Parts<'_>, found: &Found) -> Result<Option<Merged>, MergeError> {
    let Parsed { content, dirty } = read(parts.root, parts.key)?;
    let over = content.as_ref().map(|content| check(content, found)).transpose()?;
    // A header alone was never anybody's answer.
    let merged = match content.as_ref().filter(|content| content.next() > content.first()) {
        None => None,
        Some(content) => {
            let appended = over == Some(false) && append(parts, content, found)?;
            Some(Merged { first: content.first(), appended })
        }
    };
    // Before the mark that it makes, all of this is found to be done; after it, there is nothing to be done.
    let emptied = || empty(&mut *parts.medium.overwrite(&path(parts.root))?, dirty);
    if dirty > 0
        && let Err(error) = emptied()
    {
        tracing::error!(%error, "the emergency journal can't be made ready again; it is tried at the next start");
    }
    Ok(merged)
}

/// Holds what the journal has in the emergency's place to what the emergency wrote. Says whether it is over: all of it
/// is there, and closed, or there was nothing and the log went on.
fn check(content: &Content, found: &Found) -> Result<bool, MergeError> {
    let first = content.first();
    if found.size < first {
        let what = format!("it was begun behind {first} entries, the journal has {}", found.size);
        return Err(damaged(first, what));
    }
    let is_behind = content.header.frontier == found.frontier && content.header.sequence == found.sequence;
    if content.next() == first {
        return Ok(!is_behind);
    }
    if found.size == first && !is_behind {
        return Err(damaged(first, "it was begun behind another log".to_owned()));
    }
    // Read at once: of a log that has gone on for long, each place would have to be looked for.
    let count = found.size.min(content.next()).saturating_sub(first);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let written = found.positions.entries(first, count)?;
    if written.len() < count {
        return Err(damaged(first, "the journal has less in its place than it says".to_owned()));
    }
    for ((index, entry), written) in content.entries().zip(&written) {
        if written.as_slice() != entry {
            return Err(damaged(index, "the journal has another entry in its place".to_owned()));
        }
    }
    let closing = found.positions.entry(content.next())?;
    let closed = closing.as_ref().is_none_or(|json| {
        Entry::from_json(json).is_ok_and(|entry| entry.event == Event::Merge(closing_of(content)))
    });
    if !closed {
        return Err(damaged(content.next(), "the journal went on without it".to_owned()));
    }
    Ok(closing.is_some())
}

/// Appends the groups that the journal has not, and the entry that closes them: the journal grew.
fn append(parts: &Parts<'_>, content: &Content, found: &Found) -> Result<bool, MergeError> {
    let directory = parts.root.join("journal");
    let mut journal = Journal::open(&directory, found, Arc::clone(parts.medium), parts.segment_bytes_max)?;
    let (frontier, sequence) = append_groups(&mut journal, content, found)?;
    close(parts, content, &mut journal, &frontier, sequence)?;
    tracing::warn!(
        entries = content.next() - content.first(),
        "the emergency journal was merged into the log"
    );
    Ok(true)
}

/// Appends the groups that the log that was `found` has not; gives the tree and the next group's number.
fn append_groups(
    journal: &mut Journal,
    content: &Content,
    found: &Found,
) -> Result<(Frontier, u64), MergeError> {
    let (mut frontier, mut sequence) = (found.frontier.clone(), found.sequence);
    for (group, bytes) in content.groups().filter(|(group, _)| group.header.first >= found.size) {
        journal.append(&Batch { sequence: group.header.sequence, before: &frontier, bytes })?;
        group.entries().for_each(|(_, entry)| frontier.push(leaf_hash(entry)));
        sequence = group.header.sequence.saturating_add(1);
    }
    Ok((frontier, sequence))
}

/// What an earlier emergency wrote, as far as this one goes on with it; the copy of the log below `shadow` then has it.
/// A merge may have been cut short at any step: groups that the log has already are not added again, and what is in
/// it whole, with the entry that closes it, is not gone on with. Of the log, the segments before the entry `from` are
/// taken as they are.
pub(in crate::store) fn continued(shadow: &Path, parsed: Parsed, from: u64) -> Result<Parsed, MergeError> {
    let Parsed { content, dirty } = parsed;
    let Some(content) = content else { return Ok(Parsed { content, dirty }) };
    let directory = shadow.join("journal");
    let found = recover_from(&directory, 0, from).map_err(|error| match error {
        RecoveryError::Damaged(damage) => MergeError::Damaged(damage),
        RecoveryError::Io { source, .. } => MergeError::Io(source),
    })?;
    if check(&content, &found)? {
        return Ok(Parsed { content: None, dirty });
    }
    let medium: Arc<dyn Medium> = Arc::new(FileSystem);
    let mut journal = Journal::open(&directory, &found, medium, JOURNAL_SEGMENT_BYTES_MAX)?;
    append_groups(&mut journal, &content, &found)?;
    Ok(Parsed { content: Some(content), dirty })
}

fn closing_of(content: &Content) -> Merge {
    Merge {
        count: content.next().saturating_sub(content.first()),
        first: content.first(),
        root: content.root(),
    }
}

fn close(
    parts: &Parts<'_>,
    content: &Content,
    journal: &mut Journal,
    before: &Frontier,
    sequence: u64,
) -> Result<(), MergeError> {
    // The newest entry's: no clock is asked here, so that one which is far ahead leads no log into the future. The entry of
    // the start that follows has the clock's, when that is believed.
    let time = content.time;
    let entry = Entry { event: Event::Merge(closing_of(content)), time, v: VERSION };
    let mut buffer = GroupBuffer::default();
    buffer.begin();
    let leaf = leaf_hash(buffer.push(&entry).map_err(io::Error::other)?);
    let mut after = before.clone();
    after.push(leaf);
    let checkpoint = Checkpoint { origin: parts.key.name.clone(), size: after.size(), root: after.root() };
    let signature = parts.signer.sign(checkpoint.body().as_bytes()).map_err(io::Error::other)?;
    let note = checkpoint.signed(parts.key, &signature);
    let bytes = buffer.finish(sequence, before.size(), time, &note);
    journal.append(&Batch { sequence, before, bytes })?;
    Ok(())
}

fn damaged(entry: u64, what: String) -> MergeError {
    MergeError::Damaged(Damage { segment: FILE.to_owned(), offset: 0, entry, what })
}
