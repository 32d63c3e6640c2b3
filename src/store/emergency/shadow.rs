//! A directory in memory that shows the log as it is on a disk that takes no more: links to its segments, and a
//! copy of the last one, to which an emergency's groups are added for readers.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::store::journal::recovery::list;
use crate::store::journal::segment;

/// Names that are tried for the directory. A stranger may have taken some.
const TRIES: u32 = 64;

/// The directory. It goes when this does.
#[derive(Debug)]
pub(in crate::store) struct Shadow(PathBuf);

impl Shadow {
    /// Makes one below `scratch` of the log below `root`, for the owner only.
    pub(in crate::store) fn of(root: &Path, scratch: &Path) -> io::Result<Self> {
        let shadow = Self::new(scratch)?;
        let (from, to) = (root.canonicalize()?.join("journal"), shadow.0.join("journal"));
        fs::DirBuilder::new().mode(0o700).create(&to)?;
        // Before the first start there may be none.
        let names = match list(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        let last = names.last().copied();
        for first in names {
            let name = segment::name(first);
            if Some(first) == last {
                copy(&from.join(&name), &to.join(&name))?;
            } else {
                symlink(from.join(&name), to.join(&name))?;
            }
        }
        let tiles = root.canonicalize()?.join("tiles");
        if tiles.is_dir() {
            symlink(tiles, shadow.0.join("tiles"))?;
        }
        Ok(shadow)
    }

    fn new(scratch: &Path) -> io::Result<Self> {
        let process = std::process::id();
        for number in 0..TRIES {
            let path = scratch.join(format!("hotwork-emergency-{process}-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Where it is.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a directory in memory stays behind");
        }
    }
}

/// Copies a segment as the disk has it: what the page cache alone shows, after a failed sync, is not there.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = fs::File::open(from)?;
    // It fails on the disk that this is about; what was written back before is dropped below and read anew.
    let _ = source.sync_data();
    rustix::fs::fadvise(&source, 0, None, rustix::fs::Advice::DontNeed)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target).map(drop)
}
