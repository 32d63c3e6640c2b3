//! A segment's header and name. It knows bytes, not files.
//!
//! ```text
//! magic "HOTWORKJ" | version u32 | roots u32 | first u64 | sequence u64 | roots times 32 bytes | crc32c u32
//! ```

use super::group::{Flaw, Take};
use crate::domain::digest::Digest;
use crate::domain::merkle::Frontier;

/// What a segment begins with.
pub const MAGIC: [u8; 8] = *b"HOTWORKJ";
/// The format that this program writes.
pub const VERSION: u32 = 1;
const FIXED_BYTES: usize = 32;
/// Longest header in bytes: a tree of 64 roots.
pub const HEADER_BYTES_MAX: u64 = 36 + 64 * 32;

/// What stands before a segment's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Number of the first group.
    pub sequence: u64,
    /// The tree before the first entry; its size is the first entry's index.
    pub frontier: Frontier,
}

impl SegmentHeader {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let roots = u32::try_from(self.frontier.roots().len()).unwrap_or(u32::MAX);
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend(roots.to_le_bytes());
        out.extend(self.frontier.size().to_le_bytes());
        out.extend(self.sequence.to_le_bytes());
        self.frontier.roots().iter().for_each(|root| out.extend(root.as_bytes()));
        let crc = crc32c::crc32c(&out);
        out.extend(crc.to_le_bytes());
        out
    }

    /// Reads the header at the start of `bytes`: the header and its length.
    ///
    /// # Errors
    /// [`Flaw`] says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), Flaw> {
        let mut take = Take(bytes.get(..FIXED_BYTES).ok_or(Flaw::Short)?);
        if take.array::<8>() != MAGIC {
            return Err(Flaw::Magic);
        }
        if u32::from_le_bytes(take.array()) != VERSION {
            return Err(Flaw::Version);
        }
        let roots = u32::from_le_bytes(take.array());
        let first = u64::from_le_bytes(take.array());
        let sequence = u64::from_le_bytes(take.array());
        if roots != first.count_ones() {
            return Err(Flaw::Bounds);
        }
        let length = FIXED_BYTES + 32 * usize::try_from(roots).map_err(|_| Flaw::Bounds)?;
        let hashes = bytes.get(FIXED_BYTES..length).ok_or(Flaw::Short)?;
        let mut crc = Take(bytes.get(length..length + 4).ok_or(Flaw::Short)?);
        if u32::from_le_bytes(crc.array()) != bytes.get(..length).map_or(0, crc32c::crc32c) {
            return Err(Flaw::Checksum);
        }
        let (hashes, _) = hashes.as_chunks::<32>();
        let hashes = hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect();
        let frontier = Frontier::from_parts(first, hashes).ok_or(Flaw::Bounds)?;
        Ok((Self { sequence, frontier }, length + 4))
    }
}

/// The file name of the segment whose first entry has this index.
pub fn name(first: u64) -> String {
    format!("{first:020}.hwj")
}

/// The first index that a file name tells; `None` for other files.
pub fn parse_name(file: &str) -> Option<u64> {
    let first = file.strip_suffix(".hwj")?.parse().ok()?;
    (name(first) == file).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::merkle::leaf_hash;

    #[test]
    fn a_header_round_trips_and_every_flipped_bit_is_found() {
        let mut frontier = Frontier::default();
        (0..7_u8).for_each(|i| frontier.push(leaf_hash(&[i])));
        let header = SegmentHeader { sequence: 5, frontier };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::parse(&bytes), Ok((header, bytes.len())));
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(SegmentHeader::parse(&bad).is_err(), "bit {at}");
            assert!(SegmentHeader::parse(&bytes[..at / 8]).is_err());
        }
    }

    #[test]
    fn only_canonical_names_are_segments() {
        assert_eq!(parse_name(&name(42)), Some(42));
        for other in ["42.hwj", "00000000000000000042.tmp", "LOCK", "0000000000000000004x.hwj"] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
