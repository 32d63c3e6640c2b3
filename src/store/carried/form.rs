//! The file of what is carried forward, as bytes.
//!
//! ```text
//! magic 17 bytes | first u64 | root 32 bytes | size u64 | leaf 32 bytes | epoch u64
//! loaded u64, all ones when none was | its registry 32 bytes
//! agents u32 | agents times: length u32, text, time i64
//! entries u32 | entries times: index u64, parts u8, length u32, JSON
//! signature of the log's key, 64 bytes
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{Carried, Matters, Parts, Start};
use crate::domain::digest::Digest;
use crate::domain::limits::{CARRIED_BYTES_MAX, ENTRY_BYTES_MAX, SPIFFE_ID_BYTES_MAX, STORE_PROBE_BYTES};
use crate::domain::note::VerifierKey;
use crate::domain::signer::Signer;
use crate::domain::time::Timestamp;
use crate::store::open::is_signed;

/// What the file begins with. No text begins so, and a checkpoint is a text: a signature of one is none of the other.
const MAGIC: &[u8; 17] = b"\xffhotwork-carried\x03";
const SIGNATURE_BYTES: usize = 64;
/// The entries, the agents of a large registry beside them, and the rest.
const FILE_BYTES_MAX: usize = CARRIED_BYTES_MAX + 16 * 1024 * 1024;
const NEVER: u64 = u64::MAX;

/// Writes it beside, syncs, and puts it in place: after a crash, or on a full disk, there is the old one or the new one.
pub(super) fn write(path: &Path, carried: &Carried, signer: &dyn Signer) -> io::Result<()> {
    let mut bytes = encode(carried);
    let signature = signer.sign(&signed(&bytes)).map_err(io::Error::other)?;
    bytes.extend_from_slice(&signature);
    if bytes.len() > FILE_BYTES_MAX {
        return Err(too_large());
    }
    let free = path.parent().map(room).transpose()?.unwrap_or(u64::MAX);
    if !leaves_room(free, bytes.len()) {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "it would leave the journal too little room"));
    }
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    let written = write();
    if written.is_err() {
        // On a full disk it would be what fills it.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Why what still matters is not carried for as long as that is so.
pub(super) fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than any that is read")
}

/// The bytes that may still be written below `directory`.
fn room(directory: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(directory)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Whether a disk with so many bytes left has, after this file, what the journal needs, and a start that tries it: an
/// append that fails because of what is only a convenience would stop the ledger.
fn leaves_room(free: u64, file: usize) -> bool {
    let file = u64::try_from(file).unwrap_or(u64::MAX);
    let left = u64::try_from(STORE_PROBE_BYTES).unwrap_or(u64::MAX).saturating_mul(2);
    free >= left.saturating_add(file)
}

/// Reads it and holds it to the log's key.
pub(super) fn read(path: &Path, key: &VerifierKey) -> io::Result<Carried> {
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than any that is written"));
    }
    let damaged = || io::Error::other("it is not as the log's key signed it");
    let (body, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or_else(damaged)?;
    if !is_signed(key, &signed(body), signature) {
        return Err(damaged());
    }
    decode(body).ok_or_else(damaged)
}

/// What is signed: the beginning that tells it apart, and the digest of it all.
fn signed(body: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), Digest::of(body).as_bytes()].concat()
}

fn encode(carried: &Carried) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(carried.first().to_le_bytes());
    out.extend(carried.start.map_or([0; 32], |start| *start.root.as_bytes()));
    out.extend(carried.start.map_or(0, |start| start.size).to_le_bytes());
    out.extend(carried.start.map_or([0; 32], |start| *start.leaf.as_bytes()));
    out.extend(carried.epoch.to_le_bytes());
    out.extend(carried.loaded.map_or(NEVER, |(index, _)| index).to_le_bytes());
    out.extend(carried.loaded.map_or([0; 32], |(_, registry)| *registry.as_bytes()));
    out.extend(count(carried.last_issue.len()));
    for (agent, time) in &carried.last_issue {
        out.extend(count(agent.len()));
        out.extend(agent.as_bytes());
        out.extend(time.millis().to_le_bytes());
    }
    out.extend(count(carried.entries.len()));
    for (index, entry) in &carried.entries {
        out.extend(index.to_le_bytes());
        out.push(entry.parts.0);
        out.extend(count(entry.json.len()));
        out.extend_from_slice(&entry.json);
    }
    out
}

fn count(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

/// Takes from the front; `None` when there is not so much.
struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn counted(&mut self, most: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
        let (head, rest) = self.0.split_at_checked(length).filter(|_| length <= most)?;
        self.0 = rest;
        Some(head)
    }
}

fn decode(bytes: &[u8]) -> Option<Carried> {
    let mut take = Take(bytes.strip_prefix(MAGIC)?);
    let (first, root) = (take.number()?, Digest::from_bytes(take.array()?));
    let (size, leaf) = (take.number()?, Digest::from_bytes(take.array()?));
    let start = (first > 0).then_some(Start { first, root, size, leaf });
    let (epoch, loaded, registry) = (take.number()?, take.number()?, Digest::from_bytes(take.array()?));
    let mut last_issue = HashMap::new();
    for _ in 0..u32::from_le_bytes(take.array()?) {
        let agent = std::str::from_utf8(take.counted(SPIFFE_ID_BYTES_MAX)?).ok()?;
        let time = Timestamp::from_millis(i64::from_le_bytes(take.array()?));
        last_issue.insert(agent.to_owned(), time);
    }
    let mut entries = BTreeMap::new();
    for _ in 0..u32::from_le_bytes(take.array()?) {
        let index = take.number().filter(|index| *index < first)?;
        let [parts] = take.array()?;
        let json = take.counted(ENTRY_BYTES_MAX)?.to_vec();
        entries.insert(index, Matters { parts: Parts(parts), json });
    }
    let loaded = (loaded != NEVER).then_some((loaded, registry));
    take.0.is_empty().then_some(Carried { start, epoch, loaded, last_issue, entries })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use super::*;
    use crate::domain::signer::{Algorithm, SigningFailed};
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    struct Key(Ed25519KeyPair);

    impl Signer for Key {
        fn algorithm(&self) -> Algorithm {
            Algorithm::Ed25519
        }

        fn kid(&self) -> &'static str {
            "log"
        }

        fn public_key(&self) -> &[u8] {
            self.0.public_key().as_ref()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
            Ok(self.0.sign(message).as_ref().to_vec())
        }
    }

    fn key(seed: u8) -> (Arc<Key>, VerifierKey) {
        let key = Key(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap());
        let public = VerifierKey::new("a.example/log".to_owned(), key.public_key().try_into().unwrap());
        (Arc::new(key), public)
    }

    fn some() -> Carried {
        let matters = |parts| Matters { parts, json: b"{\"event\":1}".to_vec() };
        Carried {
            start: Some(Start { first: 70, root: Digest::of(b"root"), size: 90, leaf: Digest::of(b"leaf") }),
            epoch: 71,
            loaded: Some((3, Digest::of(b"registry"))),
            last_issue: HashMap::from([("a".to_owned(), Timestamp::from_millis(5))]),
            entries: BTreeMap::from([(3, matters(Parts::LOCK.and(Parts::MARK))), (69, matters(Parts::KEPT))]),
        }
    }

    #[test]
    fn it_comes_back_as_it_was_and_is_the_owner_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("carried");
        let (signer, public) = key(1);
        for carried in [some(), Carried { loaded: None, ..Carried::default() }] {
            write(&path, &carried, &*signer).unwrap();
            assert_eq!(read(&path, &public).unwrap(), carried);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn it_takes_no_room_that_the_journal_needs() {
        let left = 2 * STORE_PROBE_BYTES;
        for (free, file, leaves) in [(0, 0, false), (0, 1, false), (left, 1, false), (left + 1, 1, true)] {
            assert_eq!(leaves_room(free as u64, file), leaves, "{free} {file}");
        }
    }

    #[test]
    fn every_changed_byte_every_cut_and_another_key_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("carried");
        let (signer, public) = key(1);
        write(&path, &some(), &*signer).unwrap();
        assert!(read(&path, &key(2).1).is_err());
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(read(&path, &public).is_err(), "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(read(&path, &public).is_err(), "cut at {at}");
        }
        // What is signed and of no known form is refused as well, and nothing is taken beyond its end.
        let body = &good[..good.len() - SIGNATURE_BYTES];
        for end in 0..body.len() {
            assert_eq!(decode(&body[..end]), None, "cut at {end}");
        }
        assert_eq!(decode(&[body, b"x"].concat()), None);
    }
}
