//! The process at the other end of a connection: attested at connect, watched on every read, and compared
//! with its first snapshot on every request.
//!
//! What this can't see: a process that wrote, then executed another program, all before it was accepted,
//! is taken for that program. Processes of one user can trace each other anyway, so an executable never
//! separates them; a user, a cgroup or a container does.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::cgroup::CGROUP_BYTES_MAX;
use super::procfs::{FileId, Host, Process};
use super::raw::{self, Credentials, Received};
use crate::attest::{Failure, Rejected};
use crate::domain::evidence::Evidence;
use crate::domain::limits::GROUPS_MAX;

/// The process that connected, or why it can't be anybody.
#[derive(Debug)]
pub struct Peer {
    standing: Result<Established, Failure>,
    /// Set once and for good by the first thing that is wrong.
    poison: OnceLock<Rejected>,
    evidence: OnceLock<Arc<Evidence>>,
}

/// What was established at connect.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) credentials: Credentials,
    /// The primary group, when it has a place in our user namespace.
    pub(super) gid: Option<u32>,
    /// Supplementary groups at connect, at most [`GROUPS_MAX`]; they are the socket's, as with any descriptor.
    pub(super) groups: Vec<u32>,
    pub(super) process: Arc<Process>,
    pub(super) first: Snapshot,
}

/// What of a process must not change while it is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) owner: (u32, u32),
    pub(super) executable: Option<FileId>,
    pub(super) cgroup: Box<[u8]>,
}

impl Peer {
    /// The peer of an accepted socket. A process that can't be attested is a peer too: each of its
    /// requests is refused with the reason.
    pub(super) fn of(socket: BorrowedFd<'_>, host: &Host) -> Self {
        let standing = Established::of(socket, host);
        Self { standing, poison: OnceLock::new(), evidence: OnceLock::new() }
    }

    /// Takes note of a read, before its bytes go anywhere.
    pub(super) fn saw(&self, received: &Received) {
        if received.truncated {
            self.condemn(Rejected::DescriptorsPassed);
        }
        let Ok(established) = &self.standing else { return };
        // A message names the real user, `SO_PEERCRED` the effective one: a process with two users is
        // refused here as well, for it could act for either.
        if received.bytes > 0 && received.sender != Some(established.credentials) {
            self.condemn(Rejected::OtherSender);
        }
    }

    /// Who connected, verified to be alive, unchanged and the only writer so far. A few system calls that
    /// never wait; it needs no attestor, and reads no executable.
    ///
    /// # Errors
    /// [`Failure::Rejected`] when it is not to be believed, [`Failure::Unavailable`] when it can't be read.
    pub fn verified(&self) -> Result<Credentials, Failure> {
        self.verify().map(|established| established.credentials)
    }

    /// [`Self::verified`], for callers that refuse either way: what can't be read counts as gone.
    ///
    /// # Errors
    /// When the process is not to be believed.
    pub fn credentials(&self) -> Result<Credentials, Rejected> {
        self.verified().map_err(|failure| match failure {
            Failure::Rejected(rejected) => rejected,
            Failure::Unavailable { .. } => Rejected::Gone,
        })
    }

    /// Compares the process with what it was at connect.
    pub(super) fn verify(&self) -> Result<&Established, Failure> {
        let established = self.standing.as_ref().map_err(Clone::clone)?;
        match established.verify() {
            Err(Failure::Rejected(rejected)) => self.condemn(rejected),
            Err(unavailable @ Failure::Unavailable { .. }) => return Err(unavailable),
            Ok(()) => {}
        }
        self.poison.get().map_or(Ok(established), |rejected| Err(rejected.clone().into()))
    }

    /// Evidence of an earlier request; it holds as long as [`Self::verify`] does.
    pub(super) const fn kept(&self) -> &OnceLock<Arc<Evidence>> {
        &self.evidence
    }

    fn condemn(&self, rejected: Rejected) {
        // Whoever was first said why; there is no way back either way.
        let _first = self.poison.set(rejected);
    }
}

impl Established {
    fn of(socket: BorrowedFd<'_>, host: &Host) -> Result<Self, Failure> {
        let unreadable = |error| Failure::unavailable("the peer of the socket", error);
        let credentials = raw::peer_credentials(socket).map_err(unreadable)?;
        if credentials.pid == 0 {
            return Err(Rejected::UnknownProcess.into());
        }
        if credentials.uid == host.overflow_uid() {
            return Err(Rejected::UnmappedUser.into());
        }
        let groups = raw::peer_groups(socket, GROUPS_MAX).map_err(unreadable)?.unwrap_or_default();
        let pidfd = pidfd(socket, credentials.pid)?;
        let process = match Process::open(host, credentials.pid, pidfd) {
            Ok(process) => process,
            Err(Errno::SRCH | Errno::NOENT) if !exists(credentials.pid) => return Err(Rejected::Gone.into()),
            Err(errno) => return Err(unreadable(errno.into())),
        };
        let first = settle(&process, Snapshot::take(&process))?;
        let owner = (credentials.uid, credentials.gid);
        if first.owner != owner {
            return Err(Rejected::Changed.into());
        }
        let mapped = |gid: &u32| *gid != host.overflow_gid();
        let gid = Some(credentials.gid).filter(mapped);
        let groups = groups.into_iter().filter(mapped).collect();
        Ok(Self { credentials, gid, groups, process: Arc::new(process), first })
    }

    fn verify(&self) -> Result<(), Failure> {
        let same = settle(&self.process, self.first.still_holds(&self.process))?;
        if same { Ok(()) } else { Err(Rejected::Changed.into()) }
    }
}

impl Snapshot {
    fn take(process: &Process) -> Result<Self, Failure> {
        with_cgroup(process, |cgroup| {
            let (owner, executable) = (process.owner()?, process.executable()?);
            Ok(Self { owner, executable, cgroup: cgroup.into() })
        })
    }

    /// Compares without keeping anything: this runs on every request.
    fn still_holds(&self, process: &Process) -> Result<bool, Failure> {
        with_cgroup(process, |cgroup| {
            let same = self.owner == process.owner()? && self.executable == process.executable()?;
            Ok(same && *self.cgroup == *cgroup)
        })
    }
}

fn with_cgroup<T>(process: &Process, then: impl FnOnce(&[u8]) -> Result<T, Errno>) -> Result<T, Failure> {
    let unreadable = |errno: Errno| Failure::unavailable("the process", std::io::Error::from(errno));
    let mut buffer = [0_u8; CGROUP_BYTES_MAX];
    let read = process.cgroup(&mut buffer).map_err(unreadable)?;
    match buffer.get(..read) {
        // A full buffer may hide the rest, and the rest may be what differs.
        Some(cgroup) if read < CGROUP_BYTES_MAX => then(cgroup).map_err(unreadable),
        Some(_) | None => Err(Rejected::Oversized.into()),
    }
}

/// Believes what was read only if the process lives afterwards: then it lived all the while, and nobody
/// else can have had its pid. An ended process is gone, whatever reading it gave.
fn settle<T>(process: &Process, read: Result<T, Failure>) -> Result<T, Failure> {
    match process.is_alive() {
        Ok(true) => read,
        Ok(false) => Err(Rejected::Gone.into()),
        Err(errno) => Err(Failure::unavailable("the process handle", std::io::Error::from(errno))),
    }
}

/// A handle to the process that connected. Before Linux 6.5 it is opened by number: a process that
/// connects and ends, and whose pid goes round to another of the same user before we accept, is then
/// taken for that one.
fn pidfd(socket: BorrowedFd<'_>, pid: u32) -> Result<OwnedFd, Failure> {
    let failed = |error: std::io::Error| match Errno::from_io_error(&error) {
        // An ended and reaped process: EINVAL until Linux 6.15, then ESRCH or ENODATA.
        Some(Errno::INVAL | Errno::SRCH | Errno::NODATA) => Rejected::Gone.into(),
        Some(_) | None => Failure::unavailable("the process handle", error),
    };
    match raw::peer_pidfd(socket) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Rejected::UnknownProcess)?;
            pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed(errno.into()))
        }
        other => other.map_err(failed),
    }
}

/// Whether any process has this pid. Asked only when its directory could not be opened, to tell "ended"
/// from "hidden".
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH)))
}
