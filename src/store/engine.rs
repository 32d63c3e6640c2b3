//! The engine's door: what the writer needs of whatever makes groups durable.

use std::io;

use crate::domain::merkle::Frontier;

/// Makes groups durable, in order.
///
/// An implementer promises: when `append` answers `Ok`, the group survives a power cut, and so do all
/// before it. After an error nothing is promised of that group, and the caller appends no more.
pub trait Store: Send {
    /// Appends one group.
    ///
    /// # Errors
    /// [`StoreError`] says which step failed. The caller stops for good.
    fn append(&mut self, batch: &Batch<'_>) -> Result<Place, StoreError>;
}

/// One group to append.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The group's number.
    pub sequence: u64,
    /// The tree before it; its size is the first entry's index.
    pub before: &'a Frontier,
    /// The encoded group.
    pub bytes: &'a [u8],
}

/// Where a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment, by its first index.
    pub segment: u64,
    /// The byte offset of the group in it.
    pub offset: u64,
}

/// A group was not made durable.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A new segment could not be made.
    #[error("the journal could not start a segment")]
    NewSegment(#[source] io::Error),
    /// The sync failed. The kernel may have dropped the bytes, so a second try would lie.
    #[error("the journal could not be synced")]
    Sync(#[source] io::Error),
    /// The write failed.
    #[error("the journal could not be written")]
    Write(#[source] io::Error),
}
