//! The nonce of a text: made by this broker for this text and for no other, so that nobody signs what it did not write
//! now (`docs/decisions/0035`).
//!
//! Its first part is random, its last a mark over the whole rest of the text. The mark is cut from a signature with the
//! log's key that nobody is shown: Ed25519 signs the same text in the same way (RFC 8032 section 5.1.6), on every replica
//! and after every start, and nobody without the key can tell how.

use crate::domain::digest::Digest;
use crate::domain::statement::{Nonce, NotAStatement, Statement};

use super::GlassError;
use crate::broker::Broker;

/// What is signed for a mark begins so, and nothing else that the log's key signs does: no checkpoint, no sealed copy.
const CONTEXT: &[u8] = b"hotwork break-glass nonce v1\n";

/// Random bytes: two texts of the same second and the same words are two.
const RANDOM_BYTES: usize = 6;
/// Bytes of the mark: each guess is a call of a known responder, and is in the log.
const MARK_BYTES: usize = 10;

impl Broker {
    /// Writes a new text.
    pub(super) fn write_marked(
        &self,
        write: impl Fn(Nonce) -> Result<Statement, NotAStatement>,
    ) -> Result<(Nonce, Statement), GlassError> {
        let mut random = [0; RANDOM_BYTES];
        self.entropy.fill(&mut random)?;
        self.marked(random, write)
    }

    /// Writes a text again that has this nonce, if it is one of this broker's.
    pub(super) fn write_again(
        &self,
        nonce: Nonce,
        write: impl Fn(Nonce) -> Result<Statement, NotAStatement>,
    ) -> Result<Statement, GlassError> {
        let Some((random, _)) = nonce.as_bytes().split_first_chunk() else { return Err(GlassError::Changed) };
        let (_, statement) = self.marked(*random, write)?;
        Ok(statement)
    }

    fn marked(
        &self,
        random: [u8; RANDOM_BYTES],
        write: impl Fn(Nonce) -> Result<Statement, NotAStatement>,
    ) -> Result<(Nonce, Statement), GlassError> {
        let blank = write(nonce(random, [0; MARK_BYTES]))?;
        let signature = self.minter.log_signer().sign(&[CONTEXT, blank.as_str().as_bytes()].concat())?;
        let mut mark = [0; MARK_BYTES];
        mark.iter_mut().zip(Digest::of(&signature).as_bytes()).for_each(|(to, from)| *to = *from);
        let nonce = nonce(random, mark);
        Ok((nonce, write(nonce)?))
    }
}

fn nonce(random: [u8; RANDOM_BYTES], mark: [u8; MARK_BYTES]) -> Nonce {
    let mut bytes = [0; RANDOM_BYTES + MARK_BYTES];
    bytes.iter_mut().zip(random.iter().chain(&mark)).for_each(|(to, from)| *to = *from);
    Nonce::new(bytes)
}
