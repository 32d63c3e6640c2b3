//! Guards a connection before and while HTTP reads it: a place among a bounded number, a fair share for
//! each user or address, and a time by which it must have said something.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use crate::domain::limits::{PREFACE_SECONDS_MAX, SOCKET_BUFFER_BYTES};

/// What an HTTP/2 client sends before anything else: the preface of 24 bytes and a SETTINGS frame of at
/// least 9 (RFC 9113 section 3.4). After that, keepalive watches over the connection.
const PREFACE_BYTES: usize = 33;

/// Whose connections count as one host's: an IPv4 address, or an IPv6 /64, which one host can have whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// The places of one listener, and whose they are: a user's on a Unix socket, an address's on TCP.
#[derive(Clone, Debug)]
pub struct Places<K> {
    all: Arc<Semaphore>,
    share: usize,
    by_owner: Arc<Mutex<HashMap<K, usize>>>,
    open: Gauge,
}

impl<K: Clone + Eq + Hash> Places<K> {
    /// All of `count` places free, `share` of them for one owner; `open` shows how many are taken.
    pub fn new(count: usize, share: usize, open: Gauge) -> Self {
        Self { all: Arc::new(Semaphore::new(count)), share, by_owner: Arc::default(), open }
    }

    /// Waits until one is free. Callers beyond the bound wait in the kernel's queue, which is bounded too.
    pub async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// One that is free now.
    pub fn try_free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).try_acquire_owned().ok()
    }

    /// Takes the place for an owner. `None` when the owner has its share, so that one owner's connections
    /// can't keep everybody else out.
    pub fn take(&self, permit: OwnedSemaphorePermit, owner: K) -> Option<Place<K>> {
        let mut owners = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let count = owners.get(&owner).copied().unwrap_or_default();
        if count >= self.share {
            return None;
        }
        owners.insert(owner.clone(), count + 1);
        drop(owners);
        self.open.inc();
        Some(Place { owner, places: self.clone(), _permit: permit })
    }
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub struct Place<K: Clone + Eq + Hash> {
    owner: K,
    places: Places<K>,
    _permit: OwnedSemaphorePermit,
}

impl<K: Clone + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        self.places.open.dec();
        let mut owners = self.places.by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let left = owners.get(&self.owner).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            owners.remove(&self.owner);
        } else {
            owners.insert(self.owner.clone(), left);
        }
    }
}

/// A connection in its place. Reading fails when the preface is not there in time.
#[derive(Debug)]
pub struct Guarded<C, K: Clone + Eq + Hash> {
    connection: C,
    preface: Option<Preface>,
    _place: Place<K>,
}

#[derive(Debug)]
struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<C, K: Clone + Eq + Hash> Guarded<C, K> {
    /// Guards `connection`.
    pub fn new(connection: C, place: Place<K>) -> Self {
        let wait = Duration::from_secs(PREFACE_SECONDS_MAX);
        let deadline = Box::pin(tokio::time::sleep(wait));
        Self { connection, preface: Some(Preface { missing: PREFACE_BYTES, deadline }), _place: place }
    }
}

impl<C: Connected, K: Clone + Eq + Hash> Connected for Guarded<C, K> {
    type ConnectInfo = C::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}

impl<C: AsyncRead + Unpin, K: Clone + Eq + Hash + Unpin> AsyncRead for Guarded<C, K> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.connection).poll_read(context, buffer);
        let Some(preface) = &mut this.preface else { return polled };
        preface.missing = preface.missing.saturating_sub(buffer.filled().len().saturating_sub(before));
        if preface.missing == 0 {
            this.preface = None;
            return polled;
        }
        if polled.is_pending() && preface.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<C: AsyncWrite + Unpin, K: Clone + Eq + Hash + Unpin> AsyncWrite for Guarded<C, K> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

/// Settles a TCP connection that was accepted: small answers go out at once, and the kernel keeps a bounded part of what
/// its peer does not read.
pub fn settle(stream: &TcpStream) {
    // A failure to set it costs latency only.
    let _slower = stream.set_nodelay(true);
    let buffers = rustix::net::sockopt::set_socket_send_buffer_size(stream, SOCKET_BUFFER_BYTES)
        .and_then(|()| rustix::net::sockopt::set_socket_recv_buffer_size(stream, SOCKET_BUFFER_BYTES));
    if let Err(error) = buffers {
        tracing::debug!(%error, "a connection keeps the kernel's own bounds for its buffers");
    }
}

/// How long to wait after a failed accept: the kernel is out of descriptors or memory, which passes.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether a failed accept concerns only the one connection, so that the next can be tried at once.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    use crate::domain::limits::{CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX};

    type Ours = Guarded<tokio::io::DuplexStream, u32>;

    fn places(open: Gauge) -> Places<u32> {
        Places::new(CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX, open)
    }

    async fn guarded(places: &Places<u32>) -> (Ours, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let place = places.take(places.free().await.unwrap(), 7).unwrap();
        (Guarded::new(ours, place), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_closed() {
        let (mut ours, _theirs) = guarded(&places(Gauge::default())).await;
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_of_bytes_short_of_the_preface_does_not_keep_a_connection_open() {
        let (mut ours, mut theirs) = guarded(&places(Gauge::default())).await;
        theirs.write_all(&[0; PREFACE_BYTES - 1]).await.unwrap();
        ours.read_exact(&mut [0; PREFACE_BYTES - 1]).await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_preface_a_connection_may_be_quiet() {
        let (mut ours, mut theirs) = guarded(&places(Gauge::default())).await;
        theirs.write_all(&[0; PREFACE_BYTES]).await.unwrap();
        ours.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        let quiet = tokio::time::timeout(Duration::from_secs(3600), ours.read_u8()).await;
        assert!(quiet.is_err(), "still open after an hour");
    }

    #[tokio::test]
    async fn one_user_gets_its_share_and_no_more_until_a_place_is_free_again() {
        let open = Gauge::default();
        let places = places(open.clone());
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_PER_USER_MAX {
            held.push(places.take(places.free().await.unwrap(), 7).unwrap());
        }
        assert!(places.take(places.free().await.unwrap(), 7).is_none());
        assert!(places.take(places.free().await.unwrap(), 8).is_some());
        held.pop();
        assert!(places.take(places.free().await.unwrap(), 7).is_some());
        drop(held);
        assert_eq!(open.get(), 0);
        assert!(places.by_owner.lock().unwrap().is_empty(), "users that are gone are forgotten");
    }

    #[tokio::test]
    async fn the_kernel_keeps_a_bounded_part_of_what_a_peer_does_not_read() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        settle(&stream);
        let (sent, received) = (
            rustix::net::sockopt::socket_send_buffer_size(&stream).unwrap(),
            rustix::net::sockopt::socket_recv_buffer_size(&stream).unwrap(),
        );
        // The kernel doubles it (`socket(7)`).
        assert_eq!((sent, received), (2 * SOCKET_BUFFER_BYTES, 2 * SOCKET_BUFFER_BYTES));
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn a_host_is_one_address_or_the_64_bits_that_it_can_have_whole() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
