//! A gRPC service that verifies each call before its methods see it: gRPC's own health service, so that it needs no `.proto`
//! of its own. It knows of the broker its socket only (`protected.rs` reaches one on another host):
//!
//! `cargo run --example protected_grpc -- SOCKET-OF-THE-BROKER 127.0.0.1:9000`

#![allow(missing_docs, clippy::missing_errors_doc, reason = "an example")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hotwork::clock::SystemClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::route::{Enforcement, Route, Target};
use hotwork::feed;
use hotwork::signer::extension::OidArc;
use hotwork::verify::http::Protected;
use hotwork::verify::layer::VerifyLayer;
use hotwork::verify::{Followed, Refusal, Settings, Verified, Verifier, WhenLost};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixStream};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{IntervalStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Seconds without a word after which the feed counts as lost: three of its heartbeats.
const SILENCE_SECONDS: u32 = 15;
/// How often those who watch are told.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("expected {what}"));
    let (broker, address) = (next("the broker's socket")?, next("an address to listen on")?);
    serve(local(broker.into()).await?, TcpListener::bind(address).await?).await
}

/// A connection to the broker on this host, over its Unix socket.
pub async fn local(socket: PathBuf) -> Result<Channel, Box<dyn Error>> {
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // A lost connection is made anew by the next call.
    Ok(Endpoint::from_static("http://localhost").connect_with_connector(connect).await?)
}

pub async fn serve(channel: Channel, listener: TcpListener) -> Result<(), Box<dyn Error>> {
    let oid_arc: OidArc = OidArc::EXAMPLE.parse()?;
    let trust = feed::trust(channel.clone(), oid_arc.clone()).await?;
    let state = Arc::new(Followed::new(SILENCE_SECONDS, WhenLost::AsRegistered));
    let clock = Arc::new(SystemClock::new());
    let follow = feed::follow(channel.clone(), Arc::clone(&state), Arc::clone(&clock) as _, "protected-grpc");
    let verifier = Arc::new(Verifier::new(Arc::new(trust), state, Settings::default()));
    let keys = feed::follow_trust(channel, Arc::clone(&verifier), oid_arc);
    let fleet = Fleet { verifier: Arc::clone(&verifier), clock: Arc::clone(&clock) };
    // Around the whole server: a service that is added later is protected, too.
    let layer = VerifyLayer::new(verifier, protected()?, clock).grpc();
    let server = Server::builder().layer(layer).add_service(HealthServer::new(fleet));
    tokio::select! {
        served = server.serve_with_incoming(TcpListenerStream::new(listener)) => served?,
        () = follow => {}
        () = keys => {}
    }
    Ok(())
}

/// What the registry's entry of the API says, once more.
fn protected() -> Result<Protected, Box<dyn Error>> {
    let method = |path: &str, action: &str| -> Result<Route, Box<dyn Error>> {
        let target = Target {
            action: action.parse()?,
            resource: "fleet/health".parse()?,
            parameters: Vec::new(),
            tenant: "default".parse()?,
        };
        Ok(Route::new("POST".parse()?, path.parse()?, false, target)?)
    };
    let routes = vec![
        method("/grpc.health.v1.Health/Check", "fleet.health.read")?,
        method("/grpc.health.v1.Health/Watch", "fleet.health.watch")?,
    ];
    let enforcement = Enforcement { origin: Some("https://fleet.example.org".parse()?), routes };
    let audience = "https://fleet.example.org".parse()?;
    Ok(Protected { audience, dangerous_bearer: false, enforcement: Arc::new(enforcement) })
}

struct Fleet {
    verifier: Arc<Verifier>,
    clock: Arc<SystemClock>,
}

#[tonic::async_trait]
impl Health for Fleet {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let agent = &verified(&request)?.authority().agent;
        let agent = agent.to_string().parse().map_err(|_| Status::internal("no header's value"))?;
        let mut response = Response::new(well());
        response.metadata_mut().insert("x-asked-by", agent);
        Ok(response)
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let verified = Arc::clone(verified(&request)?);
        let (verifier, clock) = (Arc::clone(&self.verifier), Arc::clone(&self.clock));
        // However long it streams, it is one call, verified at its beginning. So each message asks again, and the first that
        // may not be sent ends the stream.
        let told = IntervalStream::new(tokio::time::interval(TELL_EVERY)).map(move |_| {
            let now = clock.now().map_err(|_| refused(&Refusal::Clock))?;
            verifier.still(&verified, now).map_err(|why| refused(&why))?;
            Ok(well())
        });
        Ok(Response::new(Box::pin(told)))
    }
}

/// What the layer verified.
fn verified<T>(request: &Request<T>) -> Result<&Arc<Verified>, Status> {
    request.extensions().get().ok_or_else(|| Status::internal("not behind the layer"))
}

fn refused(why: &Refusal) -> Status {
    Status::new(Code::from(i32::from(why.grpc_status())), why.code())
}

fn well() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}
