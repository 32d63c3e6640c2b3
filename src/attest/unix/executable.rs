//! What a process executes: the path, when it is worth naming, and the digest of the opened file.
//!
//! Everything here may block on a disk, so it runs off the async threads. For an interpreter a digest says
//! nothing of the script.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FsWord;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::procfs::{FileId, Process};
use super::raw::file_time_seconds;
use crate::attest::{Failure, Rejected};
use crate::domain::digest::Digest;
use crate::domain::limits::{
    EXECUTABLE_BYTES_MAX, EXECUTABLE_SECONDS_MAX, EXECUTABLES_EXAMINED_MAX, EXECUTABLES_KNOWN_MAX,
};

/// A file that changed less than this many seconds ago may change again without a new `ctime`: kernels
/// before 6.13 stamp files by a clock that ticks every 10 ms at the slowest. Two seconds are generous.
const SETTLED_SECONDS: i64 = 2;

/// What is known of the executable of one process. What could not be established is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// Its path, when we see the very same file at that path.
    pub(super) path: Option<String>,
    /// SHA-256 of its bytes.
    pub(super) digest: Option<Digest>,
    /// Whether the file's [`FileId`] stands for its bytes, so that this may be kept.
    pub(super) settled: bool,
}

/// Examines executables and remembers the digests of those seen before.
#[derive(Debug)]
pub(super) struct Executables {
    known: Arc<Mutex<Known>>,
    permits: Arc<Semaphore>,
}

impl Executables {
    pub(super) fn new() -> Self {
        Self { known: Arc::default(), permits: Arc::new(Semaphore::new(EXECUTABLES_EXAMINED_MAX)) }
    }

    /// What `process` executes, which must still be `id`.
    pub(super) async fn examine(&self, process: Arc<Process>, id: FileId) -> Result<Image, Failure> {
        let waiting = self.examine_in_turn(process, id);
        tokio::time::timeout(Duration::from_secs(EXECUTABLE_SECONDS_MAX), waiting)
            .await
            .map_err(|late| Failure::unavailable("the executable in time", late))?
    }

    async fn examine_in_turn(&self, process: Arc<Process>, id: FileId) -> Result<Image, Failure> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|closed| Failure::unavailable("the executable", closed))?;
        let known = Arc::clone(&self.known);
        let examined = tokio::task::spawn_blocking(move || {
            let image = examine(&process, id, &known);
            // The permit ends with the work, not with the wait for it.
            drop(permit);
            image
        });
        examined.await.map_err(|stopped| Failure::unavailable("the executable", stopped))?
    }
}

fn examine(process: &Process, id: FileId, known: &Mutex<Known>) -> Result<Image, Failure> {
    let gone_or_unreadable = |errno: Errno| match errno {
        Errno::SRCH => Failure::Rejected(Rejected::Gone),
        other => unreadable(other),
    };
    let settled = file_time_seconds().saturating_sub(id.changed_seconds()) > SETTLED_SECONDS;
    let digest = match process.open_executable().map_err(gone_or_unreadable)? {
        Some(file) => digest(file, id, settled, known)?,
        None => None,
    };
    Ok(Image { path: path(process, id), digest, settled })
}

/// The path, if the file that we see there is the one that is executed. The kernel's answer alone is not
/// enough: a process may mount any file over `/usr/bin/agent` in a namespace of its own, and a file that
/// was deleted or replaced keeps its name with a suffix.
fn path(process: &Process, id: FileId) -> Option<String> {
    let path = process.executable_path().ok()?;
    let same = path.is_absolute() && FileId::of_path(&path) == Ok(id);
    same.then(|| path.into_os_string().into_string().ok()).flatten()
}

/// The digest of the opened file, which is the one that is executed even when its name is gone.
fn digest(file: OwnedFd, id: FileId, settled: bool, known: &Mutex<Known>) -> Result<Option<Digest>, Failure> {
    must_be(&file, id)?;
    if id.size() > EXECUTABLE_BYTES_MAX || !is_honest(&file)? {
        return Ok(None);
    }
    if settled && let Some(digest) = locked(known).find(&id) {
        return Ok(Some(digest));
    }
    let file = File::from(file);
    let digest = hash(&file).map_err(unreadable)?;
    must_be(&file, id)?;
    if settled {
        locked(known).remember(id, digest);
    }
    Ok(Some(digest))
}

fn unreadable(error: impl Into<io::Error>) -> Failure {
    Failure::unavailable("the executable", error.into())
}

fn must_be(file: impl AsFd, id: FileId) -> Result<(), Failure> {
    if FileId::of(file).map_err(unreadable)? == id { Ok(()) } else { Err(Rejected::Changed.into()) }
}

/// Whether the file system shows everybody the same bytes until `ctime` moves. Those in user space or on
/// another machine can show us one program and run another.
fn is_honest(file: impl AsFd) -> Result<bool, Failure> {
    /// FUSE, NFS, SMB, CIFS, 9P, Ceph, AFS and Coda (`linux/magic.h`).
    const ELSEWHERE: [FsWord; 9] = [
        0x6573_5546,
        0x6969,
        0x517b,
        0xfe53_4d42,
        0xff53_4d42,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
        0x7375_7245,
    ];
    let found = rustix::fs::fstatfs(file).map_err(unreadable)?;
    Ok(!ELSEWHERE.contains(&found.f_type))
}

fn hash(mut file: &File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 128 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(Digest::from_bytes(hash.finalize().into())),
            Some(bytes) => hash.update(bytes),
        }
    }
}

fn locked(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    // The map is whole between any two statements, so a panic elsewhere leaves nothing half done.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Digests by file, the oldest forgotten first.
#[derive(Debug, Default)]
struct Known {
    digests: HashMap<FileId, Digest>,
    order: VecDeque<FileId>,
}

impl Known {
    fn find(&self, id: &FileId) -> Option<Digest> {
        self.digests.get(id).copied()
    }

    fn remember(&mut self, id: FileId, digest: Digest) {
        if self.digests.insert(id, digest).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > EXECUTABLES_KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> (File, FileId) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let id = FileId::of(&file).unwrap();
        (file, id)
    }

    #[test]
    fn the_digest_is_of_the_opened_bytes_and_kept_only_once_settled() {
        let known = Mutex::default();
        let (first, id) = file(b"abc");
        let handle = || OwnedFd::from(first.try_clone().unwrap());
        assert_eq!(digest(handle(), id, false, &known).unwrap(), Some(Digest::of(b"abc")));
        assert_eq!(locked(&known).find(&id), None);
        std::io::Seek::rewind(&mut &first).unwrap();
        assert_eq!(digest(handle(), id, true, &known).unwrap(), Some(Digest::of(b"abc")));
        assert_eq!(locked(&known).find(&id), Some(Digest::of(b"abc")));
        // The offset is at the end now: only a remembered digest can be right.
        assert_eq!(digest(handle(), id, true, &known).unwrap(), Some(Digest::of(b"abc")));
    }

    #[test]
    fn a_file_that_is_not_the_one_seen_before_is_a_change() {
        let (first, _) = file(b"abc");
        let (_second, other) = file(b"abc");
        let answer = digest(first.into(), other, true, &Mutex::default());
        assert!(matches!(answer, Err(Failure::Rejected(Rejected::Changed))));
    }

    #[test]
    fn an_executable_beyond_the_bound_has_no_digest() {
        let (large, _) = file(b"");
        large.set_len(EXECUTABLE_BYTES_MAX + 1).unwrap();
        let id = FileId::of(&large).unwrap();
        assert_eq!(digest(large.into(), id, true, &Mutex::default()).unwrap(), None);
    }

    #[test]
    fn digests_are_forgotten_oldest_first() {
        let mut known = Known::default();
        let id = FileId::of_inode;
        for at in 0..=EXECUTABLES_KNOWN_MAX as u64 {
            known.remember(id(at), Digest::of(b""));
        }
        assert_eq!(known.find(&id(0)), None);
        assert!(known.find(&id(1)).is_some() && known.find(&id(EXECUTABLES_KNOWN_MAX as u64)).is_some());
        assert_eq!(known.digests.len(), EXECUTABLES_KNOWN_MAX);
    }
}
