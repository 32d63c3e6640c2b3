//! The offline audit: a copied directory and the log's public key, nothing else.
//!
//! Every checksum, every entry's form and order, the tree over all of them, and every signed checkpoint.
//! What an editor can't mend without the key is the root under a signature; what a truncation leaves
//! behind is a log that is whole but short, so that takes a checkpoint somebody else has kept.
//!
//! Where one byte of a group is wrong it is named, and proven: with it set right in a copy the checkpoint holds, and
//! there is no other group that this key has signed here. A segment's header is known byte for byte from what stands
//! before it. Where more than one byte of a group is wrong, the first is at or behind the place that is named.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::emergency::{self, Content, MergeError};
use super::journal::group::{
    BadGroup, Flaw, Group, HEADER_BYTES, Header, MAGIC, NOTE_BYTES_MAX, RECORD_HEAD_BYTES, RECORDS_BYTES_MAX,
};
use super::journal::recovery::{Damage, list};
use super::journal::segment::{self, SegmentHeader};
use super::open::is_signed;
use super::suspect::{Suspect, suspects};
use crate::domain::digest::Digest;
use crate::domain::entry::Entry;
use crate::domain::limits::JOURNAL_SEGMENT_BYTES_MAX;
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::note::{Checkpoint, VerifierKey};
use crate::domain::time::Timestamp;

/// Largest group in bytes.
const GROUP_BYTES_MAX: usize = HEADER_BYTES + RECORDS_BYTES_MAX + NOTE_BYTES_MAX + 4;

/// Bytes of a group's header that are known before it is read: magic, number and first entry.
const KNOWN_BYTES: usize = 20;

/// What an audit found when nothing was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries.
    pub entries: u64,
    /// Groups, each with its checkpoint.
    pub groups: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The tree's root.
    pub root: Digest,
    /// The newest checkpoint; empty for an empty log.
    pub checkpoint: String,
    /// Whether a witnessed checkpoint was given and holds.
    pub witnessed: bool,
    /// Entries of them that are in the emergency journal only.
    pub emergency: u64,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries so far.
    pub entries: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// Why an audit did not pass.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log is not as it was written.
    #[error("the log is damaged: {0}")]
    Damaged(Damage),
    /// It can't be read.
    #[error("the log can't be read: `{path}`")]
    Io {
        /// What can't.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The witnessed checkpoint is not one of this log's key.
    #[error("the witnessed checkpoint is not signed by the log's key")]
    Witness,
}

/// Audits the log in `directory`: the ledger's data directory or its `journal`. `witnessed` is a
/// checkpoint that was kept elsewhere: the log must contain what it covers.
///
/// # Errors
/// [`AuditError`]; damage is named by segment, byte and entry. The first one ends the audit.
pub fn directory(
    directory: &Path,
    key: &VerifierKey,
    witnessed: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AuditError> {
    let nested = directory.join("journal");
    let emergency =
        if nested.is_dir() { emergency::read(directory, key)?.content.map(Arc::new) } else { None };
    let directory = if nested.is_dir() { nested.as_path() } else { directory };
    let names = list(directory).map_err(|source| io_error(directory, source))?;
    let witness = witnessed.map(|note| parse_witnessed(note, key).ok_or(AuditError::Witness)).transpose()?;
    let bytes_total = names.iter().map(|first| length(&directory.join(segment::name(*first)))).sum();
    let mut audit = Audit { emergency, ..Audit::new(key, witness, bytes_total) };
    let mut buffer = Vec::new();
    for first in names {
        let path = directory.join(segment::name(first));
        read(&path, &mut buffer).map_err(|source| io_error(&path, source))?;
        audit.segment(first, &buffer, progress)?;
    }
    if let Some(content) = audit.emergency.take() {
        audit.in_emergency = audit.go_on(&content, progress)?;
    }
    audit.end()
}

#[derive(Clone)]
struct Audit<'a> {
    key: &'a VerifierKey,
    witness: Option<Checkpoint>,
    frontier: Frontier,
    sequence: u64,
    time: Timestamp,
    note: String,
    segments: u64,
    last: (u64, u64),
    bytes_before: u64,
    bytes_total: u64,
    canonical: Vec<u8>,
    /// What an emergency wrote, to be found in the journal or behind it.
    emergency: Option<Arc<Content>>,
    in_emergency: u64,
}

impl<'a> Audit<'a> {
    fn new(key: &'a VerifierKey, witness: Option<Checkpoint>, bytes_total: u64) -> Self {
        Self {
            key,
            witness,
            frontier: Frontier::default(),
            sequence: 0,
            time: Timestamp::default(),
            note: String::new(),
            segments: 0,
            last: (0, 0),
            bytes_before: 0,
            bytes_total,
            canonical: Vec::new(),
            emergency: None,
            in_emergency: 0,
        }
    }

    /// Holds the emergency journal to the log: what of it was merged is checked entry by entry, the rest is the
    /// log's next segment. Gives the number of entries that are there only.
    fn go_on(&mut self, content: &Content, progress: &mut dyn FnMut(Progress)) -> Result<u64, AuditError> {
        let (first, size) = (content.first(), self.frontier.size());
        if size < first {
            let what = format!("the emergency journal was begun behind {first} entries, the log has {size}");
            return Err(damaged(self.last.0, 0, size, what));
        }
        if size == first {
            self.segment(first, content.segment(), progress).map_err(there)?;
        } else {
            for (group, bytes) in content.groups().filter(|(group, _)| group.header.first >= size) {
                self.group(group.header.first, 0, bytes).map_err(there)?;
            }
        }
        Ok(self.frontier.size().saturating_sub(size))
    }

    fn segment(
        &mut self,
        first: u64,
        bytes: &[u8],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), AuditError> {
        let bad = |at: usize, what: String| Err(damaged(first, at, self.frontier.size(), what));
        let (header, mut at) = match SegmentHeader::parse(bytes) {
            Ok(parsed) => parsed,
            Err(flaw) => {
                let (sequence, frontier) = (self.sequence, self.frontier.clone());
                let expected = SegmentHeader { sequence, frontier }.encode();
                return bad(same(&expected, bytes), format!("segment header: {flaw}"));
            }
        };
        let follows = header.frontier == self.frontier && header.sequence == self.sequence;
        if !follows || first != self.frontier.size() {
            let what = "the segment does not follow the one before: entries are missing or changed";
            return bad(0, what.to_owned());
        }
        self.segments += 1;
        while at < bytes.len() {
            at += self.group(first, at, bytes.get(at..).unwrap_or_default())?;
            let bytes = self.bytes_before.saturating_add(wide(at));
            progress(Progress { entries: self.frontier.size(), bytes, bytes_total: self.bytes_total });
        }
        self.last = (first, wide(at));
        self.bytes_before = self.bytes_before.saturating_add(wide(bytes.len()));
        Ok(())
    }

    /// Checks the group at the start of `bytes`, which is at `at` in the segment; gives its length. When that fails
    /// the audit is over.
    fn group(&mut self, segment: u64, at: usize, bytes: &[u8]) -> Result<usize, AuditError> {
        let (frontier, time) = (self.frontier.clone(), self.time);
        self.whole_group(segment, at, bytes).map_err(|error| {
            (self.frontier, self.time) = (frontier, time);
            match error {
                AuditError::Damaged(damage) => AuditError::Damaged(self.located(segment, at, bytes, damage)),
                other @ (AuditError::Io { .. } | AuditError::Witness) => other,
            }
        })
    }

    /// The damage of a group with its byte, when that is one. It is proven by the group that is whole without it: what
    /// the checkpoint does not cover, such as lengths, follows from what it does.
    fn located(&self, segment: u64, at: usize, bytes: &[u8], mut damage: Damage) -> Damage {
        let mut repaired = bytes.get(..GROUP_BYTES_MAX).unwrap_or(bytes).to_vec();
        for Suspect { at: place, was } in suspects_in_group(bytes) {
            let Some(byte) = repaired.get_mut(place) else { continue };
            let found = std::mem::replace(byte, was);
            if self.clone().whole_group(segment, at, &repaired).is_ok() {
                damage.offset = wide(at + place);
                damage.entry = self.frontier.size().saturating_add(records_before(&repaired, place));
                damage.what = format!("{}: the byte is 0x{found:02x}, and was 0x{was:02x}", damage.what);
                return damage;
            }
            repaired.iter_mut().skip(place).take(1).for_each(|byte| *byte = found);
        }
        damage
    }

    /// The first byte of a group's header that is not as it has to be, among those that are known beforehand.
    fn differs(&self, bytes: &[u8]) -> Option<usize> {
        let (sequence, first) = (self.sequence.to_le_bytes(), self.frontier.size().to_le_bytes());
        let expected = [&MAGIC[..], &sequence, &first].concat();
        let same = same(&expected, bytes);
        (same < KNOWN_BYTES.min(bytes.len())).then_some(same)
    }

    fn whole_group(&mut self, segment: u64, at: usize, bytes: &[u8]) -> Result<usize, AuditError> {
        let size = self.frontier.size();
        let group = Group::parse(bytes).map_err(|BadGroup { at: place, record, flaw }| {
            let place = if flaw == Flaw::Short { place } else { place.max(KNOWN_BYTES) };
            let place = self.differs(bytes).unwrap_or(place);
            let entry = size.saturating_add(u64::from(record));
            damaged(segment, at + place, entry, format!("group {}: {flaw}", self.sequence))
        })?;
        let header = group.header;
        if header.sequence != self.sequence || header.first != size || header.time < self.time {
            let place = at + self.differs(bytes).unwrap_or(KNOWN_BYTES);
            return Err(damaged(segment, place, size, "the group is out of order".to_owned()));
        }
        self.time = header.time;
        for (offset, json) in group.entries() {
            let at = at + usize::try_from(offset).unwrap_or_default() + RECORD_HEAD_BYTES;
            self.entry(segment, at, json)?;
        }
        let checkpoint = parse_checkpoint(group.note, self.key);
        let holds = checkpoint.is_some_and(|checkpoint| {
            checkpoint.size == self.frontier.size() && checkpoint.root == self.frontier.root()
        });
        if !holds {
            let what =
                format!("group {}: the log's key signed no checkpoint for these entries", self.sequence);
            return Err(damaged(segment, at, size, what));
        }
        group.note.clone_into(&mut self.note);
        self.sequence = self.sequence.saturating_add(1);
        Ok(header.total_bytes())
    }

    fn entry(&mut self, segment: u64, at: usize, json: &[u8]) -> Result<(), AuditError> {
        let index = self.frontier.size();
        let entry = Entry::from_json(json).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            damaged(segment, at, index, format!("{error}{cause}"))
        })?;
        self.canonical.clear();
        let written = entry.append_canonical_json(&mut self.canonical);
        if written.is_err() || self.canonical != json {
            let at = at + same(&self.canonical, json);
            return Err(damaged(segment, at, index, "the entry is not canonical JSON".to_owned()));
        }
        if entry.time != self.time {
            return Err(damaged(segment, at, index, "the entry's time is not its group's".to_owned()));
        }
        if let Some(content) = &self.emergency
            && content.leaf(index).is_some_and(|leaf| leaf != leaf_hash(json))
        {
            return Err(damaged(
                segment,
                at,
                index,
                "the emergency journal has another entry here".to_owned(),
            ));
        }
        self.frontier.push(leaf_hash(json));
        let witness = self.witness.as_ref().filter(|witness| witness.size == self.frontier.size());
        if witness.is_some_and(|witness| witness.root != self.frontier.root()) {
            let what = "the entries up to here are not those of the witnessed checkpoint";
            return Err(damaged(segment, at, index, what.to_owned()));
        }
        Ok(())
    }

    fn end(self) -> Result<Report, AuditError> {
        let entries = self.frontier.size();
        if let Some(witness) = self.witness.as_ref().filter(|witness| witness.size > entries) {
            let (segment, offset) = self.last;
            let what = format!("truncated: the witnessed checkpoint has {} entries", witness.size);
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            return Err(damaged(segment, offset, entries, what));
        }
        Ok(Report {
            entries,
            groups: self.sequence,
            segments: self.segments,
            bytes: self.bytes_before,
            root: self.frontier.root(),
            checkpoint: self.note,
            witnessed: self.witness.is_some(),
            emergency: self.in_emergency,
        })
    }
}

/// What alone can be wrong in the group at the start of `bytes`. The header has a checksum of its own; when that holds
/// it tells where the closing one is.
fn suspects_in_group(bytes: &[u8]) -> Vec<Suspect> {
    let end = Header::parse(bytes).map_or(HEADER_BYTES, |header| header.total_bytes());
    bytes.get(..end).map_or_else(Vec::new, suspects)
}

/// The records of a whole group that end before `place`.
fn records_before(group: &[u8], place: usize) -> u64 {
    let Ok(group) = Group::parse(group) else { return 0 };
    let ends = group.entries().map(|(offset, json)| {
        usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(RECORD_HEAD_BYTES + json.len())
    });
    wide(ends.filter(|end| *end <= place).count())
}

/// How many bytes at the start of both are the same.
fn same(expected: &[u8], found: &[u8]) -> usize {
    expected.iter().zip(found).take_while(|(a, b)| a == b).count()
}

/// Damage of the emergency journal is named after it.
fn there(error: AuditError) -> AuditError {
    match error {
        AuditError::Damaged(damage) => {
            AuditError::Damaged(Damage { segment: emergency::FILE.to_owned(), ..damage })
        }
        AuditError::Io { .. } | AuditError::Witness => error,
    }
}

impl From<MergeError> for AuditError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Damaged(damage) => Self::Damaged(damage),
            MergeError::Io(source) => io_error(Path::new(emergency::FILE), source),
        }
    }
}

fn parse_checkpoint(note: &str, key: &VerifierKey) -> Option<Checkpoint> {
    let (checkpoint, signature) = Checkpoint::parse(note, key).ok()?;
    // One spelling: bytes after the signature line, or another signer's, were not written by us.
    let written = checkpoint.signed(key, &signature) == note;
    (written && is_signed(key, checkpoint.body().as_bytes(), &signature)).then_some(checkpoint)
}

/// As [`parse_checkpoint`], but witnesses may have added their own signatures.
fn parse_witnessed(note: &str, key: &VerifierKey) -> Option<Checkpoint> {
    let (checkpoint, signature) = Checkpoint::parse(note, key).ok()?;
    is_signed(key, checkpoint.body().as_bytes(), &signature).then_some(checkpoint)
}

fn read(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let bound = JOURNAL_SEGMENT_BYTES_MAX.saturating_add(2 * wide(RECORDS_BYTES_MAX));
    if file.metadata()?.len() > bound {
        return Err(io::Error::other("the segment is larger than any that is written"));
    }
    buffer.clear();
    file.read_to_end(buffer)?;
    Ok(())
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |about| about.len())
}

fn wide(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

fn damaged(segment: u64, at: usize, entry: u64, what: String) -> AuditError {
    AuditError::Damaged(Damage { segment: segment::name(segment), offset: wide(at), entry, what })
}

fn io_error(path: &Path, source: io::Error) -> AuditError {
    AuditError::Io { path: path.to_owned(), source }
}
