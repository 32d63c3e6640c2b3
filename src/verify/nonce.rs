//! Nonces for DPoP proofs (RFC 9449 section 9), without state: each is the time slot that it is good for and
//! a code over it, so that any verifier with the same key takes it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::domain::limits::PROOF_AGE_SECONDS_MAX;
use crate::domain::time::Timestamp;

/// Gives nonces and knows them again.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
}

/// A nonce to put into the next proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// The text for the header `DPoP-Nonce`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Bytes of a slot's number, and of the code over it.
const SLOT_BYTES: usize = 8;
const CODE_BYTES: usize = 16;

impl Nonces {
    /// With a key of 32 random bytes, shared by the verifiers of one service.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The nonce of now.
    pub fn current(&self, now: Timestamp) -> Nonce {
        Nonce(self.of(slot(now)))
    }

    /// Whether it is the nonce of this slot or the one before.
    pub fn accepts(&self, nonce: &str, now: Timestamp) -> bool {
        let slot = slot(now);
        // The code is over public numbers only; what is compared in constant time is the code.
        [slot, slot.saturating_sub(1)].into_iter().any(|slot| {
            let expected = self.of(slot);
            subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), nonce.as_bytes()).into()
        })
    }

    fn of(&self, slot: i64) -> String {
        let slot = slot.to_be_bytes();
        let code = hmac::sign(&self.key, &slot);
        let code = code.as_ref().get(..CODE_BYTES).unwrap_or_default();
        let mut bytes = Vec::with_capacity(SLOT_BYTES + CODE_BYTES);
        bytes.extend_from_slice(&slot);
        bytes.extend_from_slice(code);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn slot(now: Timestamp) -> i64 {
    now.seconds() / i64::from(PROOF_AGE_SECONDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_in_its_slot_and_the_next() {
        let nonces = Nonces::new(&[7; 32]);
        let at = |seconds: i64| Timestamp::from_seconds(6_000 + seconds);
        let nonce = nonces.current(at(0));
        for (seconds, good) in [(0, true), (59, true), (60, true), (119, true), (120, false), (-1, false)] {
            assert_eq!(nonces.accepts(nonce.as_str(), at(seconds)), good, "{seconds}");
        }
        assert!(!Nonces::new(&[8; 32]).accepts(nonce.as_str(), at(0)));
        assert!(!nonces.accepts("", at(0)));
    }
}
