//! The TCP listeners: our own TLS acceptor, so that nothing of a session outlives what it was proven with.
//!
//! TLS 1.3 (1.2 by option), a certificate from every client, no resumption, no early data, HTTP/2 only. It
//! knows sockets, TLS and certificates, and no RPC.

mod accept;
mod acceptor;
mod certificate;
mod connection;
mod files;
pub mod standing;
mod trust;

pub use accept::accept;
pub use acceptor::{Acceptor, Settings};
pub use certificate::CertificateSource;
pub use connection::Connection;
pub use trust::{BundleFile, TrustSource};

use tokio::net::TcpListener;

/// A TCP listener, bound and not yet accepting.
pub struct TlsListener {
    /// The socket.
    pub socket: TcpListener,
    /// What makes TLS of its connections.
    pub acceptor: std::sync::Arc<Acceptor>,
}

impl std::fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsListener").field("socket", &self.socket).finish_non_exhaustive()
    }
}
