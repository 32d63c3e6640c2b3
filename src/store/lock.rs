//! One process to a data directory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Held as long as the value lives; the kernel lets go of it when the process dies.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock; `None` when somebody else holds it.
    pub(super) fn take(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join("LOCK");
        Self::of(OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?)
    }

    /// As [`Self::take`], in a directory that may take no writes.
    pub(super) fn take_as_it_is(directory: &Path) -> io::Result<Option<Self>> {
        match File::open(directory.join("LOCK")) {
            Ok(file) => Self::of(file),
            // It was never started: no other process can be there, and the next one makes the file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::take(directory),
            Err(error) => Err(error),
        }
    }

    fn of(file: File) -> io::Result<Option<Self>> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
