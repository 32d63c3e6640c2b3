//! The accept loop of a TCP listener: bounded handshakes, bounded connections, shares for each address. It
//! ends with the drain and with nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use crate::domain::digest::Digest;
use crate::domain::limits::{
    HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX, TLS_CONNECTIONS_MAX, TLS_CONNECTIONS_PER_ADDRESS_MAX,
    TLS_CONNECTIONS_PER_CERTIFICATE_MAX,
};

use super::super::drain::Drain;
use super::super::guard::{ACCEPT_PAUSE, Guarded, Network, Place, Places, is_of_one_connection};
use super::super::metrics::RefusedConnections;
use super::acceptor::Acceptor;
use super::connection::Connection;

/// A connection on its way to HTTP.
pub type Accepted = io::Result<Guarded<Connection, Network>>;

struct Room {
    handshakes: Places<Network>,
    connections: Places<Network>,
    certificates: Places<Digest>,
}

/// Accepts connections until the drain. Out of descriptors or of memory, it waits and tries again.
pub async fn accept(
    name: &'static str,
    listener: TcpListener,
    acceptor: Arc<Acceptor>,
    open: Gauge,
    refused: RefusedConnections,
    accepted: mpsc::Sender<Accepted>,
    drain: &Drain,
) {
    let room = Room {
        handshakes: Places::new(HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX, Gauge::default()),
        connections: Places::new(TLS_CONNECTIONS_MAX, TLS_CONNECTIONS_PER_ADDRESS_MAX, open),
        certificates: Places::new(TLS_CONNECTIONS_MAX, TLS_CONNECTIONS_PER_CERTIFICATE_MAX, Gauge::default()),
    };
    // Dropped with the loop, and then the handshakes end too.
    let mut handshakes = JoinSet::new();
    loop {
        let next = async {
            let permits = (room.handshakes.free().await, room.connections.free().await);
            (permits, listener.accept().await)
        };
        let (permits, connection) = tokio::select! {
            () = drain.begun() => return,
            next = next => next,
        };
        while handshakes.try_join_next().is_some() {}
        match (permits, connection) {
            ((Some(handshake), Some(place)), Ok((stream, address))) => {
                let Some(places) = room.take(handshake, place, address) else {
                    refused.count("address-share");
                    tracing::debug!(listener = name, %address, "an address has its share of connections");
                    continue;
                };
                let (acceptor, accepted) = (Arc::clone(&acceptor), accepted.clone());
                let certificates = room.certificates.clone();
                let beginning =
                    Beginning { name, address, stream, places, certificates, refused: refused.clone() };
                handshakes.spawn(beginning.handshake(acceptor, accepted));
            }
            ((None, _) | (_, None), _) => return,
            (_, Err(error)) if is_of_one_connection(&error) => {}
            (_, Err(error)) => {
                tracing::error!(listener = name, %error, "can't accept connections, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Room {
    /// A place for the handshake and one for the connection, unless the address has its share.
    fn take(
        &self,
        handshake: OwnedSemaphorePermit,
        connection: OwnedSemaphorePermit,
        address: SocketAddr,
    ) -> Option<(Place<Network>, Place<Network>)> {
        let network = Network::of(address.ip());
        Some((self.handshakes.take(handshake, network)?, self.connections.take(connection, network)?))
    }
}

/// A connection before its handshake.
struct Beginning {
    name: &'static str,
    address: SocketAddr,
    stream: TcpStream,
    places: (Place<Network>, Place<Network>),
    certificates: Places<Digest>,
    refused: RefusedConnections,
}

impl Beginning {
    async fn handshake(self, acceptor: Arc<Acceptor>, accepted: mpsc::Sender<Accepted>) {
        let Self { name, address, stream, places: (handshake, place), certificates, refused } = self;
        match acceptor.handshake(stream).await {
            Ok(connection) => {
                drop(handshake);
                // There are as many places as connections, so one is free.
                let Some(permit) = certificates.free().await else { return };
                let Some(share) = certificates.take(permit, connection.certificate()) else {
                    refused.count("certificate-share");
                    tracing::debug!(listener = name, "a certificate has its share of connections");
                    return;
                };
                let connection = connection.in_place(share);
                // An error means that the server has ended, and so does the connection then.
                let _ended = accepted.send(Ok(Guarded::new(connection, place))).await;
            }
            // Anybody can cause it, so it is counted, and no more than a detail of the log: but for certificates, which
            // somebody has made.
            Err(error) => {
                if error.is_of_a_certificate() {
                    refused.count_certificate(error.reason(), address);
                } else {
                    refused.count(error.reason());
                }
                tracing::debug!(listener = name, %error, "no connection");
            }
        }
    }
}
