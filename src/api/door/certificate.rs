//! A client's certificate as proxies hand it on: PEM, percent-encoded (Envoy's `include_peer_certificate`,
//! nginx's `$ssl_client_escaped_cert`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::limits::CSR_BYTES_MAX;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Longest text that is read: every byte escaped.
const TEXT_BYTES_MAX: usize = 12 * CSR_BYTES_MAX;

/// The certificate in DER. `None` when the text is not exactly one.
pub fn certificate(escaped: &str) -> Option<Vec<u8>> {
    if escaped.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = unescaped(escaped)?;
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok().filter(|der| !der.is_empty())
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_is_read_and_nothing_else() {
        let escaped = "-----BEGIN%20CERTIFICATE-----%0AAQID%0A-----END%20CERTIFICATE-----%0A";
        assert_eq!(certificate(escaped), Some(vec![1, 2, 3]));
        let twice = format!("{escaped}{escaped}");
        for bad in
            ["", "%", "%4", "%zz", "AQID", &twice, "-----BEGIN%20CERTIFICATE----------END%20CERTIFICATE-----"]
        {
            assert_eq!(certificate(bad), None, "{bad}");
        }
        assert_eq!(certificate(&"%".repeat(TEXT_BYTES_MAX + 1)), None);
    }
}
