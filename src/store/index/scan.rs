//! Finding, listing and sweeping in the index. A record is found by the time in its id, because the ledger
//! refuses commands that waited longer than a bound.

use super::record::{Chunk, Record, RecordKind, key};
use super::{Index, IndexError};
use crate::domain::id::CredentialId;
use crate::domain::limits::{LEDGER_COMMAND_AGE_MS_MAX, PAGE_SCAN_GROUPS_MAX};
use crate::domain::time::Timestamp;

/// A record and the chunk that it is in.
pub type Found = (Chunk, Record);

/// A place in the listing: records at or after it have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The time of the record's group.
    pub time: Timestamp,
    /// Its log index.
    pub index: u64,
}

/// What one listing call found.
#[derive(Debug, Default)]
pub struct Listed {
    /// The records, newest first.
    pub records: Vec<Found>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

impl Index {
    /// The record of the credential or denial `id`.
    ///
    /// # Errors
    /// When the index fails or is damaged.
    pub fn find(&self, id: CredentialId) -> Result<Option<Found>, IndexError> {
        let latest = id.time().plus_millis(LEDGER_COMMAND_AGE_MS_MAX);
        for item in self.groups.range(key(id.time(), 0)..=key(latest, u64::MAX)) {
            let (key, value) = item?;
            let chunk = Chunk::parse(&key, &value)?;
            let decision = |kind| matches!(kind, RecordKind::Deny | RecordKind::Issue);
            let mut records = chunk.records.iter();
            let found = records.find(|record| record.id == *id.as_bytes() && decision(record.kind)).cloned();
            if let Some(record) = found {
                return Ok(Some((chunk, record)));
            }
        }
        Ok(None)
    }

    /// Up to `count` records that `wanted` takes, newest first, from `before` on, no older than `oldest`.
    /// It looks at a bounded number of groups; the cursor says where to go on.
    ///
    /// # Errors
    /// When the index fails or is damaged.
    pub fn list(
        &self,
        before: Option<Cursor>,
        oldest: Timestamp,
        count: usize,
        wanted: impl Fn(&Chunk, &Record) -> bool,
    ) -> Result<Listed, IndexError> {
        let mut listed = Listed::default();
        let newest = before.map_or([u8::MAX; 16], |cursor| key(cursor.time, cursor.index));
        let limit = before.map_or(u64::MAX, |cursor| cursor.index);
        for (looked, item) in self.groups.range(key(oldest, 0)..=newest).rev().enumerate() {
            let (key, value) = item?;
            let chunk = Chunk::parse(&key, &value)?;
            for record in chunk.records.iter().rev() {
                let index = chunk.index_of(record);
                if index < limit && wanted(&chunk, record) {
                    listed.records.push((chunk.clone(), record.clone()));
                    listed.next = Some(Cursor { time: chunk.time, index });
                    if listed.records.len() >= count {
                        return Ok(listed);
                    }
                }
            }
            if looked >= PAGE_SCAN_GROUPS_MAX {
                listed.next = Some(Cursor { time: chunk.time, index: chunk.first });
                return Ok(listed);
            }
        }
        listed.next = None;
        Ok(listed)
    }

    /// Calls `look` with the values from `from` on until it answers `false`.
    ///
    /// # Errors
    /// When the index fails or is damaged, and those of `look`.
    pub fn chunks_from<E: From<IndexError>>(
        &self,
        from: [u8; 16],
        mut look: impl FnMut(&Chunk) -> Result<bool, E>,
    ) -> Result<(), E> {
        for item in self.groups.range(from..) {
            let (key, value) = item.map_err(IndexError::from)?;
            let chunk = Chunk::parse(&key, &value).map_err(IndexError::from)?;
            if !look(&chunk)? {
                break;
            }
        }
        Ok(())
    }

    /// The entry that ended the credential `id` alone.
    ///
    /// # Errors
    /// When the index fails.
    pub fn end_of(&self, id: &[u8; 16]) -> Result<Option<u64>, IndexError> {
        Ok(self.ended.get(id)?.and_then(|value| value.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }

    /// The first entry that a group committed at `oldest` or later has; `None` when there is none.
    ///
    /// # Errors
    /// When the index fails or is damaged.
    pub fn first_since(&self, oldest: Timestamp) -> Result<Option<u64>, IndexError> {
        let Some(item) = self.groups.range(key(oldest, 0)..).next() else { return Ok(None) };
        let (key, value) = item?;
        Ok(Some(Chunk::parse(&key, &value)?.first))
    }

    /// The enrolments and removals before the entry `before` that still matter at `now`, in their order.
    ///
    /// # Errors
    /// When the index fails.
    pub fn enrollments(&self, before: u64, now: Timestamp) -> Result<Vec<u64>, IndexError> {
        let mut found = Vec::new();
        for item in self.enrolled.range(..before.to_be_bytes()) {
            let (key, value) = item?;
            if let Some((index, _)) = parse_enrolled(&key, &value).filter(|(_, expires)| *expires > now) {
                found.push(index);
            }
        }
        Ok(found)
    }

    /// Takes out the groups whose records all ended, and were committed, before `cutoff`. Gives the number
    /// of credentials and denials taken out. The log keeps them.
    ///
    /// # Errors
    /// When the index fails or is damaged.
    pub fn sweep(&self, cutoff: Timestamp) -> Result<u64, IndexError> {
        let mut swept = 0_u64;
        for item in &self.groups {
            let (key, value) = item?;
            let chunk = Chunk::parse(&key, &value)?;
            // What a watermark covers is not when it ends.
            let over = |record: &Record| record.kind != RecordKind::Issue || record.expires < cutoff;
            if chunk.time >= cutoff || !chunk.records.iter().all(over) {
                break;
            }
            // The mark first: a crash between the two leaves a record too many, never a gap.
            self.set_number("swept", chunk.end())?;
            for record in &chunk.records {
                match record.kind {
                    RecordKind::Deny | RecordKind::Issue => swept = swept.saturating_add(1),
                    // A credential is committed before its end, so it has gone already.
                    RecordKind::End => {
                        self.ended.remove(record.id)?;
                    }
                    RecordKind::Enroll
                    | RecordKind::Load
                    | RecordKind::Lock
                    | RecordKind::Mark
                    | RecordKind::MarkScoped
                    | RecordKind::Unlock => {
                        self.sweep_mark(&chunk, record)?;
                    }
                }
            }
            self.groups.remove(key)?;
        }
        self.sweep_enrolled(cutoff)?;
        Ok(swept)
    }

    /// Takes out the enrolments that ended before `cutoff` and whose groups have gone.
    fn sweep_enrolled(&self, cutoff: Timestamp) -> Result<(), IndexError> {
        for item in self.enrolled.range(..self.swept()?.to_be_bytes()) {
            let (key, value) = item?;
            if parse_enrolled(&key, &value).is_some_and(|(_, expires)| expires < cutoff) {
                self.enrolled.remove(key)?;
            }
        }
        Ok(())
    }
}

fn parse_enrolled(key: &[u8], value: &[u8]) -> Option<(u64, Timestamp)> {
    let index = u64::from_be_bytes(key.try_into().ok()?);
    let expires = i64::from_be_bytes(value.try_into().ok()?);
    Some((index, Timestamp::from_millis(expires)))
}
