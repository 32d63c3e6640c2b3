//! The system calls that need `unsafe`: per-message credentials and three socket options. Nothing else.
//!
//! rustix offers the first, but as a type whose pid can't be 0, and 0 is what the kernel reports for a
//! sender outside our pid namespace: reading that would be undefined behaviour.

#![allow(unsafe_code, reason = "recvmsg and getsockopt take raw pointers; each use says why it is sound")]

use std::io;
use std::mem::{MaybeUninit, offset_of, size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use tokio::io::ReadBuf;

/// A process and its user as the kernel names them, in our namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process (thread group), 0 when it can't be seen from our pid namespace.
    pub pid: u32,
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
}

impl From<libc::ucred> for Credentials {
    fn from(raw: libc::ucred) -> Self {
        // A pid is never negative; 0 is refused by every caller.
        Self { pid: u32::try_from(raw.pid).unwrap_or(0), uid: raw.uid, gid: raw.gid }
    }
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Bytes added to the buffer; 0 at the end of the stream.
    pub(super) bytes: usize,
    /// Who wrote all of them. The kernel never joins bytes of two writers into one read.
    pub(super) sender: Option<Credentials>,
    /// Whether the message carried more than credentials, such as descriptors.
    pub(super) truncated: bool,
}

/// Room for one message with credentials and not a byte more: descriptors that somebody sends find no
/// place, so that the kernel closes them (`MSG_CTRUNC`) before they enter our descriptor table.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    sender: libc::ucred,
}

const CONTROL_BYTES: usize = offset_of!(Control, sender) + size_of::<libc::ucred>();

impl Control {
    const EMPTY: Self = Self {
        header: libc::cmsghdr { cmsg_len: 0, cmsg_level: 0, cmsg_type: 0 },
        sender: libc::ucred { pid: 0, uid: 0, gid: 0 },
    };

    fn credentials(&self) -> Option<Credentials> {
        let header = &self.header;
        let credentials = header.cmsg_level == libc::SOL_SOCKET
            && header.cmsg_type == libc::SCM_CREDENTIALS
            && header.cmsg_len == CONTROL_BYTES;
        credentials.then(|| self.sender.into())
    }
}

/// Reads what is there, with the credentials of its writer. Does not block.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut ReadBuf<'_>) -> io::Result<Received> {
    let mut control = Control::EMPTY;
    // SAFETY: the bytes are only handed to the kernel, which writes and never un-initialises them.
    let target = unsafe { buffer.unfilled_mut() };
    let mut part = libc::iovec { iov_base: target.as_mut_ptr().cast(), iov_len: target.len() };
    // SAFETY: a `msghdr` is integers and pointers; all zero is valid and means "none".
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: `message` points to `part` and `control`, which live on this frame and have the stated
    // lengths, and `part` to `target`, which is exclusively ours. Any bytes make a valid `Control`.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let bytes = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel wrote `bytes` bytes at the start of the unfilled part.
    unsafe { buffer.assume_init(bytes) };
    buffer.advance(bytes);
    let truncated = message.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(Received { bytes, sender: control.credentials(), truncated })
}

/// Who connected (`SO_PEERCRED`): its process, effective user and effective group at that moment.
pub(super) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut value = [libc::ucred { pid: 0, uid: 0, gid: 0 }];
    option(socket, libc::SO_PEERCRED, &mut value)?;
    let [credentials] = value;
    Ok(credentials.into())
}

/// A handle to the process that connected (`SO_PEERPIDFD`, Linux 6.5): free of any race with pid reuse.
pub(super) fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut value = [-1_i32];
    option(socket, libc::SO_PEERPIDFD, &mut value)?;
    let [descriptor] = value;
    if descriptor < 0 {
        return Err(io::Error::other("the kernel answered no descriptor"));
    }
    // SAFETY: the kernel has just made this descriptor for us, close-on-exec, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The supplementary groups of the process that connected (`SO_PEERGROUPS`); `None` when there are more
/// than `max`.
pub(super) fn peer_groups(socket: BorrowedFd<'_>, max: usize) -> io::Result<Option<Vec<u32>>> {
    let mut groups = vec![0_u32; max];
    match option(socket, libc::SO_PEERGROUPS, &mut groups) {
        Ok(bytes) => groups.truncate(bytes / size_of::<u32>()),
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(groups))
}

/// Plain integers, for which any bytes the kernel writes are a valid value.
trait Plain: Copy {}
impl Plain for i32 {}
impl Plain for u32 {}
impl Plain for libc::ucred {}

/// Reads a socket option into `value`; answers the bytes written.
fn option<T: Plain>(socket: BorrowedFd<'_>, name: libc::c_int, value: &mut [T]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(size_of_val(value)).map_err(io::Error::other)?;
    let target = value.as_mut_ptr().cast();
    // SAFETY: `target` has room for `length` bytes and is exclusively ours; any bytes make a valid `T`.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, target, ptr::from_mut(&mut length))
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(length).map_err(io::Error::other)
}

/// The kernel's own coarse wall clock in seconds: the one that file times are taken from. It is for
/// comparison with those alone, never for a credential's life.
pub(super) fn file_time_seconds() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists since Linux 2.6.32; on failure the
    // time stays 0, for which every file counts as just changed.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    now.tv_sec
}
