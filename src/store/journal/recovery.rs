//! What a journal holds at start: every checksum, the order of groups, and the end.
//!
//! A group that was never acknowledged may be torn by a crash; it is cut when nothing follows and it looks
//! torn. Everything else that is wrong halts, with its place. Attack: an editor who damages the last group
//! hopes to have it cut; so the caller says how many entries are known to be acknowledged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Positions;
use super::group::{BadGroup, Flaw, Group, HEADER_BYTES, Header, MAGIC, RECORDS_BYTES_MAX};
use super::segment::{self, SegmentHeader};
use crate::domain::limits::JOURNAL_SEGMENT_BYTES_MAX;
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::time::Timestamp;
use crate::store::engine::Place;

/// A sector: the unit that a disk writes whole.
pub(in crate::store) const SECTOR_BYTES: usize = 512;
/// No segment is larger: the bound, one group beyond it, headers and note.
const SEGMENT_READ_BYTES_MAX: u64 = JOURNAL_SEGMENT_BYTES_MAX + RECORDS_BYTES_MAX as u64 + 65_536;

/// Damage, located.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: segment `{segment}`, byte {offset}, entry {entry}")]
pub struct Damage {
    /// The segment's file name.
    pub segment: String,
    /// Offset of the first part that is not as it was written.
    pub offset: u64,
    /// The entry that it belongs to, or that should be there.
    pub entry: u64,
    /// What is wrong.
    pub what: String,
}

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// It is damaged. Nothing was changed.
    #[error("the journal is damaged: {0}")]
    Damaged(Damage),
    /// It can't be read or cut.
    #[error("the journal could not be read: `{path}`")]
    Io {
        /// What could not be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Number of the next group.
    pub sequence: u64,
    /// Number of entries.
    pub size: u64,
    /// The tree.
    pub frontier: Frontier,
    /// The newest entry's time.
    pub time: Timestamp,
    /// The newest checkpoint.
    pub note: Option<String>,
    /// First index and length of the last segment.
    pub last_segment: Option<(u64, u64)>,
    /// Where groups are.
    pub positions: Arc<Positions>,
    /// The first index and the newest time of each segment.
    pub segments: Vec<(u64, Timestamp)>,
    /// Bytes of an unacknowledged group that were cut.
    pub cut_bytes: u64,
    /// The last checkpoint of each segment with the root that its entries, or the next header, give.
    pub checkpoints: Vec<(String, Frontier)>,
}

/// One segment's content, for [`scan`].
struct Segment<'a> {
    first: u64,
    bytes: &'a [u8],
    is_last: bool,
}

/// Reads the journal in `directory`. `acknowledged` is the number of entries that are known to have been
/// durable: a tail below it is never cut.
///
/// # Errors
/// [`RecoveryError`], with the place of the damage.
pub fn recover(directory: &Path, acknowledged: u64) -> Result<Found, RecoveryError> {
    recover_from(directory, acknowledged, 0)
}

/// As [`recover`], but the segments before the one whose first entry is `from` are taken as they are: not
/// even opened. What is wrong in them shows when somebody reads it.
///
/// # Errors
/// [`RecoveryError`], with the place of the damage.
pub fn recover_from(directory: &Path, acknowledged: u64, from: u64) -> Result<Found, RecoveryError> {
    let mut found = Found::empty(directory);
    let mut names = list(directory).map_err(|source| io_error(directory, source))?;
    drop_unborn(directory, &mut names)?;
    let mut buffer = Vec::new();
    for (at, first) in names.iter().enumerate() {
        let path = directory.join(segment::name(*first));
        if *first < from {
            found.pass_over(*first);
            continue;
        }
        let is_last = at + 1 == names.len();
        read_segment(&path, is_last, &mut buffer).map_err(|source| io_error(&path, source))?;
        if *first == from {
            found.begin_at(&buffer);
        }
        let torn = found.scan(&Segment { first: *first, bytes: &buffer, is_last }, acknowledged)?;
        if let Some(offset) = torn {
            found.cut_bytes = u64::try_from(buffer.len()).unwrap_or(u64::MAX).saturating_sub(offset);
            cut(&path, offset).map_err(|source| io_error(&path, source))?;
        }
    }
    if found.size < acknowledged {
        let what = format!("{acknowledged} entries were acknowledged, fewer are there");
        let end = found.last_segment.unwrap_or_default();
        return Err(RecoveryError::Damaged(damage(end.0, end.1, found.size, what)));
    }
    Ok(found)
}

impl Found {
    fn empty(directory: &Path) -> Self {
        Self {
            sequence: 0,
            size: 0,
            frontier: Frontier::default(),
            time: Timestamp::default(),
            note: None,
            last_segment: None,
            positions: Arc::new(Positions::new(directory.to_owned())),
            segments: Vec::new(),
            cut_bytes: 0,
            checkpoints: Vec::new(),
        }
    }

    /// Takes over a segment without a look at it: it may be on a part of the disk that can't be read any more.
    fn pass_over(&mut self, first: u64) {
        self.positions.add_unread(first);
        self.segments.push((first, Timestamp::from_millis(i64::MIN)));
    }

    /// Goes on from a segment, as its header says; whether that is right is for the caller, who has its tree's root.
    fn begin_at(&mut self, bytes: &[u8]) {
        if let Ok((header, _)) = SegmentHeader::parse(bytes) {
            (self.size, self.sequence) = (header.frontier.size(), header.sequence);
        }
    }

    /// Takes over one segment; gives the offset of a torn tail.
    fn scan(&mut self, segment: &Segment<'_>, acknowledged: u64) -> Result<Option<u64>, RecoveryError> {
        let mut at = self.begin_segment(segment)?;
        while at < segment.bytes.len() {
            let rest = segment.bytes.get(at..).unwrap_or_default();
            let group = match self.group(rest) {
                Ok(group) => group,
                Err(bad) if segment.is_last && self.is_torn(segment.bytes, at, &bad, acknowledged) => {
                    self.end_segment(segment, at);
                    return Ok(Some(offset(at)));
                }
                Err(bad) => {
                    let entry = self.size.saturating_add(u64::from(bad.record));
                    let what = format!("group {}: {}", self.sequence, bad.flaw);
                    let damage = damage(segment.first, offset(at + bad.at), entry, what);
                    return Err(RecoveryError::Damaged(damage));
                }
            };
            self.positions.add(self.size, Place { segment: segment.first, offset: offset(at) });
            if segment.is_last {
                group.entries().for_each(|(_, entry)| self.frontier.push(leaf_hash(entry)));
            }
            (self.sequence, self.time) = (self.sequence.saturating_add(1), group.header.time);
            (self.size, at) = (group.header.end(), at + group.header.total_bytes());
            self.note = Some(group.note.to_owned());
        }
        self.end_segment(segment, at);
        Ok(None)
    }

    /// Checks the header; gives where the groups begin.
    fn begin_segment(&mut self, segment: &Segment<'_>) -> Result<usize, RecoveryError> {
        let fail = |what: String| Err(RecoveryError::Damaged(damage(segment.first, 0, self.size, what)));
        let (header, length) = match SegmentHeader::parse(segment.bytes) {
            Ok(parsed) => parsed,
            Err(flaw) => return fail(format!("segment header: {flaw}")),
        };
        let first = header.frontier.size();
        if first != self.size || segment.first != first || header.sequence != self.sequence {
            return fail("the segment does not follow the one before".to_owned());
        }
        self.frontier = header.frontier;
        if let Some(note) = &self.note {
            self.checkpoints.push((note.clone(), self.frontier.clone()));
        }
        Ok(length)
    }

    fn group<'a>(&self, bytes: &'a [u8]) -> Result<Group<'a>, BadGroup> {
        let group = Group::parse(bytes)?;
        let header = &group.header;
        let follows =
            header.sequence == self.sequence && header.first == self.size && header.time >= self.time;
        if follows { Ok(group) } else { Err(BadGroup { at: 0, record: 0, flaw: Flaw::Order }) }
    }

    fn is_torn(&self, bytes: &[u8], at: usize, bad: &BadGroup, acknowledged: u64) -> bool {
        self.size >= acknowledged && looks_torn(bytes, at, bad, self.sequence)
    }

    fn end_segment(&mut self, segment: &Segment<'_>, bytes: usize) {
        self.last_segment = Some((segment.first, offset(bytes)));
        self.segments.push((segment.first, self.time));
        if let (true, Some(note)) = (segment.is_last, &self.note) {
            self.checkpoints.push((note.clone(), self.frontier.clone()));
        }
    }
}

/// Whether the flawed group at `at` is an unfinished write: nothing of a later group follows, and the file
/// ends inside it or sectors of it were never written.
fn looks_torn(bytes: &[u8], at: usize, bad: &BadGroup, sequence: u64) -> bool {
    if bad.flaw == Flaw::Order {
        return false;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    let end = Header::parse(tail).map(|header| header.total_bytes());
    // Bytes after the group's end belong to something that was written after it was synced.
    if end.is_ok_and(|end| tail.len() > end) || later_group_follows(tail, sequence) {
        return false;
    }
    let ends_inside = end.map_or(tail.len() < HEADER_BYTES, |end| tail.len() < end);
    ends_inside || has_empty_sector(bytes, at)
}

/// Whether the bytes hold the header of a group after `sequence`.
pub(in crate::store) fn later_group_follows(tail: &[u8], sequence: u64) -> bool {
    let starts = tail.windows(MAGIC.len()).enumerate().skip(1);
    let mut headers = starts.filter(|(_, window)| *window == MAGIC);
    headers.any(|(at, _)| {
        let header = Header::parse(tail.get(at..).unwrap_or_default());
        header.is_ok_and(|header| header.sequence > sequence)
    })
}

/// Whether a sector that lies in the group, from its first byte on, is all zero. The first and the last
/// may lie in it partly.
pub(in crate::store) fn has_empty_sector(bytes: &[u8], at: usize) -> bool {
    let first = at / SECTOR_BYTES;
    bytes.chunks(SECTOR_BYTES).enumerate().skip(first).any(|(sector, chunk)| {
        let own = chunk.get(at.saturating_sub(sector * SECTOR_BYTES)..).unwrap_or_default();
        !own.is_empty() && own.iter().all(|byte| *byte == 0)
    })
}

/// The segments' first indexes, ascending.
///
/// # Errors
/// The system's.
pub fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut names = Vec::new();
    for file in fs::read_dir(directory)? {
        names.extend(file?.file_name().to_str().and_then(segment::parse_name));
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes a last segment that was never finished: a crash came before its header was durable, so no
/// group was ever in it.
fn drop_unborn(directory: &Path, names: &mut Vec<u64>) -> Result<(), RecoveryError> {
    let Some(last) = names.last() else { return Ok(()) };
    let path = directory.join(segment::name(*last));
    let bytes = fs::metadata(&path).and_then(|about| {
        let short = about.len() < 4096;
        if short { fs::read(&path) } else { Ok(vec![1; SECTOR_BYTES]) }
    });
    let bytes = bytes.map_err(|source| io_error(&path, source))?;
    let unborn = SegmentHeader::parse(&bytes) == Err(Flaw::Short) || bytes.iter().all(|byte| *byte == 0);
    if unborn {
        let removed = fs::remove_file(&path).and_then(|()| File::open(directory)?.sync_all());
        removed.map_err(|source| io_error(&path, source))?;
        names.pop();
    }
    Ok(())
}

/// Reads a segment whole. Of the last one, what the page cache says and the disk does not have is dropped
/// first: after a failed sync the kernel may show bytes that it never wrote.
fn read_segment(path: &Path, is_last: bool, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::open(path)?;
    if is_last {
        file.sync_data()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    let length = file.metadata()?.len();
    if length > SEGMENT_READ_BYTES_MAX {
        return Err(io::Error::other("the segment is larger than any that is written"));
    }
    buffer.clear();
    file.read_to_end(buffer)?;
    Ok(())
}

fn cut(path: &Path, offset: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(offset)?;
    file.sync_all()
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

fn damage(segment: u64, offset: u64, entry: u64, what: String) -> Damage {
    Damage { segment: segment::name(segment), offset, entry, what }
}

fn io_error(path: &Path, source: io::Error) -> RecoveryError {
    RecoveryError::Io { path: path.to_owned(), source }
}
