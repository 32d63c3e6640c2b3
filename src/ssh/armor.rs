//! The text around a signature: PEM's form with OpenSSH's label and line length.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::limits::SSH_SIGNATURE_BYTES_MAX;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// The content of the only block in the text. White space around it and a carriage return at the end of its lines
/// are what a mail or a clipboard adds.
pub(super) fn open(text: &str) -> Option<Vec<u8>> {
    if text.len() > SSH_SIGNATURE_BYTES_MAX {
        return None;
    }
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64: String = body.lines().map(str::trim_end).collect();
    // Strict about padding and trailing bits: a signature has one form.
    STANDARD.decode(base64).ok()
}

/// Base64 digits of a line, as `ssh-keygen` writes them.
const LINE: usize = 70;

/// The text around `blob`.
pub(super) fn close(blob: &[u8]) -> String {
    let base64 = STANDARD.encode(blob);
    let mut text = format!("{BEGIN}\n");
    for (at, digit) in base64.chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push_str(&format!("\n{END}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_is_read_and_nothing_beside_it() {
        let good = format!("{BEGIN}\nU1NI\nU0lH\n{END}\n");
        assert_eq!(open(&good).as_deref(), Some(&b"SSHSIG"[..]));
        assert_eq!(open(&good.replace('\n', "\r\n")).as_deref(), Some(&b"SSHSIG"[..]));
        for bad in [
            String::new(),
            "U1NIU0lH".to_owned(),
            format!("{good}{good}"),
            format!("x{good}"),
            good.replace(END, ""),
            good.replace("U0lH", "U0l"),
            good.replace("U0lH", "U0 lH"),
            good.replace("SSH SIGNATURE", "PGP SIGNATURE"),
            good.replace("U0lH", &"A".repeat(SSH_SIGNATURE_BYTES_MAX)),
        ] {
            assert_eq!(open(&bad), None, "{bad}");
        }
    }
}
