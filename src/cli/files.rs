//! Files that hold secrets: written whole, mode 0600, never through somebody else's link.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::failure::{Exit, Failure};
use super::text::clean;

const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const PRIVATE_DIR: Mode = Mode::RWXU;

/// Reads a file of at most `bytes_max`; `-` is standard input.
///
/// # Errors
/// When it can't be read or is longer.
pub fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() > bytes_max {
        return Err(Failure::file(
            "read",
            path,
            &io::Error::other(format!("it is longer than {bytes_max} bytes")),
        ));
    }
    Ok(bytes)
}

/// A directory that is held open, so that its path can't be exchanged between two writes.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens `path`, or makes it with mode 0700.
    ///
    /// # Errors
    /// When that can't be done.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        match rustix::fs::mkdirat(CWD, path, PRIVATE_DIR) {
            Ok(()) | Err(Errno::EXIST) => Self::held(path, OFlags::empty()),
            Err(error) => Err(Failure::file("make the directory", path, &error.into())),
        }
    }

    fn held(path: &Path, more: OFlags) -> Result<Self, Failure> {
        let flags = more | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty());
        let fd = fd.map_err(|error| Failure::file("open the directory", path, &error.into()))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The path of the file `name`.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes sure that `name` is free, or a plain file of ours: a link, or somebody else's file, is not
    /// replaced, because whoever put it there waits for what comes.
    ///
    /// # Errors
    /// When it is something else.
    pub fn check(&self, name: &str) -> Result<(), Failure> {
        let stat = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Failure::file("look at", &self.path_of(name), &error.into())),
        };
        let ours = stat.st_uid == rustix::process::geteuid().as_raw();
        if ours && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return Ok(());
        }
        let path = clean(&self.path_of(name).to_string_lossy());
        Err(Failure::new(Exit::Failed, "not-ours", format!("`{path}` is a link or belongs to somebody else"))
            .hint("give another directory with --out"))
    }

    /// Writes `name` with mode 0600: whole under another name, then renamed, so that no reader sees a half.
    ///
    /// # Errors
    /// When it can't be written, or [`Self::check`] fails.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        self.check(name)?;
        let temporary = format!(".{name}.{}", Uuid::now_v7().simple());
        let written = self.create(&temporary, content).and_then(|()| {
            rustix::fs::renameat(&self.fd, temporary.as_str(), &self.fd, name).map_err(io::Error::from)
        });
        written.map_err(|error| {
            let _ = rustix::fs::unlinkat(&self.fd, temporary.as_str(), AtFlags::empty());
            Failure::file("write", &self.path_of(name), &error)
        })
    }

    fn create(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, PRIVATE_FILE)?;
        // The mask of the process can only take bits away from 0600; it shall not take the owner's.
        rustix::fs::fchmod(&fd, PRIVATE_FILE)?;
        fs::File::from(fd).write_all(content)
    }
}

/// A new directory of mode 0700 that is removed with all that is in it.
#[derive(Debug)]
pub struct Private {
    folder: Folder,
}

impl Private {
    /// Makes one in the first of `parents` that is an absolute path.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(parents: &[Option<PathBuf>]) -> Result<Self, Failure> {
        let parent = parents.iter().flatten().find(|path| path.is_absolute());
        let parent = parent.cloned().unwrap_or_else(|| PathBuf::from("/tmp"));
        let path = parent.join(format!("hotwork-{}", Uuid::now_v7().simple()));
        rustix::fs::mkdirat(CWD, &path, PRIVATE_DIR)
            .map_err(|error| Failure::file("make the directory", &path, &error.into()))?;
        Ok(Self { folder: Folder::held(&path, OFlags::NOFOLLOW)? })
    }

    /// The directory.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // What can't be removed ends by itself within minutes.
        let _ = fs::remove_dir_all(&self.folder.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn secrets_are_for_their_owner_alone_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let folder = Folder::open(&out).unwrap();
        folder.write("token", b"first and longer").unwrap();
        folder.write("token", b"second").unwrap();
        assert_eq!(fs::read(out.join("token")).unwrap(), b"second");
        assert_eq!((mode(&out), mode(&out.join("token"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_way_is_refused_and_its_target_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, b"theirs").unwrap();
        symlink(&target, dir.path().join("token")).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let failure = folder.write("token", b"secret").unwrap_err();
        assert_eq!(failure.reason, "not-ours");
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert!(fs::symlink_metadata(dir.path().join("token")).unwrap().is_symlink());
    }

    #[test]
    fn a_private_directory_is_gone_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let parents = [None, Some(PathBuf::from("relative")), Some(dir.path().to_owned())];
        let private = Private::new(&parents).unwrap();
        private.folder().write("token", b"x").unwrap();
        let path = private.folder().path.clone();
        assert_eq!((mode(&path), path.parent()), (0o700, Some(dir.path())));
        drop(private);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"1234").unwrap();
        assert_eq!(*read(&path, 4).unwrap(), b"1234");
        assert!(read(&path, 3).is_err());
        assert!(read(&dir.path().join("none"), 3).is_err());
    }
}
