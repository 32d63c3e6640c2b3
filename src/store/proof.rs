//! Receipts and consistency: proofs that an entry is in the log, and that the log only grew.

use super::ledger::Head;
use super::reader::{ReadError, Reader};
use super::tree::Tree;
use crate::domain::digest::Digest;
use crate::domain::merkle::{consistency_holds, inclusion_holds, leaf_hash};
use crate::domain::note::Checkpoint;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

impl Reader {
    /// The receipt of the entry at `index` in C2SP tlog-proof form: index, hashes, signed checkpoint. It is
    /// checked before it is given; tiles that don't hold are made anew.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn inclusion(&self, index: u64) -> Result<String, ReadError> {
        let head = self.shared().head.load_full();
        let range = ReadError::Range { asked: index, size: head.size };
        let Some(entry) = self.entry(index)?.filter(|_| index < head.size) else { return Err(range) };
        let leaf = leaf_hash(&entry);
        let proof = self.proven(
            |tree, trust| tree.inclusion(index, head.size, trust),
            |proof| inclusion_holds(leaf, index, head.size, proof, &head.root),
            index,
        )?;
        let hashes: String = proof.iter().map(|hash| STANDARD.encode(hash.as_bytes()) + "\n").collect();
        Ok(format!("c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{}", head.note))
    }

    /// Proof that the log of `old_size` entries is a prefix of the log now: hashes and the checkpoint now.
    /// The root of the old size, which the proof is about, is computed here, so a caller with another one
    /// will see it fail.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn consistency(&self, old_size: u64) -> Result<(Vec<Digest>, String), ReadError> {
        let head = self.shared().head.load_full();
        if old_size == 0 || old_size > head.size {
            return Err(ReadError::Range { asked: old_size, size: head.size });
        }
        let proof = self.proven(
            |tree, trust| {
                let old_root = tree.root(old_size, trust)?;
                Ok((tree.consistency(old_size, head.size, trust)?, old_root))
            },
            |(proof, old_root)| holds(old_size, old_root, &head, proof),
            old_size,
        )?;
        Ok((proof.0, head.note.clone()))
    }

    /// The newest signed checkpoint; empty before the first entry.
    pub fn checkpoint(&self) -> String {
        self.shared().head.load().note.clone()
    }

    /// Proves with the tiles there are, and when that does not hold once more from the journal.
    fn proven<P>(
        &self,
        prove: impl Fn(&Tree, bool) -> std::io::Result<P>,
        holds: impl Fn(&P) -> bool,
        about: u64,
    ) -> Result<P, ReadError> {
        for trust in [true, false] {
            let proof = prove(&self.shared().tree, trust)?;
            if holds(&proof) {
                return Ok(proof);
            }
        }
        Err(ReadError::Mismatch(about))
    }
}

fn holds(old_size: u64, old_root: &Digest, head: &Head, proof: &[Digest]) -> bool {
    consistency_holds(old_size, old_root, head.size, &head.root, proof)
}

/// Reads a receipt's text: the index, the hashes, the checkpoint note.
///
/// # Errors
/// When the text is not of the form.
pub fn parse_receipt(text: &str) -> Result<(u64, Vec<Digest>, &str), BadReceipt> {
    let (head, note) = text.split_once("\n\n").ok_or(BadReceipt)?;
    let mut lines = head.split('\n');
    let index = match (lines.next(), lines.next()) {
        (Some("c2sp.org/tlog-proof@v1"), Some(index)) => index.strip_prefix("index ").ok_or(BadReceipt)?,
        _ => return Err(BadReceipt),
    };
    let parsed: u64 = index.parse().map_err(|_| BadReceipt)?;
    let hashes = lines.map(parse_hash).collect::<Result<Vec<_>, _>>()?;
    let canonical = parsed.to_string() == index && hashes.len() <= 64;
    if canonical { Ok((parsed, hashes, note)) } else { Err(BadReceipt) }
}

/// The text is no receipt.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a receipt in the form c2sp.org/tlog-proof@v1")]
pub struct BadReceipt;

fn parse_hash(line: &str) -> Result<Digest, BadReceipt> {
    let bytes = STANDARD.decode(line).map_err(|_| BadReceipt)?;
    bytes.try_into().map(Digest::from_bytes).map_err(|_| BadReceipt)
}

/// Whether `receipt` shows that the log of `key` has `entry`.
///
/// # Errors
/// When the receipt's text or checkpoint are not of the form.
pub fn receipt_holds(
    receipt: &str,
    entry: &[u8],
    key: &crate::domain::note::VerifierKey,
) -> Result<bool, BadReceipt> {
    let (index, hashes, note) = parse_receipt(receipt)?;
    let (checkpoint, signature) = Checkpoint::parse(note, key).map_err(|_| BadReceipt)?;
    let signed = super::open::is_signed(key, checkpoint.body().as_bytes(), &signature);
    Ok(signed && inclusion_holds(leaf_hash(entry), index, checkpoint.size, &hashes, &checkpoint.root))
}
