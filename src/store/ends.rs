//! Which live credentials were ended early: what status lists and CRLs are made of. Blocking.
//!
//! The index tells which entries are ends; the journal has the records. Single ends are looked up one by
//! one. A broad one names nobody, so all records that can still be live are held against the revocations.

use super::index::record::{Chunk, RecordKind, key};
use super::index::scan::Cursor;
use super::reader::{ReadError, Reader};
use crate::domain::credential::{EndedHow, Issuance};
use crate::domain::entry::{Entry, Event};
use crate::domain::id::{CredentialId, Serial};
use crate::domain::limits::{LEDGER_COMMAND_AGE_MS_MAX, TTL_SECONDS_MAX};
use crate::domain::revocation::Revocations;
use crate::domain::status_list::StatusRef;
use crate::domain::time::Timestamp;

/// A credential that was ended before its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlyEnd {
    /// A certificate's serial number.
    pub serial: Option<Serial>,
    /// Where a token's status stands.
    pub status: Option<StatusRef>,
    /// When it would have ended by itself.
    pub expires: Timestamp,
    /// Whether its holder gave it back or an operator took it.
    pub how: EndedHow,
    /// When that was durable.
    pub time: Timestamp,
}

/// How far ends have been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndsCursor(Option<Cursor>);

impl Reader {
    /// The credentials that can still be live at `now` and were ended since `cursor`, and how far that is.
    /// Some may be known already.
    ///
    /// # Errors
    /// [`ReadError`]; then nothing was read.
    pub fn ends(&self, cursor: EndsCursor, now: Timestamp) -> Result<(Vec<EarlyEnd>, EndsCursor), ReadError> {
        // The size first: what is below it, the snapshot that is taken after it has.
        let size = self.shared().head.load().size;
        let revocations = self.shared().revocations.load_full();
        let lifetime_ms = i64::from(TTL_SECONDS_MAX) * 1000 + LEDGER_COMMAND_AGE_MS_MAX;
        let oldest = Cursor { time: now.plus_millis(-lifetime_ms), index: 0 };
        let (singles, broad, next) = self.new_ends(cursor.0.unwrap_or(oldest), size)?;
        let found = if broad || cursor.0.is_none() {
            self.all_ends(oldest, size, now, &revocations)?
        } else {
            self.single_ends(&singles, now, &revocations)?
        };
        Ok((found, EndsCursor(Some(next))))
    }

    /// Ends of single credentials since `from`, whether there was a broad one, and where to go on.
    fn new_ends(&self, from: Cursor, size: u64) -> Result<(Vec<CredentialId>, bool, Cursor), ReadError> {
        let (mut singles, mut broad, mut next) = (Vec::new(), false, from);
        self.each_chunk(from, size, |chunk| {
            next = Cursor { time: chunk.time, index: chunk.end() };
            for record in chunk.records.iter().filter(|record| chunk.index_of(record) >= from.index) {
                match record.kind {
                    RecordKind::Deny
                    | RecordKind::Enroll
                    | RecordKind::Issue
                    | RecordKind::Load
                    | RecordKind::Lock
                    | RecordKind::Unlock => {}
                    RecordKind::End => singles.extend(CredentialId::from_bytes(record.id).ok()),
                    RecordKind::Mark | RecordKind::MarkScoped => broad = true,
                }
            }
            Ok(())
        })?;
        Ok((singles, broad, next))
    }

    fn single_ends(
        &self,
        ids: &[CredentialId],
        now: Timestamp,
        revocations: &Revocations,
    ) -> Result<Vec<EarlyEnd>, ReadError> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            // Without a record it expired long ago and was swept.
            let Some(credential) = self.credential(*id)? else { continue };
            found.extend(early_end(&credential.issuance, now, revocations));
        }
        Ok(found)
    }

    fn all_ends(
        &self,
        oldest: Cursor,
        size: u64,
        now: Timestamp,
        revocations: &Revocations,
    ) -> Result<Vec<EarlyEnd>, ReadError> {
        let mut found = Vec::new();
        self.each_chunk(oldest, size, |chunk| {
            let may_be_live = |kind, expires| kind == RecordKind::Issue && expires > now;
            if !chunk.records.iter().any(|record| may_be_live(record.kind, record.expires)) {
                return Ok(());
            }
            let entries = self.shared().positions.entries(chunk.first, usize::from(chunk.entries))?;
            for record in chunk.records.iter().filter(|record| may_be_live(record.kind, record.expires)) {
                let index = chunk.index_of(record);
                let json = entries.get(usize::from(record.ordinal)).ok_or(ReadError::Mismatch(index))?;
                let entry = Entry::from_json(json).map_err(|source| ReadError::Entry { index, source })?;
                let Event::Issue(issuance) = entry.event else { return Err(ReadError::Mismatch(index)) };
                found.extend(early_end(&issuance, now, revocations));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `look` with the chunks from `from` on that are durable and shown.
    fn each_chunk(
        &self,
        from: Cursor,
        size: u64,
        mut look: impl FnMut(&Chunk) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.shared().index.chunks_from(key(from.time, from.index), |chunk| {
            if chunk.first >= size {
                return Ok(false);
            }
            look(chunk).map(|()| true)
        })
    }
}

fn early_end(issuance: &Issuance, now: Timestamp, revocations: &Revocations) -> Option<EarlyEnd> {
    let ended = revocations.ended_issuance(issuance).filter(|_| issuance.expires > now)?;
    Some(EarlyEnd {
        serial: issuance.serial,
        status: issuance.status,
        expires: issuance.expires,
        how: ended.how,
        time: ended.time,
    })
}
