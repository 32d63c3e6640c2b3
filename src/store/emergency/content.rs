//! What an emergency journal holds: every checksum, the order of groups, every signed checkpoint, and the end.
//!
//! As in the journal, an unfinished write at the end was never acknowledged and counts for nothing; everything
//! else that is wrong is damage, and halts.

use std::ops::Range;

use crate::domain::digest::Digest;
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::note::{Checkpoint, VerifierKey};
use crate::domain::time::Timestamp;
use crate::store::journal::group::{Flaw, Group, HEADER_BYTES, Header, MAGIC};
use crate::store::journal::recovery::{Damage, SECTOR_BYTES, has_empty_sector, later_group_follows};
use crate::store::journal::segment::SegmentHeader;
use crate::store::open::is_signed;

/// Its name below the state directory, as messages say it.
pub(in crate::store) const FILE: &str = "emergency/journal";
/// What a file begins with that is being emptied: what follows counts for nothing, the log has it. It is far from every
/// other beginning, and in a sector, which a disk writes whole.
pub(in crate::store) const EMPTIED: [u8; 8] = *b"EMPTIED.";
/// Bytes of a group's closing checksum.
const CHECKSUM_BYTES: usize = 4;
/// Longest header in bytes: a tree of 64 roots.
const HEADER_BYTES_MAX: usize = 36 + 64 * 32;

/// The groups of an emergency journal that has begun.
#[derive(Debug)]
pub(in crate::store) struct Content {
    /// The tree that it begins behind.
    pub(in crate::store) header: SegmentHeader,
    /// The tree after it.
    pub(in crate::store) frontier: Frontier,
    /// The newest entry's time.
    pub(in crate::store) time: Timestamp,
    bytes: Vec<u8>,
    groups: Vec<Range<usize>>,
    leaves: Vec<Digest>,
}

/// What was found.
#[derive(Debug)]
pub(in crate::store) struct Parsed {
    /// `None` when no emergency has begun.
    pub(in crate::store) content: Option<Content>,
    /// Bytes up to here are not zero.
    pub(in crate::store) dirty: u64,
}

impl Content {
    /// The index of its first entry.
    pub(in crate::store) fn first(&self) -> u64 {
        self.header.frontier.size()
    }

    /// The index after its last entry.
    pub(in crate::store) fn next(&self) -> u64 {
        self.frontier.size()
    }

    /// The tree's root after it.
    pub(in crate::store) fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The offset behind its last group.
    pub(in crate::store) fn end(&self) -> u64 {
        wide(self.groups.last().map_or_else(|| self.header.encode().len(), |group| group.end))
    }

    /// Header and groups, without what stands behind them.
    pub(in crate::store) fn segment(&self) -> &[u8] {
        self.bytes.get(..usize::try_from(self.end()).unwrap_or_default()).unwrap_or_default()
    }

    /// The groups, each as it was written.
    pub(in crate::store) fn groups(&self) -> impl Iterator<Item = (Group<'_>, &[u8])> {
        self.groups.iter().filter_map(|range| {
            let bytes = self.bytes.get(range.clone())?;
            Some((Group::parse(bytes).ok()?, bytes))
        })
    }

    /// The leaf of the entry at `index` of the log, when it is here.
    pub(in crate::store) fn leaf(&self, index: u64) -> Option<Digest> {
        let at = index.checked_sub(self.first())?;
        self.leaves.get(usize::try_from(at).ok()?).copied()
    }

    /// Its entries with their indexes.
    pub(in crate::store) fn entries(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let entries =
            self.groups().flat_map(|(group, _)| group.entries().map(|(_, entry)| entry).collect::<Vec<_>>());
        (self.first()..).zip(entries)
    }
}

/// Reads an emergency journal's bytes and holds them to the log's key.
///
/// # Errors
/// [`Damage`], with its place.
pub(in crate::store) fn parse(bytes: Vec<u8>, key: &VerifierKey) -> Result<Parsed, Damage> {
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let none = Parsed { content: None, dirty: wide(used) };
    if used == 0 || bytes.starts_with(&EMPTIED) {
        return Ok(none);
    }
    let (header, mut at) = match SegmentHeader::parse(&bytes) {
        Ok(parsed) => parsed,
        // No group is written before the header is durable.
        Err(_) if used <= HEADER_BYTES_MAX && !has_group(&bytes) => return Ok(none),
        Err(flaw) => return Err(damage(0, 0, format!("header: {flaw}"))),
    };
    let (mut frontier, mut time) = (header.frontier.clone(), Timestamp::default());
    let (mut sequence, mut groups, mut leaves) = (header.sequence, Vec::new(), Vec::new());
    while at < used {
        let rest = bytes.get(at..).unwrap_or_default();
        let group = match Group::parse(rest) {
            Ok(group) => group,
            Err(bad) if bad.flaw != Flaw::Order && is_torn(&bytes, at, used, sequence) => break,
            Err(bad) => {
                return Err(damage(at + bad.at, frontier.size(), format!("group {sequence}: {}", bad.flaw)));
            }
        };
        let found = group.header;
        if found.sequence != sequence || found.first != frontier.size() || found.time < time {
            return Err(damage(at, frontier.size(), "the group is out of order".to_owned()));
        }
        for leaf in group.entries().map(|(_, entry)| leaf_hash(entry)) {
            frontier.push(leaf);
            leaves.push(leaf);
        }
        if !holds(group.note, &frontier, key) {
            let what = format!("group {sequence}: the log's key signed no checkpoint for these entries");
            return Err(damage(at, found.first, what));
        }
        let end = at + found.total_bytes();
        groups.push(at..end);
        (at, time, sequence) = (end, found.time, sequence.saturating_add(1));
    }
    let content = Content { header, frontier, time, bytes, groups, leaves };
    Ok(Parsed { content: Some(content), dirty: wide(used) })
}

fn holds(note: &str, frontier: &Frontier, key: &VerifierKey) -> bool {
    Checkpoint::parse(note, key).is_ok_and(|(checkpoint, signature)| {
        checkpoint.size == frontier.size()
            && checkpoint.root == frontier.root()
            && is_signed(key, checkpoint.body().as_bytes(), &signature)
    })
}

fn has_group(bytes: &[u8]) -> bool {
    let mut starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    starts.any(|(at, _)| Header::parse(bytes.get(at..).unwrap_or_default()).is_ok())
}

/// Whether the flawed group at `at` is an unfinished write: nothing stands behind it, and its end or a sector of it
/// was never written. A written group ends with the line feed of its note and the checksum.
fn is_torn(bytes: &[u8], at: usize, used: usize, sequence: u64) -> bool {
    let tail = bytes.get(at..used).unwrap_or_default();
    let (end, last) = match Header::parse(bytes.get(at..).unwrap_or_default()) {
        Ok(header) => (at + header.total_bytes(), at + header.total_bytes() - CHECKSUM_BYTES),
        Err(_) => (used.next_multiple_of(SECTOR_BYTES).max(at + HEADER_BYTES), at + HEADER_BYTES),
    };
    let has_end = used >= last;
    let unwritten = !has_end || has_empty_sector(bytes.get(..end).unwrap_or(bytes), at);
    used <= end && unwritten && !later_group_follows(tail, sequence)
}

fn damage(at: usize, entry: u64, what: String) -> Damage {
    Damage { segment: FILE.to_owned(), offset: wide(at), entry, what }
}

fn wide(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}
