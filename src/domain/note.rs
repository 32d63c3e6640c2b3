//! Checkpoints as C2SP signed notes: origin, size, root, and an Ed25519 signature line.
//!
//! Forms: c2sp.org/signed-note, c2sp.org/tlog-checkpoint. Signing and verifying bytes is the caller's;
//! this file only knows the texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::digest::Digest;

/// A tree head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name: the trust domain with `/log`.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root hash.
    pub root: Digest,
}

/// A note's key: its name, the 4-byte key id, and the Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    /// The key's name; for a log it is the origin.
    pub name: String,
    /// First four bytes of SHA-256 over name, line feed, algorithm byte and key.
    pub id: [u8; 4],
    /// 32 bytes.
    pub key: [u8; 32],
}

/// The algorithm byte of Ed25519 (c2sp.org/signed-note).
const ED25519: u8 = 1;

/// The text is not of the form it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {0}")]
pub struct BadNote(&'static str);

impl Checkpoint {
    /// The note's text: what is signed.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// The whole note with one signature of 64 bytes by `key`.
    pub fn signed(&self, key: &VerifierKey, signature: &[u8]) -> String {
        let blob: Vec<u8> = key.id.iter().chain(signature).copied().collect();
        format!("{}\n\u{2014} {} {}\n", self.body(), key.name, STANDARD.encode(blob))
    }

    /// Reads a note: the checkpoint, and the 64-byte signature that `key` should have made over its
    /// [`Self::body`]. Other signers' lines are passed over.
    ///
    /// # Errors
    /// When the text is no checkpoint of `key`'s log, or has no signature line of that key.
    pub fn parse(note: &str, key: &VerifierKey) -> Result<(Self, [u8; 64]), BadNote> {
        let (body, signatures) =
            note.split_once("\n\n").ok_or(BadNote("a blank line before the signatures"))?;
        let mut lines = body.split('\n');
        let mut line = |what| lines.next().ok_or(BadNote(what));
        let origin = line("the origin")?;
        let size = line("the tree size")?.parse().map_err(|_| BadNote("the tree size"))?;
        let root = STANDARD.decode(line("the root hash")?).map_err(|_| BadNote("the root hash in base64"))?;
        let root: [u8; 32] = root.try_into().map_err(|_| BadNote("a root hash of 32 bytes"))?;
        let checkpoint = Self { origin: origin.to_owned(), size, root: Digest::from_bytes(root) };
        // The text that was signed is the one we would write: no second spelling of a checkpoint.
        if origin != key.name || checkpoint.body().strip_suffix('\n') != Some(body) {
            return Err(BadNote("a canonical checkpoint of this log"));
        }
        let signature = signatures.lines().find_map(|line| signature_of(line, key));
        signature.map(|signature| (checkpoint, signature)).ok_or(BadNote("a signature line of the log's key"))
    }
}

fn signature_of(line: &str, key: &VerifierKey) -> Option<[u8; 64]> {
    let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (id, signature) = blob.split_at_checked(4)?;
    if name == key.name && id == key.id { signature.try_into().ok() } else { None }
}

impl VerifierKey {
    /// The key with its id.
    pub fn new(name: String, key: [u8; 32]) -> Self {
        let hash = Digest::of_parts(&[name.as_bytes(), b"\n", &[ED25519], &key]);
        let [a, b, c, d, ..] = *hash.as_bytes();
        Self { name, id: [a, b, c, d], key }
    }

    /// The text form `name+id+base64`, as `verify --key` reads it.
    pub fn to_text(&self) -> String {
        let blob: Vec<u8> = std::iter::once(ED25519).chain(self.key).collect();
        format!("{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(blob))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When the form is wrong, the key not Ed25519, or the id not the key's.
    pub fn parse(text: &str) -> Result<Self, BadNote> {
        const BAD: BadNote = BadNote("a verifier key `name+id+base64` (c2sp.org/signed-note)");
        let mut parts = text.trim().splitn(3, '+');
        let name = parts.next().filter(|name| !name.is_empty()).ok_or(BAD)?;
        let id = parts.next().ok_or(BAD)?;
        let blob = STANDARD.decode(parts.next().ok_or(BAD)?).map_err(|_| BAD)?;
        let (&ED25519, key) = blob.split_first().ok_or(BAD)? else { return Err(BAD) };
        let key = Self::new(name.to_owned(), key.try_into().map_err(|_| BAD)?);
        if hex::encode(key.id) == id { Ok(key) } else { Err(BAD) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_round_trips_and_only_in_its_canonical_spelling() {
        let key = VerifierKey::new("example.org/log".to_owned(), [9; 32]);
        let checkpoint =
            Checkpoint { origin: "example.org/log".to_owned(), size: 17, root: Digest::from_bytes([3; 32]) };
        let note = checkpoint.signed(&key, &[5; 64]);
        assert_eq!(Checkpoint::parse(&note, &key), Ok((checkpoint, [5; 64])));
        for bad in [
            note.replace("17", "017"),
            note.replace("17", "+17"),
            note.replace("example.org/log\n17", "evil.org/log\n17"),
            note.replace("\n\n", "\n"),
            note.replacen('\n', "\nextra\n", 1),
            String::new(),
        ] {
            assert!(Checkpoint::parse(&bad, &key).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_verifier_key_round_trips_and_its_id_is_checked() {
        let key = VerifierKey::new("example.org/log".to_owned(), [9; 32]);
        let text = key.to_text();
        assert_eq!(VerifierKey::parse(&text), Ok(key));
        let wrong = text.replacen('+', "+0", 1);
        assert!(VerifierKey::parse(&wrong).is_err());
        assert!(VerifierKey::parse("").is_err());
    }
}
