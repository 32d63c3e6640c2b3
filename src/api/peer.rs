//! What the transport proves about a caller: the only way from a request to evidence.

use std::sync::Arc;

use tonic::transport::server::Connected;
use tonic::{Request, Status};

use crate::attest::Presented;
use crate::attest::unix::{Connection, Peer};
use crate::attest::x509::{Certified, Standing};
use crate::broker::operate::Caller;
use crate::domain::enrollment::Enrolled;

use super::status::{Refused, status};

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

/// Who calls as an operator: by the user of the process, or by an enrolled certificate.
///
/// # Errors
/// When the connection shows neither.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    if let Some(peer) = unix(request) {
        return peer.credentials().map(|found| Caller::Uid(found.uid)).map_err(status);
    }
    match certified(request).map(|certified| &certified.standing) {
        Some(Standing::Enrolled(Enrolled::Operator(name), _)) => Ok(Caller::Certificate(name.clone())),
        Some(Standing::Enrolled(Enrolled::Agent(_) | Enrolled::Verifier(_), _) | Standing::Workload(_))
        | None => Err(Refused::no_peer().into()),
    }
}

/// The peer of the Unix socket, when the request came over one.
pub fn unix<T>(request: &Request<T>) -> Option<&Arc<Peer>> {
    request.extensions().get::<Arc<Peer>>()
}
