//! A service that verifies each request itself. It knows of the broker its address only; keys and revocations
//! come from there:
//!
//! `cargo run --example protected -- SOCKET-OF-THE-BROKER 127.0.0.1:9000 https://git.example.org`
//!
//! or, from another host, with the broker's trust domain and what `hotwork verifier enroll --out FOLDER` wrote:
//!
//! `cargo run --example protected -- https://BROKER:8443 127.0.0.1:9000 https://git.example.org example.org FOLDER`

#![allow(missing_docs, clippy::missing_errors_doc, reason = "an example")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use hotwork::clock::SystemClock;
use hotwork::domain::name::Audience;
use hotwork::domain::route::{Enforcement, Route, Target};
use hotwork::feed;
use hotwork::feed::connect::Remote;
use hotwork::signer::extension::OidArc;
use hotwork::verify::http::Protected;
use hotwork::verify::layer::VerifyLayer;
use hotwork::verify::{Followed, Settings, Verified, Verifier, WhenLost};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixStream};
use tonic::transport::{Channel, Endpoint};

/// Seconds without a word after which the feed counts as lost: three of its heartbeats.
const SILENCE_SECONDS: u32 = 15;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("expected {what}"));
    let (broker, address, audience) =
        (next("the broker's endpoint")?, next("an address to listen on")?, next("the API's audience")?);
    let channel = if broker.starts_with("https://") {
        let (trust_domain, folder) = (next("the broker's trust domain")?, next("the folder of `enroll`")?);
        remote(broker, &trust_domain, folder.as_ref()).await?
    } else {
        local(broker.into()).await?
    };
    let listener = TcpListener::bind(address).await?;
    serve(channel, listener, audience.parse()?).await
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

/// A connection to the broker on another host, with the certificate of an enrolled verifier.
pub async fn remote(endpoint: String, trust_domain: &str, folder: &Path) -> Result<Channel, Box<dyn Error>> {
    let (cert, key, roots) = (folder.join("cert.pem"), folder.join("key.pem"), folder.join("ca.pem"));
    // A lost connection is made anew by the next call, with what the files hold then.
    Ok(Remote { endpoint, trust_domain: trust_domain.parse()?, cert, key, roots }.channel().await?)
}

pub async fn serve(
    channel: Channel,
    listener: TcpListener,
    audience: Audience,
) -> Result<(), Box<dyn Error>> {
    // Whom to trust, and a state that follows the broker's revocations. What silence means says the API's registry entry.
    let oid_arc: OidArc = OidArc::EXAMPLE.parse()?;
    let trust = feed::trust(channel.clone(), oid_arc.clone()).await?;
    let state = Arc::new(Followed::new(SILENCE_SECONDS, WhenLost::AsRegistered));
    let clock = Arc::new(SystemClock::new());
    let follow = feed::follow(channel.clone(), Arc::clone(&state), Arc::clone(&clock) as _, "protected");
    let verifier = Arc::new(Verifier::new(Arc::new(trust), state, Settings::default()));
    // Keys rotate.
    let keys = feed::follow_trust(channel, Arc::clone(&verifier), oid_arc);
    // Which requests are which action.
    let layer = VerifyLayer::new(verifier, protected(audience)?, clock);
    let router = Router::new().route("/repos/{owner}/{name}/contents", get(contents)).layer(layer);
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served?,
        () = follow => {}
        () = keys => {}
    }
    Ok(())
}

async fn contents(Extension(verified): Extension<Arc<Verified>>) -> String {
    let authority = verified.authority();
    format!("{} reads {}\n", authority.agent, authority.resource)
}

/// What the registry's entry of the API says, once more.
fn protected(audience: Audience) -> Result<Protected, Box<dyn Error>> {
    let target = Target {
        action: "repo.file.read".parse()?,
        resource: "repo/{owner}/{name}".parse()?,
        parameters: Vec::new(),
        tenant: "default".parse()?,
    };
    let path = "/repos/{owner}/{name}/contents".parse()?;
    let read = Route::new("GET".parse()?, path, false, target)?;
    let origin = audience.as_str().parse()?;
    let enforcement = Enforcement { origin: Some(origin), routes: vec![read] };
    Ok(Protected { audience, dangerous_bearer: false, enforcement: Arc::new(enforcement) })
}
