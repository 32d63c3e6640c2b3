//! A process through `/proc`, by handles that can't come to mean another process. Knows nothing of sockets.
//!
//! Reads `exe`, `cgroup` and the directory's owner; never cmdline, environ, comm or mountinfo, which the
//! process writes itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

/// What is read of the host once, when a listener starts.
#[derive(Debug)]
pub(super) struct Host {
    proc: OwnedFd,
    overflow_uid: u32,
    overflow_gid: u32,
}

impl Host {
    /// Opens `/proc` and makes sure that it is procfs, and that of our own pid namespace: pids read
    /// elsewhere would name other processes.
    pub(super) fn open() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
        if rustix::fs::fstatfs(&proc)?.f_type != rustix::fs::PROC_SUPER_MAGIC {
            return Err(io::Error::other("`/proc` is not procfs"));
        }
        let own = rustix::fs::readlinkat(&proc, "self", Vec::new())?;
        if own.to_bytes() != std::process::id().to_string().as_bytes() {
            return Err(io::Error::other("`/proc` is that of another pid namespace"));
        }
        Ok(Self {
            proc,
            overflow_uid: number("/proc/sys/kernel/overflowuid")?,
            overflow_gid: number("/proc/sys/kernel/overflowgid")?,
        })
    }

    /// The uid that stands for every user without a place in our user namespace.
    pub(super) const fn overflow_uid(&self) -> u32 {
        self.overflow_uid
    }

    /// The gid that stands for every group without a place in our user namespace.
    pub(super) const fn overflow_gid(&self) -> u32 {
        self.overflow_gid
    }
}

/// One number in a file. Where the kernel has no such file, its built-in default holds.
fn number(path: &str) -> io::Result<u32> {
    const DEFAULT: u32 = 65_534;
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DEFAULT),
        Err(error) => Err(error),
    }
}

/// Which file, and in which state: a write, a rename over it or a link to it all move `ctime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: (u32, u32),
    inode: u64,
    changed: (i64, u32),
    size: u64,
}

impl FileId {
    /// Size in bytes.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The last change of the file, in seconds since the Unix epoch by the kernel's clock.
    pub(super) const fn changed_seconds(&self) -> i64 {
        self.changed.0
    }

    /// Of the file at `path` below `directory`. Asks no remote or user-space file system to look: the
    /// caller may be an async thread, and such a file system may never answer.
    fn at(directory: impl AsFd, path: &[u8], follow: AtFlags) -> Result<Self, Errno> {
        let flags = AtFlags::STATX_DONT_SYNC | follow;
        let wanted = StatxFlags::INO | StatxFlags::CTIME | StatxFlags::SIZE;
        let found = rustix::fs::statx(directory, path, flags, wanted)?;
        Ok(Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
            size: found.stx_size,
        })
    }

    /// Some file with this inode, for tests.
    #[cfg(test)]
    pub(super) const fn of_inode(inode: u64) -> Self {
        Self { device: (0, 0), inode, changed: (0, 0), size: 0 }
    }

    /// Of an open file.
    pub(super) fn of(file: impl AsFd) -> Result<Self, Errno> {
        Self::at(file, b"", AtFlags::EMPTY_PATH)
    }

    /// Of the file that we ourselves see at `path`; a symbolic link there is not followed.
    pub(super) fn of_path(path: &std::path::Path) -> Result<Self, Errno> {
        use std::os::unix::ffi::OsStrExt as _;
        Self::at(CWD, path.as_os_str().as_bytes(), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Handles to one process. They stay with it: once it is gone they read nothing, whoever has its pid.
#[derive(Debug)]
pub(super) struct Process {
    pidfd: OwnedFd,
    directory: OwnedFd,
    cgroup: OwnedFd,
}

impl Process {
    /// The process `pid` that `pidfd` is a handle to. The caller checks [`Self::is_alive`] afterwards:
    /// being alive then, it had the pid all the while, so the directory opened by number is its own.
    pub(super) fn open(host: &Host, pid: u32, pidfd: OwnedFd) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = rustix::fs::openat(&host.proc, pid.to_string(), flags, Mode::empty())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let cgroup = rustix::fs::openat(&directory, "cgroup", flags, Mode::empty())?;
        Ok(Self { pidfd, directory, cgroup })
    }

    /// Whether it has not ended. A zombie has.
    pub(super) fn is_alive(&self) -> Result<bool, Errno> {
        is_alive(&self.pidfd)
    }

    /// Its effective user and group now: the owner of its directory.
    pub(super) fn owner(&self) -> Result<(u32, u32), Errno> {
        let found = rustix::fs::fstat(&self.directory)?;
        Ok((found.st_uid, found.st_gid))
    }

    /// The file it executes now; `None` when we may not look, as without `CAP_SYS_PTRACE` at a process of
    /// another user.
    pub(super) fn executable(&self) -> Result<Option<FileId>, Errno> {
        match FileId::at(&self.directory, b"exe", AtFlags::empty()) {
            Ok(id) => Ok(Some(id)),
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens the file it executes. `None` when we may not read it.
    pub(super) fn open_executable(&self) -> Result<Option<OwnedFd>, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.directory, "exe", flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The path that the kernel says the file it executes has. It is relative to whatever the process
    /// mounted, so it is a claim until compared.
    pub(super) fn executable_path(&self) -> Result<PathBuf, Errno> {
        use std::os::unix::ffi::OsStringExt as _;
        let path = rustix::fs::readlinkat(&self.directory, "exe", Vec::new())?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes())))
    }

    /// Reads its cgroup file into `buffer`; the bytes read. The kernel gives all of it in one read.
    pub(super) fn cgroup(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::pread(&self.cgroup, buffer, 0)
    }
}

/// Whether the process of a pidfd has not ended.
fn is_alive(pidfd: &OwnedFd) -> Result<bool, Errno> {
    let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ended, Some(&now)).map(|events| events == 0)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn open(pid: u32) -> Process {
        let number = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let pidfd = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()).unwrap();
        Process::open(&Host::open().unwrap(), pid, pidfd).unwrap()
    }

    #[test]
    fn our_own_process_reads_as_what_we_know_of_it() {
        let own = open(std::process::id());
        assert!(own.is_alive().unwrap());
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!(own.owner().unwrap(), ids);
        let path = std::env::current_exe().unwrap();
        assert_eq!(own.executable_path().unwrap(), path);
        assert_eq!(own.executable().unwrap().unwrap(), FileId::of_path(&path).unwrap());
        assert_eq!(
            own.executable().unwrap().unwrap(),
            FileId::of(own.open_executable().unwrap().unwrap()).unwrap()
        );
    }

    #[test]
    fn the_handles_of_an_ended_process_read_nothing() {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = open(child.id());
        assert!(process.is_alive().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.is_alive().unwrap());
        assert!(process.cgroup(&mut [0; 64]).is_err());
        assert!(!matches!(process.executable(), Ok(Some(_))));
        assert!(!matches!(process.open_executable(), Ok(Some(_))));
    }
}
