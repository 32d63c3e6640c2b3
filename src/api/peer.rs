//! What the transport proves about a caller: the only way from a request to evidence.

use std::sync::Arc;

use tonic::Request;
use tonic::transport::server::Connected;

use crate::attest::Presented;
use crate::attest::unix::{Connection, Peer};
use crate::attest::x509::Certified;

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        self.peer()
    }
}

/// What the caller's connection presents. Headers and messages have no part in it.
pub fn presented<T>(request: &Request<T>) -> Presented {
    Presented { unix: unix(request).cloned(), x509: certified(request).cloned() }
}

/// The peer by its certificate, when the request came over TLS.
pub fn certified<T>(request: &Request<T>) -> Option<&Arc<Certified>> {
    request.extensions().get::<Arc<Certified>>()
}

/// The peer of the Unix socket, when the request came over one.
pub fn unix<T>(request: &Request<T>) -> Option<&Arc<Peer>> {
    request.extensions().get::<Arc<Peer>>()
}
