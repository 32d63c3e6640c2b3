//! The Unix socket: a listener whose connections name the writer of every byte they read. Knows nothing
//! of what the bytes mean.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::{AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{UnixListener, UnixStream};

use super::peer::Peer;
use super::procfs::Host;
use super::raw;
use crate::domain::limits::ACCEPT_BACKLOG_MAX;

/// Why a socket can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A process listens there already.
    #[error("another process listens on `{0}`")]
    InUse(PathBuf),
    /// The path leads to something that is no socket; it is left alone.
    #[error("there is something else than a socket at `{0}`")]
    NotASocket(PathBuf),
    /// Processes can't be read on this host.
    #[error("can not read processes")]
    Processes(#[source] io::Error),
    /// The system refused.
    #[error("can not listen on `{path}`")]
    System {
        /// The path.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A listening Unix socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    host: Host,
    path: PathBuf,
    inode: (u64, u64),
}

impl Listener {
    /// Listens on `path` with these permission bits. A socket file that nobody listens on is removed
    /// first. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the path is taken, the system refuses, or `/proc` is not that of our pid namespace.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, BindError> {
        let host = Host::open().map_err(BindError::Processes)?;
        let refused = |source: io::Error| BindError::System { path: path.to_owned(), source };
        let address = SocketAddrUnix::new(path).map_err(|errno| refused(errno.into()))?;
        remove_stale(path, &address)?;
        let socket = listen(path, &address, mode).map_err(|errno| refused(errno.into()))?;
        let inode = inode(path).map_err(|errno| refused(errno.into()))?;
        let socket = UnixListener::from_std(StdListener::from(socket)).map_err(refused)?;
        Ok(Self { socket, host, path: path.to_owned(), inode })
    }

    /// The next connection, its peer attested as far as the kernel and `/proc` allow without waiting.
    ///
    /// # Errors
    /// What `accept` says: of this one connection, or for want of descriptors or memory. The listener
    /// lives on; a caller that loops should pause on an error.
    pub async fn accept(&self) -> io::Result<Connection> {
        let (stream, _unnamed) = self.socket.accept().await?;
        let peer = Arc::new(Peer::of(stream.as_fd(), &self.host));
        Ok(Connection { stream, peer })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody may have put another socket there; that one is not ours to remove.
        if inode(&self.path) == Ok(self.inode) {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Result<(u64, u64), Errno> {
    rustix::fs::lstat(path).map(|found| (found.st_dev, found.st_ino))
}

/// Removes the socket of a process that ended. Only a refused connection proves that nobody listens.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), BindError> {
    let refused = |errno: Errno| BindError::System { path: path.to_owned(), source: errno.into() };
    let found = match rustix::fs::lstat(path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(refused(errno)),
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    let probe = stream_socket().map_err(refused)?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => rustix::fs::unlink(path).map_err(refused),
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::ACCESS | Errno::PERM) => Err(refused(Errno::ACCESS)),
        Ok(()) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Nobody can connect before `listen`, so the credentials option and the permissions come first: the
/// accepted sockets inherit the option, and not one byte arrives without its writer's name.
fn listen(path: &Path, address: &SocketAddrUnix, mode: u32) -> Result<OwnedFd, Errno> {
    let socket = stream_socket()?;
    rustix::net::sockopt::set_socket_passcred(&socket, true)?;
    rustix::net::bind(&socket, address)?;
    rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    rustix::net::listen(&socket, ACCEPT_BACKLOG_MAX)?;
    Ok(socket)
}

/// An accepted connection. Reading it also checks who wrote.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    peer: Arc<Peer>,
}

impl Connection {
    /// The process at the other end.
    pub fn peer(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let read = || raw::receive(self.stream.as_fd(), buffer);
            // A short read is no sign of an empty queue: the next bytes may be another writer's. So
            // readiness ends with `WouldBlock` alone.
            match self.stream.try_io(Interest::READABLE, read) {
                Ok(received) => {
                    self.peer.saw(&received);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
