//! A client that writes frames of HTTP/2 by hand, and reads the answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::pki;
use crate::wire::{ACK, HEADERS, PING, SETTINGS, frame};

/// How long an answer may take that has nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first byte of a header block that says `:status: 200` (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Whether it begins an answer with status 200.
    pub fn is_good_answer(&self) -> bool {
        self.kind == HEADERS && self.payload.first() == Some(&STATUS_200)
    }

    /// The value of one setting (RFC 9113 section 6.5.1).
    pub fn setting(&self, id: u16) -> Option<u32> {
        let mut each = self.payload.chunks_exact(6);
        let found = each.find(|one| one[..2] == id.to_be_bytes())?;
        Some(u32::from_be_bytes(found[2..].try_into().unwrap()))
    }
}

/// A connection that the server has taken.
pub struct Raw {
    stream: TlsStream<TcpStream>,
    /// What the server allows.
    pub settings: Frame,
}

impl Raw {
    /// Preface and SETTINGS sent, and the server's SETTINGS read: with TLS 1.3 a client may be done before the server has
    /// looked at it.
    pub async fn open(to: SocketAddr, config: ClientConfig, from: IpAddr) -> io::Result<Self> {
        let mut stream = pki::connect_to(to, config, from).await?;
        let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
        stream.write_all(&preface).await?;
        let settings = read(&mut stream).await?;
        assert_eq!(settings.kind, SETTINGS, "{settings:?}");
        stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
        Ok(Self { stream, settings })
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame; pings are answered.
    pub async fn next(&mut self) -> io::Result<Frame> {
        loop {
            let next = read(&mut self.stream).await?;
            if next.kind != PING || next.flags & ACK != 0 {
                return Ok(next);
            }
            self.stream.write_all(&frame(PING, ACK, 0, &next.payload)).await?;
        }
    }

    /// The next frame of this kind. Nothing is answered.
    pub async fn next_kind(&mut self, kind: u8) -> Frame {
        let next = async {
            loop {
                let next = read(&mut self.stream).await.unwrap();
                if next.kind == kind {
                    return next;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("no such frame")
    }

    /// Whether the server has not closed, as far as this side knows by now.
    pub async fn is_open(&mut self) -> bool {
        loop {
            let next = tokio::select! {
                biased;
                next = read(&mut self.stream) => next,
                // There is nothing yet.
                () = std::future::ready(()) => return true,
            };
            if next.is_err() {
                return false;
            }
        }
    }

    /// The next frame of this stream.
    pub async fn next_of(&mut self, stream: u32) -> Frame {
        let next = async {
            loop {
                let next = self.next().await.unwrap();
                if next.stream == stream {
                    return next;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("no answer")
    }

    /// Reads until the server has closed, answering nothing; gives the kinds of the frames that came.
    pub async fn until_closed(mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let Ok(next) = read(&mut self.stream).await {
            kinds.push(next.kind);
        }
        kinds
    }
}

async fn read(stream: &mut TlsStream<TcpStream>) -> io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes(id), payload })
}
