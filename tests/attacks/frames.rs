//! HTTP/2 by hand, as no library would send it (RFC 9113 section 4).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::ATTACKER;
use crate::arena::Target;
use crate::pki;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// How long one write may be stuck before the attacker takes the connection for dead.
const STUCK: Duration = Duration::from_secs(1);

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// The header block of a gRPC call (RFC 7541, literals without indexing).
pub fn call(path: &str) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    };
    // POST and https stand in the static table.
    let mut out = vec![0x83, 0x87, 0x04];
    text(&mut out, path);
    out.push(0x01);
    text(&mut out, "localhost");
    out.extend([0x0f, 0x10]);
    text(&mut out, "application/grpc");
    out.push(0x00);
    text(&mut out, "te");
    text(&mut out, "trailers");
    out
}

/// A call whose message is empty, to its end.
pub fn whole(path: &str, stream: u32) -> Vec<u8> {
    let mut out = frame(HEADERS, END_HEADERS, stream, &call(path));
    out.extend(frame(DATA, END_STREAM, stream, &[0; 5]));
    out
}

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
