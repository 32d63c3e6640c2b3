//! Secrets of notifiers: in files that only their owner reads, never in the configuration, never in memory for
//! longer than one delivery.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::domain::limits::SECRET_FILE_BYTES_MAX;

/// A file with one line that is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

/// Why a secret can't be had. It tells of the file, never of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    /// It is not one line of printable ASCII.
    #[error("expected one line of printable ASCII in the secret's file `{0}`")]
    Form(PathBuf),
    /// It can't be read.
    #[error("the secret's file `{0}` can't be read")]
    Io(PathBuf, #[source] io::Error),
    /// Others can read it, or own it.
    #[error("the secret's file `{0}` must be a file of the daemon's user or root with mode 0600 or less")]
    Open(PathBuf),
    /// It is shorter than what it protects asks for.
    #[error("the secret in `{0}` is too short, expected at least {1} bytes")]
    Short(PathBuf, usize),
}

impl SecretFile {
    /// The file at `path`; it is read when it is needed.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads the secret, `bytes_min` bytes at least.
    ///
    /// # Errors
    /// [`BadSecret`].
    pub fn read(&self, bytes_min: usize) -> Result<Zeroizing<String>, BadSecret> {
        let failed = |error| BadSecret::Io(self.0.clone(), error);
        let file = File::open(&self.0).map_err(failed)?;
        // Of the opened file: what was looked at is what is read.
        let about = file.metadata().map_err(failed)?;
        let own = [0, rustix::process::geteuid().as_raw()].contains(&about.uid());
        if !about.is_file() || about.mode() & 0o077 != 0 || !own {
            return Err(BadSecret::Open(self.0.clone()));
        }
        let mut text = Zeroizing::new(String::with_capacity(1024));
        file.take(SECRET_FILE_BYTES_MAX.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let printable = line.bytes().all(|byte| byte.is_ascii_graphic());
        let long = u64::try_from(text.len()).unwrap_or(u64::MAX) > SECRET_FILE_BYTES_MAX;
        if line.is_empty() || !printable || long {
            return Err(BadSecret::Form(self.0.clone()));
        }
        if line.len() < bytes_min {
            return Err(BadSecret::Short(self.0.clone(), bytes_min));
        }
        Ok(Zeroizing::new(line.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, SecretFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, SecretFile::new(path))
    }

    #[test]
    fn a_secret_is_one_line_in_a_file_that_nobody_else_reads() {
        let (_dir, good) = file("correct-horse-battery\n", 0o600);
        assert_eq!(good.read(16).unwrap().as_str(), "correct-horse-battery");
        assert!(matches!(good.read(22), Err(BadSecret::Short(_, 22))));
        for mode in [0o640, 0o604, 0o620, 0o644] {
            let (_dir, open) = file("correct-horse-battery\n", mode);
            assert!(matches!(open.read(1), Err(BadSecret::Open(_))), "{mode:o}");
        }
        for bad in ["", "\n", "two\nlines\n", "with space\n", "tab\t", &"x".repeat(4097)] {
            let (_dir, bad) = file(bad, 0o400);
            assert!(matches!(bad.read(1), Err(BadSecret::Form(_))));
        }
        let (dir, _) = file("x", 0o600);
        assert!(matches!(SecretFile::new(dir.path().join("none")).read(1), Err(BadSecret::Io(..))));
        assert!(SecretFile::new(dir.path().to_owned()).read(1).is_err());
    }

    #[test]
    fn an_error_does_not_show_the_secret() {
        let (_dir, bad) = file("hunter2 hunter2\n", 0o600);
        let error = bad.read(1).unwrap_err();
        assert!(!format!("{error} {error:?} {bad:?}").contains("hunter2"));
    }
}
