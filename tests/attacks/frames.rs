//! An attacker's connection of HTTP/2.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::ATTACKER;
use crate::arena::Target;
use crate::pki;
use crate::wire::{SETTINGS, frame};

/// How long one write may be stuck before the attacker takes the connection for dead.
const STUCK: Duration = Duration::from_secs(1);

/// A connection that speaks frames.
pub struct Raw {
    stream: TlsStream<TcpStream>,
    target: Target,
}

impl Raw {
    /// Preface and SETTINGS sent. `None` when the daemon does not let the attacker in.
    pub async fn open(target: &Target) -> Option<Self> {
        let stream = pki::connect_to(target.address, target.config.clone(), ATTACKER);
        let stream = tokio::time::timeout(Duration::from_secs(2), stream).await.ok()?.ok()?;
        let mut raw = Self { stream, target: target.clone() };
        let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
        raw.send(&preface).await.ok()?;
        Some(raw)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::time::timeout(STUCK, self.stream.write_all(bytes))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        self.target.hit();
        Ok(())
    }

    /// Reads for a while, and throws it away.
    pub async fn drain(&mut self, time: Duration) {
        let mut buffer = [0; 4096];
        let read = async { while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {} };
        let _over = tokio::time::timeout(time, read).await;
    }
}
