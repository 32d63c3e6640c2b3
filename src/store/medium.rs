//! The file operations that durability rests on, behind a small door so that tests can make them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Makes and opens the files that the journal appends to.
///
/// An implementer promises: `create` fails when the file is there; after `sync_directory` a created file
/// survives a power cut.
pub trait Medium: Send + Sync {
    /// Creates a file for appending.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appendable>>;

    /// Opens a file for appending.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Appendable>>;

    /// Opens a file that was written whole, to write in its place.
    ///
    /// # Errors
    /// The system's.
    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn Area>>;

    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file that only grows.
///
/// An implementer promises: bytes of a successful `append` followed by a successful `sync` survive a power
/// cut. After an error nothing is promised, and the caller must not go on.
pub trait Appendable: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// The system's; some of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// The system's; what was appended since the last success may be lost, whatever later calls say.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file of fixed length.
///
/// An implementer promises: bytes of a successful `write_at` followed by a successful `sync` survive a power cut,
/// and take no more room than the file has. After an error nothing is promised, and the caller must not go on.
pub trait Area: Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The system's; some of the bytes may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The system's; what was written since the last success may be lost, whatever later calls say.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

impl Medium for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appendable>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Appendable>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn Area>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl Appendable for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Area for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes a private directory, with its parents, unless it is there.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
