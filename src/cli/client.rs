//! The way to the broker: one channel to one listener, a deadline on each call.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint as Route};
use tonic::{Code, IntoRequest, Request, Response, Status};

use super::endpoint::{Endpoint, Listener};
use super::failure::{Exit, Failure};
use super::output::Screen;
use super::text::clean;
use super::tls::{self, TlsFiles};
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::break_glass_service_client::BreakGlassServiceClient;
use crate::proto::v1::credential_service_client::CredentialServiceClient;
use crate::proto::v1::verification_service_client::VerificationServiceClient;

/// Largest answer in bytes: a page of 1,000 log entries of the longest kind.
const ANSWER_BYTES_MAX: usize = 72 * 1024 * 1024;

/// What every command works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where things are shown.
    pub screen: Screen,
    /// The agent listener, as given.
    pub endpoint: Option<String>,
    /// The admin listener, as given.
    pub admin_endpoint: Option<String>,
    /// The verifier listener, as given.
    pub verifier_endpoint: Option<String>,
    /// The caller's side of TLS, for endpoints on the network.
    pub tls: TlsFiles,
    /// How long one call may take.
    pub timeout: Duration,
}

impl Context {
    /// A client of the agent listener.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn agent(&self) -> Result<CredentialServiceClient<Channel>, Failure> {
        Ok(CredentialServiceClient::new(self.connect(Listener::Agent).await?))
    }

    /// A client of the admin listener.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn admin(&self) -> Result<AdminServiceClient<Channel>, Failure> {
        let client = AdminServiceClient::new(self.connect(Listener::Admin).await?);
        Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// A client of break-glass, on the admin listener or on the socket of its own.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn break_glass(&self) -> Result<BreakGlassServiceClient<Channel>, Failure> {
        let client = BreakGlassServiceClient::new(self.connect(Listener::Admin).await?);
        Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// A client of the log.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn audit(&self) -> Result<AuditServiceClient<Channel>, Failure> {
        let client = AuditServiceClient::new(self.connect(Listener::Admin).await?);
        Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    /// A client for verification, on the agent listener, or on one of the others when only that is known.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn verification(&self) -> Result<VerificationServiceClient<Channel>, Failure> {
        let known = |given: &Option<String>| given.as_ref().is_some_and(|text| !text.is_empty());
        // Over TCP agents' listener does not verify.
        let local = self.endpoint.as_ref().is_some_and(|text| text.starts_with("unix:"));
        let listener = match (known(&self.verifier_endpoint), known(&self.admin_endpoint)) {
            (true, _) if !local => Listener::Verifier,
            (false, true) if !known(&self.endpoint) => Listener::Admin,
            (true | false, _) => Listener::Agent,
        };
        Ok(VerificationServiceClient::new(self.connect(listener).await?))
    }

    /// A request with the deadline on it.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = message.into_request();
        request.set_timeout(self.timeout);
        request
    }

    /// Waits for an answer, and not longer than the deadline, whatever the server does.
    ///
    /// # Errors
    /// What the broker answered, or that it did not.
    pub async fn call<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            // Nobody cancels a call but the deadline that it carries, here or at the server.
            Ok(Err(status)) if status.code() == Code::Cancelled => Err(self.late()),
            Ok(Err(status)) => Err(tls::refused(&status).unwrap_or_else(|| status.into())),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Failure {
        Failure::new(Exit::Unavailable, "deadline", format!("no answer within {:?}", self.timeout))
            .hint("see `hotwork status`, or give more time with --timeout")
    }

    async fn connect(&self, listener: Listener) -> Result<Channel, Failure> {
        let given = match listener {
            Listener::Admin => self.admin_endpoint.as_deref(),
            Listener::Agent => self.endpoint.as_deref(),
            Listener::Verifier => self.verifier_endpoint.as_deref(),
        };
        let path = match listener.read(given)? {
            Endpoint::Unix(path) => path,
            Endpoint::Https(uri) => return tls::connect(&uri, &self.tls, self.timeout).await,
        };
        let connecting = tokio::time::timeout(self.timeout, UnixStream::connect(&path)).await;
        let stream = connecting.map_err(|_| self.late())?.map_err(|error| unreachable(&path, &error))?;
        channel(stream).await.map_err(|_| {
            Failure::new(Exit::Unavailable, "no-grpc", format!("`{}` does not speak gRPC", shown(&path)))
                .hint(format!("check {}: is it the socket of hotworkd?", listener.variable()))
        })
    }
}

/// The channel has this one connection: when the broker ends it, the call fails and says so.
pub(super) async fn channel(stream: UnixStream) -> Result<Channel, tonic::transport::Error> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { stream.map(TokioIo::new) }
    });
    // The authority is only a name here: the socket is the address.
    Route::from_static("http://hotwork.local").connect_with_connector(connector).await
}

fn shown(path: &Path) -> String {
    clean(&path.to_string_lossy())
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the standard library's open list of errors")]
fn unreachable(path: &Path, error: &io::Error) -> Failure {
    let path = shown(path);
    let (reason, message, hint) = match error.kind() {
        io::ErrorKind::NotFound => (
            "not-running",
            format!("there is no socket at `{path}`"),
            "start the broker (`hotworkd dev` to try it, `hotworkd serve` in production), or correct the endpoint",
        ),
        io::ErrorKind::ConnectionRefused => (
            "not-running",
            format!("nobody listens at `{path}`"),
            "the broker has stopped: see its log and start it again",
        ),
        io::ErrorKind::PermissionDenied => (
            "socket-permission",
            format!("no permission to open `{path}`"),
            "ask for membership in the group that owns the socket (`ls -l` shows it), or run as the right user",
        ),
        _ => (
            "unreachable",
            format!("cannot connect to `{path}`: {error}"),
            "see `hotwork status` and the broker's log",
        ),
    };
    Failure::new(Exit::Unavailable, reason, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_not_to_connect_says_what_to_do() {
        for (kind, reason) in [
            (io::ErrorKind::NotFound, "not-running"),
            (io::ErrorKind::ConnectionRefused, "not-running"),
            (io::ErrorKind::PermissionDenied, "socket-permission"),
            (io::ErrorKind::TimedOut, "unreachable"),
        ] {
            let failure = unreachable(Path::new("/a"), &kind.into());
            assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Unavailable, reason));
            assert!(!failure.hint.is_empty());
        }
    }
}
