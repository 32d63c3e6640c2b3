//! Where entries are: readers by index over the segments, and over the groups that no segment has.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use super::group::{self, Group, HEADER_BYTES, Header, RECORD_HEAD_BYTES, parse_record};
use super::kept::Kept;
use super::segment::{self, SegmentHeader};
use crate::domain::limits::ENTRY_BYTES_MAX;
use crate::domain::time::Timestamp;
use crate::store::engine::Place;

/// The offset of a place that stands for all of its segment: nobody has looked yet where its first group begins.
const UNREAD: u64 = 0;

/// Distance of the known positions in a segment: a lookup walks at most this far over group headers.
const MARK_BYTES: u64 = 64 * 1024;

/// Where groups begin: one known position for each `MARK_BYTES`, so that memory stays small (some 20 KiB
/// for a million entries), and readers of entries by index.
#[derive(Debug)]
pub struct Positions {
    directory: PathBuf,
    /// First index of a group and its place, ascending.
    marks: RwLock<Vec<(u64, Place)>>,
    /// Groups that no segment has, behind all that one has.
    kept: Kept,
}

impl Positions {
    /// None known yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, marks: RwLock::default(), kept: Kept::default() }
    }

    /// Keeps a group that is durable elsewhere and that the segments here have no room for. Called in order, and no
    /// segment gets another group after it.
    pub fn keep(&self, first: u64, group: &[u8]) -> Place {
        self.kept.push(first, group)
    }

    /// A group begins here. Called in order.
    pub fn add(&self, first: u64, place: Place) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let near = |(_, last): &(u64, Place)| {
            last.segment == place.segment && place.offset < last.offset.saturating_add(MARK_BYTES)
        };
        if !marks.last().is_some_and(near) {
            marks.push((first, place));
        }
    }

    /// A segment of which nothing was read. Called in order, before any [`Self::add`].
    pub fn add_unread(&self, first: u64) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        marks.push((first, Place { segment: first, offset: UNREAD }));
    }

    /// Remembers a group that a reader came by, so that the next one begins there.
    fn came_by(&self, first: u64, place: Place) {
        let far = |(_, known): (u64, Place)| {
            known.segment != place.segment || known.offset.saturating_add(MARK_BYTES) <= place.offset
        };
        if !self.mark_before(first).is_some_and(far) {
            return;
        }
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let at = marks.partition_point(|(known, _)| *known <= first);
        // Another reader may have been here meanwhile.
        if at.checked_sub(1).and_then(|before| marks.get(before).copied()).is_some_and(far) {
            marks.insert(at, (first, place));
        }
    }

    /// The header of the last segment whose first group was committed before `time`; `None` when there is none.
    ///
    /// # Errors
    /// When the journal can't be read there, or is damaged.
    pub fn begun_before(&self, time: Timestamp) -> io::Result<Option<SegmentHeader>> {
        let mut place = self.last_segment();
        while let Some(at) = place {
            let (file, at) = self.open(at)?;
            if header_at(&file, at.offset)?.is_some_and(|header| header.time < time) {
                return Ok(Some(segment_header(&file)?.0));
            }
            place = self.segment_before(at.segment);
        }
        Ok(None)
    }

    /// The header of the segment whose first entry is `first`.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn header(&self, first: u64) -> io::Result<SegmentHeader> {
        Ok(segment_header(&self.segment(first)?)?.0)
    }

    /// The entry at `index`; `None` beyond the end.
    ///
    /// # Errors
    /// When the journal can't be read there, or is damaged.
    pub fn entry(&self, index: u64) -> io::Result<Option<Vec<u8>>> {
        let mut entries = self.entries(index, 1)?;
        Ok(entries.pop())
    }

    /// Up to `count` entries from `first` on; fewer at the end. Damage is an error, never a gap.
    ///
    /// # Errors
    /// When the journal can't be read there, or is damaged.
    pub fn entries(&self, first: u64, count: usize) -> io::Result<Vec<Vec<u8>>> {
        // What stands in a segment from there on is the part of a group that was left when it took no more.
        let behind = self.kept.first().map_or(u64::MAX, |kept| kept.saturating_sub(first));
        let written = count.min(usize::try_from(behind).unwrap_or(usize::MAX));
        let mut found = self.written(first, written)?;
        let next = first.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
        self.kept.add_to(&mut found, next, count)?;
        Ok(found)
    }

    /// Up to `count` entries from `first` on that are in segments.
    fn written(&self, first: u64, count: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let Some((mut next, place)) = self.mark_before(first).filter(|_| count > 0) else { return Ok(found) };
        let (mut file, mut place) = self.open(place)?;
        while found.len() < count {
            let Some(header) = header_at(&file, place.offset)? else {
                let Some(after) = self.segment_after(place.segment) else { break };
                (file, place) = self.open(after)?;
                continue;
            };
            // The segments before the last ones may have been passed over, and one of them may be gone.
            if header.first != next {
                return Err(damaged(place, 0, group::Flaw::Order));
            }
            next = header.end();
            self.came_by(header.first, place);
            if header.end() > first {
                let bytes = read_at(&file, place.offset, header.total_bytes())?;
                let group = Group::parse(&bytes).map_err(|bad| damaged(place, bad.at, bad.flaw))?;
                let from = usize::try_from(first.saturating_sub(header.first)).unwrap_or(usize::MAX);
                let entries = group.entries().skip(from).map(|(_, entry)| entry.to_vec());
                found.extend(entries.take(count - found.len()));
            }
            place.offset += u64::try_from(header.total_bytes()).unwrap_or(u64::MAX);
        }
        Ok(found)
    }

    /// The entry of the record at `offset` from the start of the group at `place`.
    ///
    /// # Errors
    /// When the journal can't be read there, or is damaged.
    pub fn record(&self, place: Place, offset: u32) -> io::Result<Vec<u8>> {
        if let Some(found) = self.kept.record(place, offset) {
            return found;
        }
        let file = self.segment(place.segment)?;
        let at = place.offset.saturating_add(u64::from(offset));
        let head = read_at(&file, at, 4)?;
        let length = head.try_into().map_or(0, u32::from_le_bytes);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(ENTRY_BYTES_MAX);
        let bytes = read_at(&file, at, RECORD_HEAD_BYTES + length)?;
        let (entry, _) =
            parse_record(&bytes).map_err(|flaw| damaged(Place { offset: at, ..place }, 0, flaw))?;
        Ok(entry.to_vec())
    }

    fn mark_before(&self, index: u64) -> Option<(u64, Place)> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let after = marks.partition_point(|(first, _)| *first <= index);
        marks.get(after.checked_sub(1)?).copied()
    }

    /// The first known place of the last segment.
    fn last_segment(&self) -> Option<Place> {
        self.segment_before(u64::MAX)
    }

    /// The first known place of the segment before `segment`.
    fn segment_before(&self, segment: u64) -> Option<Place> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let before = marks.partition_point(|(_, place)| place.segment < segment);
        let (_, last) = marks.get(before.checked_sub(1)?)?;
        let first = marks.partition_point(|(_, place)| place.segment < last.segment);
        marks.get(first).map(|(_, place)| *place)
    }

    /// The first known place of the segment after `segment`.
    fn segment_after(&self, segment: u64) -> Option<Place> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let after = marks.partition_point(|(_, place)| place.segment <= segment);
        marks.get(after).map(|(_, place)| *place)
    }

    /// The file of the segment whose first entry is `first`.
    pub fn path(&self, first: u64) -> PathBuf {
        self.directory.join(segment::name(first))
    }

    /// The segment of a place, and where in it its group begins.
    fn open(&self, place: Place) -> io::Result<(File, Place)> {
        let file = self.segment(place.segment)?;
        if place.offset != UNREAD {
            return Ok((file, place));
        }
        let (header, length) = segment_header(&file)?;
        if header.frontier.size() != place.segment {
            return Err(damaged(place, 0, group::Flaw::Order));
        }
        Ok((file, Place { offset: u64::try_from(length).unwrap_or(u64::MAX), ..place }))
    }

    fn segment(&self, first: u64) -> io::Result<File> {
        File::open(self.path(first))
    }
}

fn header_at(file: &File, offset: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Header::parse(&bytes).map(Some).map_err(|bad| io::Error::other(bad.flaw)),
        // A segment ends after its last group; the writer may be about to add one.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// A segment's header and its length; it is no longer than that of a tree of 64 roots.
fn segment_header(file: &File) -> io::Result<(SegmentHeader, usize)> {
    let mut bytes = Vec::new();
    file.take(segment::HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
    SegmentHeader::parse(&bytes).map_err(io::Error::other)
}

fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn damaged(place: Place, at: usize, flaw: group::Flaw) -> io::Error {
    let offset = place.offset.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
    io::Error::other(format!("{flaw}, segment `{}` offset {offset}", segment::name(place.segment)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::entry::{Entry, Event, Start, VERSION};
    use crate::domain::merkle::Frontier;
    use crate::store::journal::group::GroupBuffer;

    const GROUPS: u64 = 2_000;

    /// One segment of groups of one entry each, some 1 MiB long.
    fn segment(directory: &std::path::Path) {
        let mut bytes = SegmentHeader { sequence: 0, frontier: Frontier::default() }.encode();
        let mut buffer = GroupBuffer::default();
        for number in 0..GROUPS {
            let event = Event::Start(Start { dev: true, version: format!("{number:0400}") });
            buffer.begin();
            buffer.push(&Entry { event, time: Timestamp::from_millis(7), v: VERSION }).unwrap();
            bytes.extend(buffer.finish(number, number, Timestamp::from_millis(7), "note\n"));
        }
        std::fs::write(directory.join(segment::name(0)), bytes).unwrap();
    }

    #[test]
    fn what_was_passed_over_is_walked_once() {
        let dir = tempfile::tempdir().unwrap();
        segment(dir.path());
        let passed_over = Positions::new(dir.path().to_owned());
        passed_over.add_unread(0);
        let known = || passed_over.marks.read().unwrap().clone();
        let digest = |positions: &Positions, first| {
            let entries = positions.entries(first, 50).unwrap();
            (entries.len(), Digest::of(&entries.concat()))
        };
        let last = digest(&passed_over, GROUPS - 50);
        assert_eq!(last.0, 50);
        let marks = known();
        let (first, place) = passed_over.mark_before(GROUPS - 50).unwrap();
        assert!(first > GROUPS - 400 && place.offset > 0, "{first}: the next reader begins near");
        let bytes = std::fs::metadata(passed_over.path(0)).unwrap().len();
        let count = u64::try_from(marks.len()).unwrap();
        assert!((bytes / MARK_BYTES / 2..=bytes / MARK_BYTES + 1).contains(&count), "{count}");
        assert!(marks.is_sorted_by(|(a, at), (b, then)| a < b && at < then), "{marks:?}");
        // Whoever comes by again, from anywhere, learns the same and adds nothing.
        for first in (0..GROUPS - 50).step_by(70) {
            let whole = Positions::new(dir.path().to_owned());
            whole.add_unread(0);
            assert_eq!(digest(&passed_over, first), digest(&whole, first), "{first}");
        }
        assert_eq!(known(), marks);
    }
}
