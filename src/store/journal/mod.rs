//! The journal: segments of commit groups, appended and synced. It is the log and the authority.
//!
//! It knows files and bytes; what an entry means, and whether a root is right, is for others. A torn group
//! can only be the last one, because a group's bytes are written only after the one before was synced.

pub mod group;
mod kept;
mod positions;
pub mod recovery;
pub mod segment;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::positions::Positions;
use self::segment::SegmentHeader;
use super::engine::{Batch, Place, Store, StoreError};
use super::medium::{Appendable, Medium};

/// The appending side: the embedded engine.
pub struct Journal {
    directory: PathBuf,
    file: Box<dyn Appendable>,
    medium: Arc<dyn Medium>,
    segment: u64,
    bytes: u64,
    segment_bytes_max: u64,
    positions: Arc<Positions>,
}

impl Journal {
    /// Opens the journal in `directory` to append after what recovery found; makes the first segment.
    ///
    /// # Errors
    /// The system's.
    pub fn open(
        directory: &Path,
        found: &recovery::Found,
        medium: Arc<dyn Medium>,
        segment_bytes_max: u64,
    ) -> io::Result<Self> {
        let positions = Arc::clone(&found.positions);
        let (file, segment, bytes) = match found.last_segment {
            Some((segment, bytes)) => (medium.open(&directory.join(segment::name(segment)))?, segment, bytes),
            None => {
                let header = SegmentHeader { sequence: found.sequence, frontier: found.frontier.clone() };
                let (file, bytes) = start_segment(&*medium, directory, &header)?;
                (file, header.frontier.size(), bytes)
            }
        };
        let directory = directory.to_owned();
        Ok(Self { directory, file, medium, segment, bytes, segment_bytes_max, positions })
    }

    /// Where entries are, for readers.
    pub fn positions(&self) -> Arc<Positions> {
        Arc::clone(&self.positions)
    }
}

impl Store for Journal {
    fn append(&mut self, batch: &Batch<'_>) -> Result<Place, StoreError> {
        if self.bytes >= self.segment_bytes_max {
            let header = SegmentHeader { sequence: batch.sequence, frontier: batch.before.clone() };
            let started = start_segment(&*self.medium, &self.directory, &header);
            let (file, bytes) = started.map_err(StoreError::NewSegment)?;
            (self.file, self.segment, self.bytes) = (file, header.frontier.size(), bytes);
        }
        self.file.append(batch.bytes).map_err(StoreError::Write)?;
        self.file.sync().map_err(StoreError::Sync)?;
        let place = Place { segment: self.segment, offset: self.bytes };
        self.bytes += u64::try_from(batch.bytes.len()).unwrap_or(u64::MAX);
        self.positions.add(batch.before.size(), place);
        Ok(place)
    }
}

/// Makes a segment durable with its header alone, so that a group in it can be found after a crash.
fn start_segment(
    medium: &dyn Medium,
    directory: &Path,
    header: &SegmentHeader,
) -> io::Result<(Box<dyn Appendable>, u64)> {
    let mut file = medium.create(&directory.join(segment::name(header.frontier.size())))?;
    let bytes = header.encode();
    file.append(&bytes)?;
    file.sync()?;
    medium.sync_directory(directory)?;
    Ok((file, u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
}
