//! Which byte may be wrong, when a checksum does not match.
//!
//! What a changed byte does to a CRC depends on its place and on the bits that changed, and on nothing else. So the
//! difference of the two checksums is walked back over the bytes; where it fits in one byte, a change there explains
//! it. There are few such places, and often one. Which it was is not known here: whoever asks repairs a copy, and
//! holds it to the signature.

/// The polynomial of CRC-32C with its bits reversed, as the checksum shifts to the right (RFC 3720 section 12.1).
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// A byte that explains a checksum, if all others are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its place.
    pub at: usize,
    /// What it was.
    pub was: u8,
}

/// The bytes of which any one alone explains why `bytes` do not end with their CRC-32C, little endian. None when they
/// do, and none when more than one byte is wrong, but for a chance of `255 * bytes / 2^32`.
pub fn suspects(bytes: &[u8]) -> Vec<Suspect> {
    let Some((body, stored)) = bytes.split_last_chunk::<4>() else { return Vec::new() };
    let difference = crc32c::crc32c(body) ^ u32::from_le_bytes(*stored);
    let mut walked = difference;
    let in_body = body.iter().enumerate().rev().filter_map(|(at, byte)| {
        walked = before(walked);
        suspect(at, *byte, walked)
    });
    let in_checksum = stored.iter().enumerate().filter_map(|(place, byte)| {
        // As many bits to the right as the byte has to its right.
        let bits = difference.rotate_right(8 * u32::try_from(place).unwrap_or_default());
        suspect(body.len() + place, *byte, bits)
    });
    in_body.chain(in_checksum).collect()
}

fn suspect(at: usize, byte: u8, changed: u32) -> Option<Suspect> {
    let bits = u8::try_from(changed).ok().filter(|bits| *bits != 0)?;
    Some(Suspect { at, was: byte ^ bits })
}

/// The difference of two checksums before a byte that is the same for both, from that after it.
fn before(difference: u32) -> u32 {
    (0..8).fold(difference, |after, _| {
        let carried = after >> 31 == 1;
        if carried { ((after ^ POLYNOMIAL) << 1) | 1 } else { after << 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(body: &[u8]) -> Vec<u8> {
        [body, &crc32c::crc32c(body).to_le_bytes()].concat()
    }

    #[test]
    fn every_change_of_one_byte_is_suspected_and_nothing_in_a_whole_text() {
        let good = sealed(b"one action on one resource");
        assert_eq!(suspects(&good), []);
        for at in 0..good.len() {
            for bits in 1..=u8::MAX {
                let mut bad = good.clone();
                bad[at] ^= bits;
                assert_eq!(suspects(&bad), [Suspect { at, was: good[at] }], "byte {at}, bits {bits:#x}");
            }
        }
    }

    #[test]
    fn two_changed_bytes_are_no_suspects() {
        let good = sealed(b"one action on one resource");
        for (a, b) in [(0, 1), (3, 20), (25, 26), (26, 29)] {
            let mut bad = good.clone();
            (bad[a], bad[b]) = (bad[a] ^ 1, bad[b] ^ 0x80);
            assert_eq!(suspects(&bad), []);
        }
    }

    #[test]
    fn in_a_large_group_the_byte_is_among_a_few() {
        let good = sealed(&vec![b'a'; 1 << 20]);
        for at in [0, 77_777, (1 << 20) - 1, (1 << 20) + 2] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let found = suspects(&bad);
            assert!(found.contains(&Suspect { at, was: good[at] }) && found.len() < 10, "{found:?}");
        }
        assert_eq!(suspects(b"abc"), []);
    }
}
