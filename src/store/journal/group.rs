//! One commit group as bytes: header, records, signed checkpoint, closing checksum.
//!
//! All integers are little endian. It knows the form only; whether root and signature are right is for
//! those who hold the tree and the key.
//!
//! ```text
//! header  magic "HWG1" | sequence u64 | first u64 | time ms u64 | count u32 | records u32 | note u32 | crc32c u32
//! records count times: length u32 | crc32c u32 over length and entry | entry (canonical JSON)
//! note    the C2SP checkpoint after these records
//! crc32c  u32 over everything before it
//! ```

use crate::domain::entry::{BadEntry, Entry};
use crate::domain::limits::{ENTRY_BYTES_MAX, LEDGER_GROUP_BYTES_MAX, LEDGER_GROUP_MAX};
use crate::domain::time::Timestamp;

/// What a group begins with.
pub const MAGIC: [u8; 4] = *b"HWG1";
/// Bytes of a group's header.
pub const HEADER_BYTES: usize = 44;
/// Bytes before each record's entry.
pub const RECORD_HEAD_BYTES: usize = 8;
/// Longest checkpoint note in bytes: an origin of some 300 bytes, twice, and two base64 lines.
pub const NOTE_BYTES_MAX: usize = 2048;
/// Most bytes of one group's records: a group is closed by the record that reaches the bound.
pub const RECORDS_BYTES_MAX: usize = LEDGER_GROUP_BYTES_MAX + ENTRY_BYTES_MAX + RECORD_HEAD_BYTES;

/// What is wrong with some bytes of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A count or length is beyond its bound, or does not fit the others.
    #[error("a count or length does not fit")]
    Bounds,
    /// A checksum is not that of the bytes.
    #[error("the checksum does not match")]
    Checksum,
    /// The group is not the one that follows the group before it.
    #[error("the group is out of order")]
    Order,
    /// The bytes do not begin as they should.
    #[error("the magic bytes are wrong")]
    Magic,
    /// The note is no text.
    #[error("the checkpoint is not text")]
    Note,
    /// The file ends inside.
    #[error("the file ends inside it")]
    Short,
    /// The format version is one that this program does not know.
    #[error("the format version is unknown")]
    Version,
}

/// Where a group is flawed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGroup {
    /// Offset from the group's start.
    pub at: usize,
    /// How many whole records stand before it.
    pub record: u32,
    /// What is wrong.
    pub flaw: Flaw,
}

impl BadGroup {
    const fn new(at: usize, record: u32, flaw: Flaw) -> Self {
        Self { at, record, flaw }
    }
}

/// A group's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The group's number since the journal began.
    pub sequence: u64,
    /// The log index of its first entry.
    pub first: u64,
    /// The time of all its entries.
    pub time: Timestamp,
    /// Number of entries, at least one.
    pub count: u32,
    /// Bytes of the records.
    pub records_bytes: u32,
    /// Bytes of the note.
    pub note_bytes: u32,
}

impl Header {
    /// The bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let time = self.time.millis().unsigned_abs();
        let parts: [&[u8]; 7] = [
            &MAGIC,
            &self.sequence.to_le_bytes(),
            &self.first.to_le_bytes(),
            &time.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.records_bytes.to_le_bytes(),
            &self.note_bytes.to_le_bytes(),
        ];
        let bytes = parts.concat();
        let crc = crc32c::crc32c(&bytes).to_le_bytes();
        for (to, from) in out.iter_mut().zip(bytes.iter().chain(&crc)) {
            *to = *from;
        }
        out
    }

    /// Reads a header from the start of `bytes`.
    ///
    /// # Errors
    /// [`BadGroup`] says where it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadGroup> {
        let bad = |at, flaw| BadGroup::new(at, 0, flaw);
        let header = bytes.get(..HEADER_BYTES).ok_or(bad(bytes.len(), Flaw::Short))?;
        let mut take = Take(header);
        if take.array::<4>() != MAGIC {
            return Err(bad(0, Flaw::Magic));
        }
        let header = Self {
            sequence: u64::from_le_bytes(take.array()),
            first: u64::from_le_bytes(take.array()),
            time: Timestamp::from_millis(i64::from_le_bytes(take.array())),
            count: u32::from_le_bytes(take.array()),
            records_bytes: u32::from_le_bytes(take.array()),
            note_bytes: u32::from_le_bytes(take.array()),
        };
        let crc = u32::from_le_bytes(take.array());
        if crc != bytes.get(..HEADER_BYTES - 4).map_or(0, crc32c::crc32c) {
            return Err(bad(0, Flaw::Checksum));
        }
        if header.fits() { Ok(header) } else { Err(bad(28, Flaw::Bounds)) }
    }

    fn fits(&self) -> bool {
        let (count, records, note) = (size(self.count), size(self.records_bytes), size(self.note_bytes));
        (1..=LEDGER_GROUP_MAX).contains(&count)
            && (count * RECORD_HEAD_BYTES..=RECORDS_BYTES_MAX).contains(&records)
            && note <= NOTE_BYTES_MAX
            && self.first.checked_add(u64::from(self.count)).is_some()
    }

    /// The index after the group's last entry.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// Bytes of the whole group.
    pub fn total_bytes(&self) -> usize {
        HEADER_BYTES + size(self.records_bytes) + size(self.note_bytes) + 4
    }
}

/// A group whose checksums hold.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// The header.
    pub header: Header,
    /// The checkpoint after the group.
    pub note: &'a str,
    records: &'a [u8],
}

impl<'a> Group<'a> {
    /// Reads the group at the start of `bytes`, and checks every checksum in it.
    ///
    /// # Errors
    /// [`BadGroup`] says where the first flaw is.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadGroup> {
        let header = Header::parse(bytes)?;
        let end = header.total_bytes();
        let body = bytes.get(HEADER_BYTES..end);
        let body = body.ok_or(BadGroup::new(bytes.len(), 0, Flaw::Short))?;
        let (records, rest) = body.split_at_checked(size(header.records_bytes)).unwrap_or_default();
        let (note, closing) = rest.split_at_checked(size(header.note_bytes)).unwrap_or_default();
        check_records(records, header.count)?;
        let note_at = HEADER_BYTES + records.len();
        let closing = closing.try_into().map_or(0, u32::from_le_bytes);
        if closing != bytes.get(..end - 4).map_or(0, crc32c::crc32c) {
            return Err(BadGroup::new(note_at, header.count, Flaw::Checksum));
        }
        let note = std::str::from_utf8(note);
        let note = note.map_err(|_| BadGroup::new(note_at, header.count, Flaw::Note))?;
        Ok(Self { header, note, records })
    }

    /// The entries, each with the offset of its record from the group's start.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let mut rest = self.records;
        let mut at = HEADER_BYTES;
        std::iter::from_fn(move || {
            let (entry, tail) = split_record(rest)?;
            let offset = u32::try_from(at).ok()?;
            at += RECORD_HEAD_BYTES + entry.len();
            rest = tail;
            Some((offset, entry))
        })
    }
}

fn check_records(records: &[u8], count: u32) -> Result<(), BadGroup> {
    let mut rest = records;
    for ordinal in 0..count {
        let at = HEADER_BYTES + (records.len() - rest.len());
        rest = parse_record(rest).map_err(|flaw| BadGroup::new(at, ordinal, flaw))?.1;
    }
    let at = HEADER_BYTES + (records.len() - rest.len());
    if rest.is_empty() { Ok(()) } else { Err(BadGroup::new(at, count, Flaw::Bounds)) }
}

/// Reads the record at the start of `bytes`: its entry, and what follows.
///
/// # Errors
/// [`Flaw`] when length or checksum are wrong.
pub fn parse_record(bytes: &[u8]) -> Result<(&[u8], &[u8]), Flaw> {
    let (entry, rest) = split_record(bytes).ok_or(Flaw::Bounds)?;
    let crc =
        bytes.get(4..RECORD_HEAD_BYTES).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_le_bytes);
    if crc == record_crc(entry) { Ok((entry, rest)) } else { Err(Flaw::Checksum) }
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let body = bytes.get(RECORD_HEAD_BYTES..)?;
    if size(length) > ENTRY_BYTES_MAX {
        return None;
    }
    body.split_at_checked(size(length))
}

fn record_crc(entry: &[u8]) -> u32 {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), entry)
}

/// A group under construction, in one buffer that is used again.
#[derive(Debug, Default)]
pub struct GroupBuffer {
    bytes: Vec<u8>,
    /// Offset of each record.
    offsets: Vec<u32>,
}

impl GroupBuffer {
    /// Begins a new group.
    pub fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        self.offsets.clear();
    }

    /// Whether no further record should be added.
    pub fn is_full(&self) -> bool {
        self.offsets.len() >= LEDGER_GROUP_MAX || self.bytes.len() >= LEDGER_GROUP_BYTES_MAX
    }

    /// Adds an entry, and shows its bytes: the tree's leaf.
    ///
    /// # Errors
    /// When the entry is too long; the group stays as it was.
    pub fn push(&mut self, entry: &Entry) -> Result<&[u8], BadEntry> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_HEAD_BYTES]);
        if let Err(error) = entry.append_canonical_json(&mut self.bytes) {
            self.bytes.truncate(at);
            return Err(error);
        }
        self.offsets.push(u32::try_from(at).unwrap_or(u32::MAX));
        let start = at + RECORD_HEAD_BYTES;
        let leaf = self.bytes.get(start..).unwrap_or_default();
        let length = u32::try_from(leaf.len()).unwrap_or(u32::MAX).to_le_bytes();
        let crc = record_crc(leaf).to_le_bytes();
        let head = self.bytes.iter_mut().skip(at);
        head.zip(length.iter().chain(&crc)).for_each(|(to, from)| *to = *from);
        Ok(self.bytes.get(start..).unwrap_or_default())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Number of records.
    pub fn count(&self) -> u32 {
        u32::try_from(self.offsets.len()).unwrap_or(u32::MAX)
    }

    /// Offset of each record from the group's start.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Closes the group with its number, place, time and checkpoint, and gives its bytes.
    pub fn finish(&mut self, sequence: u64, first: u64, time: Timestamp, note: &str) -> &[u8] {
        let records = self.bytes.len().saturating_sub(HEADER_BYTES);
        let header = Header {
            sequence,
            first,
            time,
            count: self.count(),
            records_bytes: u32::try_from(records).unwrap_or(u32::MAX),
            note_bytes: u32::try_from(note.len()).unwrap_or(u32::MAX),
        };
        self.bytes.iter_mut().zip(header.encode()).for_each(|(to, from)| *to = from);
        self.bytes.extend_from_slice(note.as_bytes());
        let crc = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// Takes fixed-size pieces off the front; zeros when there are no more, which length checks exclude.
pub(in crate::store) struct Take<'a>(pub(in crate::store) &'a [u8]);

impl Take<'_> {
    pub(in crate::store) fn array<const N: usize>(&mut self) -> [u8; N] {
        let Some((piece, rest)) = self.0.split_first_chunk::<N>() else { return [0; N] };
        self.0 = rest;
        *piece
    }
}

/// A length on the wire as one in memory.
const fn size(wire: u32) -> usize {
    wire as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::{Event, Start, VERSION};

    fn entry(dev: bool, version: &str) -> Entry {
        let event = Event::Start(Start { dev, version: version.to_owned() });
        Entry { event, time: Timestamp::from_millis(7), v: VERSION }
    }

    fn group(entries: &[Entry]) -> Vec<u8> {
        let mut buffer = GroupBuffer::default();
        buffer.begin();
        for entry in entries {
            buffer.push(entry).unwrap();
        }
        buffer.finish(3, 40, Timestamp::from_millis(7), "note\n").to_vec()
    }

    #[test]
    fn a_group_round_trips() {
        let entries = [entry(true, "1"), entry(false, "2")];
        let bytes = group(&entries);
        let parsed = Group::parse(&bytes).unwrap();
        assert_eq!((parsed.header.sequence, parsed.header.first, parsed.header.end()), (3, 40, 42));
        assert_eq!(parsed.note, "note\n");
        let read: Vec<Entry> = parsed.entries().map(|(_, json)| Entry::from_json(json).unwrap()).collect();
        assert_eq!(read, entries);
        for (offset, json) in parsed.entries() {
            let at = usize::try_from(offset).unwrap();
            assert_eq!(parse_record(&bytes[at..]).unwrap().0, json);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let bytes = group(&[entry(true, "1"), entry(false, "2")]);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                let found = Group::parse(&bad).expect_err("a flipped bit");
                assert!(found.at <= at || found.flaw == Flaw::Short, "{found:?} for byte {at}");
            }
            assert!(Group::parse(&bytes[..at]).is_err());
        }
    }

    #[test]
    fn an_entry_over_the_bound_leaves_the_group_as_it_was() {
        let mut buffer = GroupBuffer::default();
        buffer.begin();
        let empty = buffer.bytes.clone();
        assert!(buffer.push(&entry(true, &"x".repeat(ENTRY_BYTES_MAX))).is_err());
        assert_eq!((buffer.bytes.clone(), buffer.count()), (empty, 0));
    }
}
