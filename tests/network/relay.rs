//! An address that stays while the daemon behind it changes: what a load balancer or a name is on a network.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Hands each connection on to where it points.
pub struct Relay {
    pub address: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<JoinSet<()>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub async fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to, open) = (Arc::new(Mutex::new(to)), Arc::new(Mutex::new(JoinSet::new())));
        let (target, connections) = (Arc::clone(&to), Arc::clone(&open));
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let to = *target.lock().unwrap();
                connections.lock().unwrap().spawn(async move {
                    // A daemon that is gone refuses, and then the near side is closed, too.
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, to, open, accepting }
    }

    /// Points elsewhere from the next connection on.
    pub fn point(&self, to: SocketAddr) {
        *self.to.lock().unwrap() = to;
    }

    /// Cuts what is open.
    pub fn cut(&self) {
        self.open.lock().unwrap().abort_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}
