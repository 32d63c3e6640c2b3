//! Which image a container was made from, as its runtime says: the Docker Engine API, which Docker and Podman
//! serve (`GET /containers/{id}/json`), on a Unix socket.
//!
//! The kernel tells the container; only the runtime knows its image. It is asked once for each container: an id
//! names one container for good, and a container keeps its image. The caller has no part in the question, and who
//! answers has to be root or ourselves. What a container runs now is not what it was made from when somebody with
//! the runtime's rights put something else into it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::attest::Failure;
use crate::domain::digest::Digest;
use crate::domain::limits::{
    CONTAINERS_ASKED_MAX, CONTAINERS_KNOWN_MAX, RUNTIME_ANSWER_BYTES_MAX, RUNTIME_SECONDS_MAX,
};
use crate::domain::memory::Memory;

/// What an image is named by.
const ALGORITHM: &str = "sha256:";
/// What could not be looked at.
const RUNTIME: &str = "the container runtime's answer";

/// Asks a container runtime, and remembers what it said.
#[derive(Debug)]
pub struct Images {
    socket: PathBuf,
    /// Images by container. Both are 32 bytes in hexadecimal digits.
    known: Memory<Digest, Digest>,
    permits: Semaphore,
}

/// What is read of a container's description.
#[derive(Deserialize)]
struct Inspected {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Image")]
    image: String,
}

impl Images {
    /// Asks on this socket. It need not be there yet.
    pub fn new(socket: PathBuf) -> Self {
        let permits = Semaphore::new(CONTAINERS_ASKED_MAX);
        Self { socket, known: Memory::new(CONTAINERS_KNOWN_MAX), permits }
    }

    /// The image of this container as `sha256:HEX`; `None` when it is none of this runtime's.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when the runtime can't be asked. That is not "no image": a container must not get
    /// around a lock on its image while the runtime is away.
    pub(super) async fn of(&self, container: &str) -> Result<Option<String>, Failure> {
        let id: Digest = container.parse().map_err(failed)?;
        let image = match self.known.find(&id) {
            Some(image) => Some(*image),
            None => self.look_up(id).await?,
        };
        Ok(image.map(|image| format!("{ALGORITHM}{image}")))
    }

    async fn look_up(&self, id: Digest) -> Result<Option<Digest>, Failure> {
        let asked = tokio::time::timeout(Duration::from_secs(RUNTIME_SECONDS_MAX), self.ask(id));
        let answer = asked.await.map_err(failed)?.map_err(unreadable)?;
        if let Some(image) = answer {
            self.known.put(id, Arc::new(image));
        }
        Ok(answer)
    }

    async fn ask(&self, id: Digest) -> Result<Option<Digest>, Asked> {
        let _permit = self.permits.acquire().await?;
        let stream = UnixStream::connect(&self.socket).await?;
        let server = stream.peer_cred()?.uid();
        if server != 0 && server != rustix::process::geteuid().as_raw() {
            return Err(format!("the runtime's socket is served by user {server}").into());
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The connection is driven beside the wait for the answer, and ends with it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::get(format!("/containers/{id}/json")).header(HOST, "localhost");
        let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(format!("the runtime answered {}", status.as_u16()).into()),
        }
        let body = Limited::new(answer.into_body(), RUNTIME_ANSWER_BYTES_MAX).collect().await?.to_bytes();
        image(&body, id)
            .map(Some)
            .ok_or_else(|| "the answer is not of the form of the Docker Engine API".into())
    }
}

/// What went wrong between the question and the answer.
type Asked = Box<dyn Error + Send + Sync>;

/// The image in a description of this very container.
fn image(body: &[u8], id: Digest) -> Option<Digest> {
    let Inspected { id: own, image } = serde_json::from_slice(body).ok()?;
    if own.parse() != Ok(id) {
        return None;
    }
    image.strip_prefix(ALGORITHM)?.parse().ok()
}

fn failed(error: impl Error + Send + Sync + 'static) -> Failure {
    Failure::unavailable(RUNTIME, error)
}

fn unreadable(error: Asked) -> Failure {
    Failure::unavailable(RUNTIME, io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;
    use tokio::task::JoinHandle;

    use super::*;

    const CONTAINER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const IMAGE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// Answers each request with the same, until it is stopped.
    fn runtime(socket: &Path, answer: String) -> JoinHandle<()> {
        let listener = UnixListener::bind(socket).unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await.unwrap());
                }
                let line = format!("GET /containers/{CONTAINER}/json HTTP/1.1\r\n");
                assert!(asked.starts_with(line.as_bytes()), "{}", String::from_utf8_lossy(&asked));
                let _gone = stream.write_all(answer.as_bytes()).await;
            }
        })
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn described(container: &str, image: &str) -> String {
        ok(&format!(r#"{{"Id":"{container}","Name":"/x","Image":"{image}","State":{{"Running":true}}}}"#))
    }

    /// What a runtime that answers so makes of the container.
    async fn told(answer: String) -> Result<Option<String>, ()> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("runtime.sock");
        let server = runtime(&socket, answer);
        let told = Images::new(socket).of(CONTAINER).await;
        server.abort();
        told.map_err(|failure| assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}"))
    }

    #[tokio::test]
    async fn the_runtime_names_the_image_of_this_container_and_of_no_other() {
        let image = format!("sha256:{IMAGE}");
        assert_eq!(told(described(CONTAINER, &image)).await, Ok(Some(image.clone())));
        assert_eq!(told(described(IMAGE, &image)).await, Err(()));
        let unknown = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(told(unknown.to_owned()).await, Ok(None));
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_not_taken_for_a_container_without_an_image() {
        let long = " ".repeat(RUNTIME_ANSWER_BYTES_MAX) + "{}";
        for answer in [
            described(CONTAINER, IMAGE),
            described(CONTAINER, "sha256:bb"),
            described(CONTAINER, &format!("sha256:{}", IMAGE.to_uppercase())),
            ok("{}"),
            ok("<html>"),
            ok(&long),
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "nonsense\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(told(answer.clone()).await, Err(()), "{answer:.80}");
        }
    }

    #[tokio::test]
    async fn a_container_is_asked_about_once_and_a_runtime_that_is_away_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("runtime.sock");
        let images = Images::new(socket.clone());
        assert!(matches!(images.of(CONTAINER).await, Err(Failure::Unavailable { .. })));
        let image = format!("sha256:{IMAGE}");
        let server = runtime(&socket, described(CONTAINER, &image));
        assert_eq!(images.of(CONTAINER).await.unwrap(), Some(image.clone()));
        server.abort();
        let _ended = server.await;
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(images.of(CONTAINER).await.unwrap(), Some(image));
        assert!(matches!(images.of(IMAGE).await, Err(Failure::Unavailable { .. })));
    }
}
