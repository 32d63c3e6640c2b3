//! A TLS connection with the peer that it shows, cut when that peer's certificate is no longer good.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::attest::x509::Certified;
use crate::domain::digest::Digest;

use super::super::guard::Place;

type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection after its handshake.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Arc<Certified>,
    /// `None` when it has come.
    end: Option<End>,
    /// Among the connections of one certificate.
    place: Option<Place<Digest>>,
}

impl Connection {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        peer: Arc<Certified>,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { stream, peer, end: Some(Box::pin(end)), place: None }
    }

    /// The digest of the peer's certificate.
    pub(super) fn certificate(&self) -> Digest {
        let chain = self.stream.get_ref().1.peer_certificates().unwrap_or_default();
        Digest::of(chain.first().map(AsRef::as_ref).unwrap_or_default())
    }

    /// The same, holding its place among those of its certificate.
    pub(super) fn in_place(mut self, place: Place<Digest>) -> Self {
        self.place = Some(place);
        self
    }

    /// Fails from the end on. HTTP/2 reads whenever it can, so the end is noticed when it comes; a peer
    /// that lets us neither read nor write is noticed by the keepalive.
    fn alive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready()) {
            self.end = None;
        }
        if self.end.is_some() { Ok(()) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Certified>;

    fn connect_info(&self) -> Arc<Certified> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.alive(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
