//! A directory in memory that shows the log as it is on a disk that takes no more: links to its segments, and a
//! copy of the last one, to which an emergency's groups are added for readers.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::store::journal::recovery::list;
use crate::store::journal::segment;

/// What its name begins with; then come the process and what nobody can guess, or a stranger could take every name.
const PREFIX: &str = "hotwork-emergency-";
/// Entries of a directory in memory that are looked at for what is left over.
const SWEPT_MAX: usize = 10_000;

/// Removes what emergencies of processes that were killed have left in `scratch`, as far as it is ours.
pub fn sweep(scratch: &Path) {
    let Ok(entries) = fs::read_dir(scratch) else { return };
    let own = rustix::process::geteuid().as_raw();
    for entry in entries.take(SWEPT_MAX).filter_map(Result::ok) {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        let Some(process) = process.and_then(|(process, _)| process.parse::<u32>().ok()) else { continue };
        let lives = Path::new("/proc").join(process.to_string()).exists();
        let ours = entry.metadata().is_ok_and(|about| about.is_dir() && about.uid() == own);
        if ours
            && !lives
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "what an emergency left in memory stays");
        }
    }
}

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
        let mut random = [0; 16];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| io::Error::other("the system gives no randomness"))?;
        let (process, name) = (std::process::id(), u128::from_be_bytes(random));
        let path = scratch.join(format!("{PREFIX}{process}-{name:032x}"));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_have_stays() {
        let (scratch, log) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let living = Shadow::of(log.path(), scratch.path()).unwrap();
        let dead = scratch.path().join(format!("{PREFIX}4294967295-0"));
        fs::create_dir_all(dead.join("journal")).unwrap();
        // A link in it leads to the log, which must not be followed.
        fs::write(log.path().join("kept"), b"x").unwrap();
        symlink(log.path(), dead.join("tiles")).unwrap();
        let others = ["hotwork-emergency-x-0", "hotwork-4294967295-0", "other"];
        others.iter().for_each(|name| fs::create_dir(scratch.path().join(name)).unwrap());
        sweep(scratch.path());
        assert!(!dead.exists() && living.path().exists() && log.path().join("kept").exists());
        assert!(others.iter().all(|name| scratch.path().join(name).exists()));
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn no_name_is_one_that_a_stranger_could_have_taken() {
        let (scratch, log) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let all: Vec<Shadow> = (0..8).map(|_| Shadow::of(log.path(), scratch.path()).unwrap()).collect();
        let names = all.iter().map(|one| one.path().file_name().unwrap().to_str().unwrap().to_owned());
        let mut rests: Vec<String> = names
            .map(|name| name.rsplit_once('-').unwrap().1.to_owned())
            .filter(|rest| rest.len() == 32)
            .collect();
        rests.dedup();
        assert_eq!(rests.len(), 8, "{rests:?}");
    }
}
