//! The journal: raw bytes, bytes whose checksums are made right so that what lies behind them is reached,
//! and a group that we wrote, of which every changed byte has to show.
#![no_main]

use hotwork::domain::entry::Entry;
use hotwork::domain::time::Timestamp;
use hotwork::store::journal::group::{Group, GroupBuffer, HEADER_BYTES, Header, RECORD_HEAD_BYTES};
use hotwork::store::journal::segment::{SegmentHeader, name, parse_name};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&mended(bytes));
    written(bytes);
    if let Ok((header, length)) = SegmentHeader::parse(bytes) {
        assert_eq!(header.encode(), bytes[..length]);
    }
    if let Some(first) = std::str::from_utf8(bytes).ok().and_then(parse_name) {
        assert_eq!(name(first).as_bytes(), bytes);
    }
});

fn read(bytes: &[u8]) {
    let group = match Group::parse(bytes) {
        Ok(group) => group,
        Err(bad) => return assert!(bad.at <= bytes.len(), "a flaw beyond the bytes"),
    };
    let count = group.entries().count();
    assert_eq!(u32::try_from(count), Ok(group.header.count));
    assert!(group.header.total_bytes() <= bytes.len());
    let after_the_epoch = bytes[27] < 0x80;
    assert!(!after_the_epoch || group.header.encode() == bytes[..HEADER_BYTES]);
    for (offset, entry) in group.entries() {
        let start = offset as usize + RECORD_HEAD_BYTES;
        assert_eq!(&bytes[start..start + entry.len()], entry);
    }
}

/// The bytes with every checksum that can be found made right.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let put = |bytes: &mut [u8], at: usize, crc: u32| bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    if bytes.len() < HEADER_BYTES + 4 {
        return bytes;
    }
    let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
    put(&mut bytes, HEADER_BYTES - 4, crc);
    let Ok(header) = Header::parse(&bytes) else { return bytes };
    let mut at = HEADER_BYTES;
    for _ in 0..header.count {
        let Some(head) = bytes.get(at..at + RECORD_HEAD_BYTES) else { return bytes };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let Some(entry) = bytes.get(at + RECORD_HEAD_BYTES..at + RECORD_HEAD_BYTES + length as usize) else {
            return bytes;
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), entry);
        put(&mut bytes, at + 4, crc);
        at += RECORD_HEAD_BYTES + length as usize;
    }
    let end = header.total_bytes();
    if end <= bytes.len() {
        let crc = crc32c::crc32c(&bytes[..end - 4]);
        put(&mut bytes, end - 4, crc);
    }
    bytes
}

/// Writes the entries, one a line, as a group; reads it back; and changes one byte of it.
fn written(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').take(4);
    let entries: Vec<Entry> = lines.filter_map(|line| Entry::from_json(line).ok()).collect();
    let mut buffer = GroupBuffer::default();
    buffer.begin();
    let pushed = entries.iter().filter(|entry| buffer.push(entry).is_ok()).count();
    if pushed == 0 {
        return;
    }
    let mut group = buffer.finish(3, 5, Timestamp::from_seconds(7), "note\n").to_vec();
    let back = Group::parse(&group).expect("our own group is read back");
    assert_eq!((back.entries().count(), back.note), (pushed, "note\n"));
    let place = bytes.iter().fold(bytes.len(), |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    let place = place % group.len();
    group[place] ^= 1 << (bytes.len() % 8);
    assert!(Group::parse(&group).is_err(), "a changed byte at {place} went unseen");
}
