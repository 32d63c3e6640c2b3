//! Domain to proto. It knows no use case, reads no clock and never sees a secret.

pub mod credential;
pub mod inventory;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::time::Timestamp;

/// A point in time.
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = time.millis().rem_euclid(1000).saturating_mul(1_000_000);
    prost_types::Timestamp { seconds: time.seconds(), nanos: i32::try_from(nanos).unwrap_or_default() }
}

/// A DER certificate in PEM (RFC 7468 section 5).
pub fn certificate_pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = String::with_capacity(body.len() + body.len() / 64 + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while let Some((line, tail)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_keeps_its_milliseconds() {
        let time = timestamp(Timestamp::from_millis(1_700_000_000_123));
        assert_eq!((time.seconds, time.nanos), (1_700_000_000, 123_000_000));
    }

    #[test]
    fn pem_lines_have_64_characters_and_the_last_one_the_rest() {
        for length in [0, 1, 47, 48, 49, 96, 500] {
            let der = vec![0xa5; length];
            let pem = certificate_pem(&der);
            let lines: Vec<&str> = pem.lines().collect();
            let body = &lines[1..lines.len() - 1];
            assert!(body.iter().rev().skip(1).all(|line| line.len() == 64), "{pem}");
            assert!(body.iter().all(|line| !line.is_empty() && line.len() <= 64));
            assert_eq!(STANDARD.decode(body.concat()).unwrap(), der);
        }
    }
}
