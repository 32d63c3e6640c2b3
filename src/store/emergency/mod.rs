//! The emergency journal: where the log goes on when its own disk does not take it.
//!
//! It is one file that was written whole while there was room, so that a full disk can't refuse it. Its bytes are
//! a segment like any other: header with the tree as it was, groups of entries with checksums and a signed
//! checkpoint each, zeros behind them. So what is in it is the log's own continuation: at the next good start the
//! groups are appended to the journal as they are, and every index, receipt and checkpoint stays what it was.

mod content;
mod merge;
mod room;
mod shadow;
mod start;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};

use super::engine::{Batch, Place, Store, StoreError};
use super::journal::Journal;
use super::journal::recovery::Found;
use super::journal::segment::SegmentHeader;
use super::medium::{Area, make_directory};
use crate::domain::limits::EMERGENCY_BYTES;

use self::content::EMPTIED;
use self::content::Parsed;
pub(super) use self::content::{Content, FILE};
use self::merge::continued;
pub(super) use self::merge::{MergeError, Parts as MergeParts, merge, read};
pub(super) use self::room::{Holder, Room};
pub(super) use self::shadow::Shadow;
pub use self::shadow::sweep;

/// Where it is, below the state directory.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join(FILE)
}

/// Makes the emergency journal below `root` unless it is there, with every byte written and synced. Says whether
/// it was made.
///
/// # Errors
/// The system's; then an emergency start will not be possible.
pub fn prepare(root: &Path) -> io::Result<bool> {
    let path = path(root);
    // Of a start that was killed while it made one.
    let _ = fs::remove_file(path.with_extension("new"));
    match fs::metadata(&path) {
        Ok(about) if about.len() == EMERGENCY_BYTES => return Ok(false),
        Ok(about) => {
            return Err(io::Error::other(format!(
                "it has {} bytes, expected {EMERGENCY_BYTES}",
                about.len()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    path.parent().map_or(Ok(()), make_directory)?;
    write_empty(&path)?;
    Ok(true)
}

/// Puts an empty one in place, in one step. When that fails, nothing of it stays: on a full disk it would be what
/// fills it.
fn write_empty(path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = write_zeros(&new).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn write_zeros(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // Not every file system can; the zeros below are what counts.
    let _ = fallocate(&file, FallocateFlags::empty(), 0, EMERGENCY_BYTES);
    let zeros = vec![0; 64 * 1024];
    let mut left = EMERGENCY_BYTES;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(zeros.get(..count).unwrap_or_default())?;
        left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
    }
    file.sync_all()
}

/// Empties a file of which `dirty` bytes are not zero, in its place, so that a disk that is full again can't refuse
/// it. The mark is the step: before it the content is there, after it there is none, whatever a crash leaves.
fn empty(area: &mut dyn Area, dirty: u64) -> io::Result<()> {
    let mut zeros = vec![0; usize::try_from(dirty).unwrap_or_default()];
    let mut mark = [0; 2 * EMPTIED.len()];
    mark.iter_mut().zip(EMPTIED).for_each(|(byte, of_mark)| *byte = of_mark);
    area.write_at(0, &mark)?;
    area.sync()?;
    zeros.truncate(zeros.len().saturating_sub(mark.len()));
    area.write_at(u64::try_from(mark.len()).unwrap_or_default(), &zeros)?;
    area.sync()?;
    area.write_at(0, &[0; 2 * EMPTIED.len()])?;
    area.sync()
}

/// The engine of an emergency: each group is durable in the emergency journal before it goes into the shadow
/// that everything else reads.
pub(super) struct EmergencyStore {
    area: Box<dyn Area>,
    at: u64,
    room: Arc<Room>,
    shadow: Readable,
}

/// Where readers find the groups: in the shadow's last segment, and in memory from the first on that it has no room
/// for. It makes nothing durable, so its failure stops nothing: somebody else's files may be what fills it.
struct Readable {
    journal: Journal,
    is_full: bool,
}

impl Readable {
    fn add(&mut self, batch: &Batch<'_>) -> Place {
        if !self.is_full {
            match self.journal.append(batch) {
                Ok(place) => return place,
                Err(error) => tracing::error!(
                    %error,
                    "what readers see of the log takes no more: what comes is kept in memory"
                ),
            }
            self.is_full = true;
        }
        self.journal.positions().keep(batch.before.size(), batch.bytes)
    }
}

impl EmergencyStore {
    /// Goes on after what was `parsed`, or begins behind the log that was `found`. Where the file can't be written,
    /// the engine refuses every group.
    pub(super) fn begin(
        area: io::Result<Box<dyn Area>>,
        parsed: &Parsed,
        found: &Found,
        shadow: Journal,
    ) -> (Self, Arc<Room>) {
        let begun = area.and_then(|mut area| Ok((begin(&mut *area, parsed, found)?, area)));
        let (at, area) = begun.unwrap_or_else(|error| {
            tracing::error!(%error, "the emergency journal can't be written: nothing can be recorded");
            (0, Box::new(Unwritable(error.to_string())) as Box<dyn Area>)
        });
        let room = Arc::new(Room::new(at, parsed.content.as_ref()));
        let shadow = Readable { journal: shadow, is_full: false };
        (Self { area, at, room: Arc::clone(&room), shadow }, room)
    }
}

/// Makes the file ready for the next group; gives its place.
fn begin(area: &mut dyn Area, parsed: &Parsed, found: &Found) -> io::Result<u64> {
    if let Some(at) = parsed.content.as_ref().map(Content::end) {
        // What a crash left unfinished; nobody was told of it.
        if let Some(dirty) = parsed.dirty.checked_sub(at).filter(|dirty| *dirty > 0) {
            area.write_at(at, &vec![0; usize::try_from(dirty).unwrap_or_default()])?;
            area.sync()?;
        }
        return Ok(at);
    }
    if parsed.dirty > 0 {
        empty(area, parsed.dirty)?;
    }
    let header = SegmentHeader { sequence: found.sequence, frontier: found.frontier.clone() };
    let bytes = header.encode();
    area.write_at(0, &bytes)?;
    area.sync()?;
    Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

/// A file that could not be opened to be written.
struct Unwritable(String);

impl Area for Unwritable {
    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other(self.0.clone()))
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(io::Error::other(self.0.clone()))
    }
}

impl Store for EmergencyStore {
    fn append(&mut self, batch: &Batch<'_>) -> Result<Place, StoreError> {
        let end = self.at.saturating_add(u64::try_from(batch.bytes.len()).unwrap_or(u64::MAX));
        if end > EMERGENCY_BYTES {
            return Err(StoreError::Write(io::Error::other("the emergency journal is full")));
        }
        self.area.write_at(self.at, batch.bytes).map_err(StoreError::Write)?;
        self.area.sync().map_err(StoreError::Sync)?;
        self.at = end;
        self.room.reached(end);
        Ok(self.shadow.add(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_with_every_byte_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(prepare(dir.path()).unwrap());
        assert!(!prepare(dir.path()).unwrap());
        let about = fs::metadata(path(dir.path())).unwrap();
        assert_eq!(about.len(), EMERGENCY_BYTES);
        assert!(std::os::unix::fs::MetadataExt::blocks(&about) * 512 >= EMERGENCY_BYTES, "it has holes");
        fs::write(path(dir.path()), b"short").unwrap();
        assert!(prepare(dir.path()).is_err(), "what is there is never overwritten");
    }
}
