//! A receiver of notices: HTTP/1.1 on loopback, over TLS when asked. It answers what it is told to, and keeps
//! what it got.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One request.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// What was answered.
    pub status: u16,
}

impl Got {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Kept {
    status: AtomicU16,
    /// What it breaks on: a body with this is answered with 500.
    breaks: Mutex<Option<String>>,
    got: Mutex<Vec<Got>>,
}

/// The receiver. Its thread ends with the test's process.
pub struct Receiver {
    pub port: u16,
    kept: Arc<Kept>,
}

impl Receiver {
    /// One that answers `status`.
    pub fn start(status: u16) -> Self {
        Self::with(status, None)
    }

    /// One that speaks TLS with a certificate of its own for 127.0.0.1, written to `pem`.
    pub fn tls(status: u16, pem: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(pem, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::with(status, Some(Arc::new(config)))
    }

    fn with(status: u16, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Kept::default());
        kept.status.store(status, Ordering::SeqCst);
        let receiver = Self { port, kept: Arc::clone(&kept) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let _served = match &tls {
                    None => serve(stream, &kept),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(StreamOwned::new(connection, stream), &kept)
                    }
                };
            }
        });
        receiver
    }

    pub fn answer(&self, status: u16) {
        self.kept.status.store(status, Ordering::SeqCst);
    }

    /// Breaks on everything that has this in it, or on nothing.
    pub fn breaks_on(&self, what: Option<&str>) {
        *self.kept.breaks.lock().unwrap() = what.map(str::to_owned);
    }

    pub fn got(&self) -> Vec<Got> {
        self.kept.got.lock().unwrap().clone()
    }

    /// What was taken of this kind.
    pub fn taken(&self, kind: &str) -> Vec<serde_json::Value> {
        let taken = self.got().into_iter().filter(|got| got.status == 200).map(|got| got.json());
        taken.filter(|json| json["kind"] == kind).collect()
    }
}

fn serve(mut stream: impl Read + Write, kept: &Kept) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let head = loop {
        if let Some(at) = end(&bytes) {
            break at;
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..read]);
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let headers: HashMap<_, _> = pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + 4 + length {
        let read = stream.read(&mut buffer)?;
        assert!(read > 0, "the body is cut");
        bytes.extend_from_slice(&buffer[..read]);
    }
    let body = bytes[head + 4..].to_vec();
    let breaks = kept.breaks.lock().unwrap().clone();
    let broken = breaks.is_some_and(|what| String::from_utf8_lossy(&body).contains(&what));
    let status = if broken { 500 } else { kept.status.load(Ordering::SeqCst) };
    kept.got.lock().unwrap().push(Got { path, headers, body, status });
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
    stream.flush()
}
