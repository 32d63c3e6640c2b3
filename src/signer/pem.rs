//! PEM (RFC 7468): one block of one label.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Characters on a line (RFC 7468 section 2).
const LINE: usize = 64;

/// One block. The text may hold a key, so it and what it is made from are wiped.
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    // Room for everything, so that growing leaves no copy behind.
    let mut base64 = Zeroizing::new(String::with_capacity(der.len().div_ceil(3) * 4));
    STANDARD.encode_string(der, &mut base64);
    let mut text = Zeroizing::new(String::with_capacity(base64.len() * 66 / 64 + 2 * label.len() + 64));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = &**base64;
    while let Some((line, tail)) = rest.split_at_checked(LINE) {
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The content of the only block, which has this label.
pub(super) fn decode(label: &str, text: &str) -> Option<Vec<u8>> {
    let body = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_round_trips_at_every_length_around_a_line() {
        for size in [0, 1, 47, 48, 49, 96, 97, 1000] {
            let der = vec![0xa5; size];
            let text = encode("CERTIFICATE", &der);
            assert!(text.lines().all(|line| line.len() <= LINE), "{size}");
            assert_eq!(decode("CERTIFICATE", &text), Some(der), "{size}");
            assert_eq!(decode("PRIVATE KEY", &text), None);
        }
    }

    #[test]
    fn two_blocks_are_not_one() {
        let text = encode("CERTIFICATE", b"a");
        assert_eq!(decode("CERTIFICATE", &format!("{}{}", *text, *text)), None);
        assert_eq!(decode("CERTIFICATE", "x"), None);
    }
}
