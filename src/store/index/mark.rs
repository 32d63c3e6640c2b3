//! Watermarks, locks and loads in the index: which entries ended everything that a selector names, in the log's
//! order, which locks were made, and which entry loaded the registry last.
//!
//! ```text
//! marks: for good u8 | name 16 bytes | index u64 -> time i64 | until i64 | scoped u8
//! locks: index u64 -> expires i64 | unlocked u8
//! ```

use super::record::{Chunk, Record, RecordKind};
use super::{Index, IndexError};
use crate::domain::credential::Issuance;
use crate::domain::digest::Digest;
use crate::domain::revocation::{Facts, Selector};
use crate::domain::time::Timestamp;

/// The watermark of what ends whatever was or will be minted.
pub const FOR_GOOD: Timestamp = Timestamp::from_millis(i64::MAX);

/// A watermark as the index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The revocation's entry.
    pub index: u64,
    /// When it was committed.
    pub time: Timestamp,
    /// It covers what was minted then or before.
    pub until: Timestamp,
    /// Whether it is of some tenants only; the entry has their names.
    pub scoped: bool,
}

/// What names a selector in the index: 128 bits of a digest, so that no name can run into another's.
pub fn name(selector: &Selector) -> [u8; 16] {
    let digest = Digest::of(selector.to_string().as_bytes());
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The key of a watermark of `name` from the entry `index`.
pub fn key(for_good: bool, name: [u8; 16], index: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    key.push(u8::from(for_good));
    key.extend(name);
    key.extend(index.to_be_bytes());
    key
}

fn parse(key: &[u8], value: &[u8]) -> Option<Mark> {
    let index = u64::from_be_bytes(*key.get(17..)?.first_chunk()?);
    let (time, rest) = value.split_first_chunk()?;
    let (until, rest) = rest.split_first_chunk()?;
    let at = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
    Some(Mark { index, time: at(time), until: at(until), scoped: rest.first() == Some(&1) })
}

impl Index {
    /// Applies what a chunk's record says of watermarks, locks, loads and enrolments.
    pub(super) fn insert_mark(&self, chunk: &Chunk, record: &Record) -> Result<(), IndexError> {
        let index = chunk.index_of(record);
        match record.kind {
            RecordKind::Deny | RecordKind::End | RecordKind::Issue => {}
            RecordKind::Enroll => {
                self.enrolled.insert(index.to_be_bytes(), &record.expires.millis().to_be_bytes())?;
            }
            RecordKind::Load => self.set_number("loaded", index)?,
            RecordKind::Lock => {
                let value: Vec<u8> = record.number().to_be_bytes().into_iter().chain([0]).collect();
                self.locks.insert(index.to_be_bytes(), value)?;
            }
            RecordKind::Mark | RecordKind::MarkScoped => {
                let scoped = record.kind == RecordKind::MarkScoped;
                let times = chunk.time.millis().to_be_bytes().into_iter();
                let value = times.chain(record.expires.millis().to_be_bytes()).chain([u8::from(scoped)]);
                self.marks.insert(key_of(record, index), value.collect::<Vec<u8>>())?;
            }
            RecordKind::Unlock => {
                let lock = record.number().to_be_bytes();
                if let Some(known) = self.locks.get(lock)? {
                    let mut value = known.to_vec();
                    if let Some(unlocked) = value.last_mut() {
                        *unlocked = 1;
                    }
                    self.locks.insert(lock, value)?;
                }
            }
        }
        Ok(())
    }

    /// Whether what [`Self::insert_mark`] made of the record is there.
    pub(super) fn has_mark(&self, chunk: &Chunk, record: &Record) -> Result<bool, IndexError> {
        let index = chunk.index_of(record);
        match record.kind {
            RecordKind::Deny | RecordKind::End | RecordKind::Issue => Ok(true),
            RecordKind::Enroll => Ok(self.enrolled.contains_key(index.to_be_bytes())?),
            RecordKind::Load => Ok(self.last_load()?.is_some_and(|newest| newest >= index)),
            RecordKind::Lock => Ok(self.locks.contains_key(index.to_be_bytes())?),
            RecordKind::Mark | RecordKind::MarkScoped => {
                Ok(self.marks.contains_key(key_of(record, index))?)
            }
            RecordKind::Unlock => {
                let known = self.locks.get(record.number().to_be_bytes())?;
                Ok(known.is_none_or(|value| value.last() == Some(&1)))
            }
        }
    }

    /// The watermarks that cover the credential of this record, which is the entry `index`, and came while
    /// it lived, those of some tenants only among them. Of each selector the first of each kind.
    ///
    /// # Errors
    /// When the index fails.
    pub fn marks_over(&self, issuance: &Issuance, index: u64) -> Result<Vec<Mark>, IndexError> {
        let mut found = Vec::new();
        if self.marks.is_empty() {
            return Ok(found);
        }
        for selector in Facts::from(issuance).selectors() {
            let name = name(&selector);
            for for_good in [false, true] {
                self.marks_of(for_good, name, issuance, index, &mut found)?;
            }
        }
        Ok(found)
    }

    fn marks_of(
        &self,
        for_good: bool,
        name: [u8; 16],
        issuance: &Issuance,
        index: u64,
        found: &mut Vec<Mark>,
    ) -> Result<(), IndexError> {
        for item in self.marks.range(key(for_good, name, index)..=key(for_good, name, u64::MAX)) {
            let (key, value) = item?;
            let Some(mark) = parse(&key, &value) else { return Err(IndexError::Gap(index)) };
            if mark.time >= issuance.expires {
                return Ok(());
            }
            if issuance.issued <= mark.until {
                found.push(mark);
                if !mark.scoped {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The entries before `before` that ended a lineage for good, oldest first.
    ///
    /// # Errors
    /// When the index fails.
    pub fn marks_for_good(&self, before: u64) -> Result<Vec<u64>, IndexError> {
        let mut marks = Vec::new();
        for item in self.marks.scan_prefix([1]) {
            let (key, value) = item?;
            marks.extend(parse(&key, &value).map(|mark| mark.index).filter(|index| *index < before));
        }
        marks.sort_unstable();
        Ok(marks)
    }

    /// The entries before `before` whose locks are in force at `now`, oldest first.
    ///
    /// # Errors
    /// When the index fails.
    pub fn locks_in_force(&self, before: u64, now: Timestamp) -> Result<Vec<u64>, IndexError> {
        let mut locks = Vec::new();
        for item in self.locks.range(..before.to_be_bytes()) {
            let (key, value) = item?;
            let expires = value.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes));
            if Timestamp::from_millis(expires) > now && value.last() == Some(&0) {
                locks.extend(key.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)));
            }
        }
        Ok(locks)
    }

    /// Takes a swept record's watermark out: what it ended has gone before it. What ends for good stays,
    /// and so do locks, which may be in force.
    pub(super) fn sweep_mark(&self, chunk: &Chunk, record: &Record) -> Result<(), IndexError> {
        let ordinary = matches!(record.kind, RecordKind::Mark | RecordKind::MarkScoped);
        if ordinary && record.expires != FOR_GOOD {
            self.marks.remove(key_of(record, chunk.index_of(record)))?;
        }
        Ok(())
    }
}

fn key_of(record: &Record, index: u64) -> Vec<u8> {
    key(record.expires == FOR_GOOD, record.id, index)
}
