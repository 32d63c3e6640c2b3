//! Test doubles that fail: an engine, and a file system that fails at a chosen call.
//!
//! They are public so that the tests of higher floors can show what a storage failure does there.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::engine::{Batch, Place, Store, StoreError};
use super::medium::{Appendable, Area, FileSystem, Medium};

/// An engine that fails from its n-th group on.
pub struct FailingStore {
    inner: Box<dyn Store>,
    left: u64,
}

impl FailingStore {
    /// Lets `groups` through, then fails for good.
    pub fn after(groups: u64, inner: Box<dyn Store>) -> Self {
        Self { inner, left: groups }
    }
}

impl Store for FailingStore {
    fn append(&mut self, batch: &Batch<'_>) -> Result<Place, StoreError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(StoreError::Sync(io::Error::other("injected failure")));
        };
        self.left = left;
        self.inner.append(batch)
    }
}

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creating a file.
    Create,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDirectory,
    /// Writing; half of the bytes are written first.
    Write,
}

/// A file system whose chosen operation fails once, at the n-th call from the arming on; what comes after
/// works again, as on a disk that had one bad moment.
#[derive(Clone, Debug, Default)]
pub struct FaultyFileSystem {
    armed: Arc<Mutex<Option<(Operation, i32)>>>,
    calls_left: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl FaultyFileSystem {
    /// Makes the n-th call of `operation` from here on fail with the system's error `code`; 0 is the next.
    pub fn arm(&self, operation: Operation, nth: u64, code: i32) {
        self.calls_left.store(nth, Ordering::SeqCst);
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((operation, code));
    }

    /// How many calls have failed.
    pub fn failures(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    fn check(&self, operation: Operation) -> io::Result<()> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, code)) = armed.filter(|(when, _)| *when == operation) else { return Ok(()) };
        if self.calls_left.load(Ordering::SeqCst) > 0 {
            self.calls_left.fetch_sub(1, Ordering::SeqCst);
            return Ok(());
        }
        *armed = None;
        self.failed.fetch_add(1, Ordering::SeqCst);
        Err(io::Error::from_raw_os_error(code))
    }

    fn wrap(&self, file: Box<dyn Appendable>) -> Box<dyn Appendable> {
        Box::new(FaultyFile { file, faults: self.clone() })
    }
}

impl Medium for FaultyFileSystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appendable>> {
        self.check(Operation::Create)?;
        Ok(self.wrap(FileSystem.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Appendable>> {
        Ok(self.wrap(FileSystem.open(path)?))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn Area>> {
        Ok(Box::new(FaultyArea { area: FileSystem.overwrite(path)?, faults: self.clone() }))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.check(Operation::SyncDirectory)?;
        FileSystem.sync_directory(path)
    }
}

struct FaultyFile {
    file: Box<dyn Appendable>,
    faults: FaultyFileSystem,
}

impl Appendable for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.faults.check(Operation::Write) {
            self.file.append(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(error);
        }
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults.check(Operation::Sync)?;
        self.file.sync()
    }
}

struct FaultyArea {
    area: Box<dyn Area>,
    faults: FaultyFileSystem,
}

impl Area for FaultyArea {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.faults.check(Operation::Write) {
            self.area.write_at(offset, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(error);
        }
        self.area.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults.check(Operation::Sync)?;
        self.area.sync()
    }
}
