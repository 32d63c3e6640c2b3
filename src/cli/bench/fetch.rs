//! Somebody who fetches once a second what the broker publishes, as resources do that follow no feed.
//!
//! It knows plain HTTP to the broker's own listener, and nothing of what the documents say.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tonic::Status;

/// Largest document that is read, in bytes: the CRLs of a million.
const DOCUMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fetched {
    /// Documents fetched.
    pub count: usize,
    /// Bytes of the largest.
    pub bytes_max: usize,
    /// From the call to the last byte, of the slowest.
    pub slowest: Duration,
}

/// A reader at work.
#[derive(Debug)]
pub struct Reader {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Fetched, Status>>,
}

impl Reader {
    /// Fetches all of `paths` from `address` (`HOST:PORT`) at once and each second from now on. Gives what the first time was
    /// like, too: the broker makes then what it has not been asked for yet.
    ///
    /// # Errors
    /// The first document that could not be had.
    pub async fn start(address: String, paths: Vec<String>) -> Result<(Self, Fetched), Status> {
        let mut first = Fetched::default();
        first.fetch(&address, &paths).await?;
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut fetched = Fetched::default();
            loop {
                tokio::select! {
                    biased;
                    _ = &mut stopped => return Ok(fetched),
                    _ = ticks.tick() => {}
                }
                fetched.fetch(&address, &paths).await?;
            }
        });
        Ok((Self { stop, task }, first))
    }

    /// Ends it.
    ///
    /// # Errors
    /// The first document that could not be had.
    pub async fn stop(self) -> Result<Fetched, Status> {
        // It may have failed already.
        let _failed = self.stop.send(());
        self.task.await.map_err(|_| Status::internal("a reader has failed"))?
    }
}

impl Fetched {
    async fn fetch(&mut self, address: &str, paths: &[String]) -> Result<(), Status> {
        for path in paths {
            let begun = Instant::now();
            let bytes = get(address, path).await?;
            self.count += 1;
            self.bytes_max = self.bytes_max.max(bytes);
            self.slowest = self.slowest.max(begun.elapsed());
        }
        Ok(())
    }
}

/// The bytes of one answer, with its header.
async fn get(address: &str, path: &str) -> Result<usize, Status> {
    let failed = |error: std::io::Error| Status::unavailable(format!("`http://{address}{path}`: {error}"));
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(DOCUMENT_BYTES_MAX).read_to_end(&mut answer).await.map_err(failed)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(answer.len())
    } else {
        Err(Status::unavailable(format!("`http://{address}{path}` is not served")))
    }
}
