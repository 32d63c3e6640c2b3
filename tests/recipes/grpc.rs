//! The service of `docs/recipes/tonic.md` and `examples/protected_grpc.rs`, following a real broker, called by tonic's client.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Runtime;
use tonic::codegen::http;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::ServiceExt as _;

use crate::agent::Token;
use crate::prompt::NEW_KEY;
use crate::recipe::{block, block_below};
use crate::scene::{LIFE, Scene, playbook};
use crate::support::text;

#[path = "../../examples/protected_grpc.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod protected_grpc;

const ORIGIN: &str = "https://fleet.example.org";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

#[test]
fn the_page_shows_what_the_example_does() {
    let example = include_str!("../../examples/protected_grpc.rs");
    for heading in ["", "## Which calls are which action", "## A stream is one call"] {
        let shown = block_below("tonic.md", heading, "rust");
        assert!(example.contains(&shown), "docs/recipes/tonic.md shows something else: {shown}");
    }
}

/// What a call came to: the agent that the method saw, or the status.
type Outcome = Result<String, Status>;

/// The service of the example, behind a broker with the page's registry entry.
struct Fleet {
    scene: Scene,
    port: u16,
    runtime: Runtime,
}

impl Fleet {
    fn start() -> Self {
        let scene = Scene::start();
        std::fs::write(scene.path("config/apis/fleet.toml"), block("tonic.md", "toml")).unwrap();
        let policy = "@id(\"coder-looks-after-the-fleet\")\npermit (principal in Group::\"coders\", action in \
             [Action::\"fleet.health.read\", Action::\"fleet.health.watch\"], resource == Resource::\"fleet/health\");\n";
        std::fs::write(scene.path("config/policies/fleet.cedar"), policy).unwrap();
        for (name, action) in [("check", "fleet.health.read"), ("watch", "fleet.health.watch")] {
            let text = playbook(name, action, "fleet/health");
            std::fs::write(scene.path(&format!("config/playbooks/{name}.toml")), text).unwrap();
        }
        let loaded = scene.daemon.hotwork(&["reload"]);
        assert!(loaded.status.success(), "{}", text(&loaded));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = scene.daemon.env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap();
        let socket = PathBuf::from(socket);
        runtime.spawn(async move {
            let channel = protected_grpc::local(socket).await.unwrap();
            protected_grpc::serve(channel, listener).await.unwrap();
        });
        let fleet = Self { scene, port, runtime };
        fleet.begun();
        fleet
    }

    /// Waits for the first snapshot. Before it nothing is known, nothing passes, and it is not the caller's fault.
    fn begun(&self) {
        let token = self.token("fleet.health.read");
        let channel = self.connect();
        let outcome = until(
            |outcome| outcome.is_ok(),
            || {
                let outcome = self.check(&channel, &token);
                if let Err(status) = &outcome {
                    assert_eq!(refusal(status), (Code::Unavailable, "status-unknown"));
                }
                outcome
            },
        );
        assert_eq!(outcome.unwrap(), "spiffe://example.org/tenant/default/agent/coder");
    }

    fn token(&self, action: &str) -> Token {
        self.token_with(action, &[])
    }

    /// The same with more words in the command.
    fn token_with(&self, action: &str, more: &[&str]) -> Token {
        self.scene.agent.token_with(&self.scene.daemon, action, "fleet/health", more)
    }

    /// A new connection.
    fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.port)).unwrap();
        self.runtime.block_on(endpoint.connect()).unwrap()
    }

    /// A token, and a fresh proof for this path.
    fn shown(&self, token: &Token, path: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", format!("DPoP {}", token.text).parse().unwrap());
        let proof = self.scene.agent.proof_for(token, "POST", &format!("{ORIGIN}{path}"));
        metadata.insert("dpop", proof.parse().unwrap());
        metadata
    }

    /// A call of any method, as generated clients make it.
    fn call(&self, channel: &Channel, path: &str, metadata: &MetadataMap) -> Outcome {
        let mut request = Request::new(HealthCheckRequest::default());
        *request.metadata_mut() = metadata.clone();
        let path: PathAndQuery = path.parse().unwrap();
        let answered = self.runtime.block_on(async {
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
            client.unary(request, path, codec).await
        })?;
        assert_eq!(answered.get_ref().status(), ServingStatus::Serving);
        Ok(said(answered.metadata(), "x-asked-by"))
    }

    fn check(&self, channel: &Channel, token: &Token) -> Outcome {
        self.call(channel, CHECK, &self.shown(token, CHECK))
    }

    /// The first message of a stream, which goes on.
    fn watch(&self, channel: &Channel, token: &Token) -> Stream {
        let mut request = Request::new(HealthCheckRequest::default());
        *request.metadata_mut() = self.shown(token, WATCH);
        let mut client = HealthClient::new(channel.clone());
        let mut stream = self.runtime.block_on(client.watch(request)).unwrap().into_inner();
        self.told(&mut stream).unwrap();
        stream
    }

    /// Waits for the next message.
    fn told(&self, stream: &mut Stream) -> Result<(), Status> {
        let next = async { tokio::time::timeout(Duration::from_secs(10), stream.message()).await };
        let message = self.runtime.block_on(next).expect("a message or the end")?;
        assert_eq!(message.expect("it says why it ends").status(), ServingStatus::Serving);
        Ok(())
    }

    /// Reads until the stream says that its credential has ended, for 10 s at most.
    fn ends(&self, stream: &mut Stream) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let ended = loop {
            match self.told(stream) {
                Ok(()) => assert!(Instant::now() < deadline, "told for 10 s after the end"),
                Err(status) => break status,
            }
        };
        assert_eq!((ended.code(), ended.message()), (Code::Unauthenticated, "credential-ended"));
    }

    /// A request without a credential, as it is on the wire.
    fn raw(&self, channel: &Channel, media_type: &str) -> http::Response<tonic::body::Body> {
        let request = http::Request::builder().method("POST").uri(CHECK).header("content-type", media_type);
        let request = request.body(tonic::body::Body::empty()).unwrap();
        self.runtime.block_on(async { channel.clone().oneshot(request).await.unwrap() })
    }
}

type Stream = tonic::Streaming<HealthCheckResponse>;

/// Asks until it holds of the outcome, or 10 s are over.
fn until(holds: impl Fn(&Outcome) -> bool, mut ask: impl FnMut() -> Outcome) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let outcome = ask();
        if holds(&outcome) || Instant::now() > deadline {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The text of an entry.
#[track_caller]
fn said(metadata: &MetadataMap, name: &str) -> String {
    metadata.get(name).expect(name).to_str().unwrap().to_owned()
}

/// The code, and why, which message and metadata say alike.
#[track_caller]
fn refusal(status: &Status) -> (Code, &str) {
    let said = status.metadata().get("x-hotwork-refused").map(|value| value.to_str().unwrap());
    assert_eq!(said, Some(status.message()), "{status:?}");
    (status.code(), status.message())
}

#[track_caller]
fn refused(outcome: Outcome, code: Code, why: &str) -> Status {
    let status = outcome.unwrap_err();
    assert_eq!(refusal(&status), (code, why));
    status
}

#[test]
fn a_tonic_client_reads_why_it_was_refused_from_the_status() {
    let fleet = Fleet::start();
    let open = fleet.connect();
    let stranger =
        refused(fleet.call(&open, CHECK, &MetadataMap::new()), Code::Unauthenticated, "credential-missing");
    assert_eq!(said(stranger.metadata(), "www-authenticate"), "DPoP algs=\"ES256 Ed25519\"");
    let token = fleet.token("fleet.health.read");
    let shown = fleet.shown(&token, CHECK);
    fleet.call(&open, CHECK, &shown).unwrap();
    refused(fleet.call(&open, CHECK, &shown), Code::Unauthenticated, "proof-replayed");
    // Another method: with its credential and without, and one that has no route.
    let watcher = fleet.token("fleet.health.watch");
    let other = refused(fleet.check(&open, &watcher), Code::PermissionDenied, "action-other");
    assert!(said(other.metadata(), "www-authenticate").contains("scope=\"fleet.health.read\""));
    let shown = fleet.shown(&token, WATCH);
    refused(fleet.call(&open, WATCH, &shown), Code::PermissionDenied, "action-other");
    let shown = fleet.shown(&token, CHECK);
    refused(fleet.call(&open, WATCH, &shown), Code::Unauthenticated, "proof-url");
    fleet.watch(&open, &watcher);
    for path in ["/grpc.health.v1.Health/Nothing", "/grpc.health.v1.Health/check", "/other.Service/Check"] {
        let shown = fleet.shown(&token, path);
        refused(fleet.call(&open, path, &shown), Code::PermissionDenied, "action-unknown");
    }
    // On the wire it is one block of header fields; and an error to all that is not gRPC.
    let raw = fleet.raw(&open, "application/grpc+proto");
    assert_eq!((raw.status().as_u16(), &raw.headers()["grpc-status"]), (200, &"16".parse().unwrap()));
    assert_eq!(raw.headers()["content-type"], "application/grpc");
    let nothing = fleet.runtime.block_on(http_body_util::BodyExt::collect(raw.into_body())).unwrap();
    assert!(nothing.trailers().is_none() && nothing.to_bytes().is_empty());
    for media_type in ["application/json", "application/grpc-web+proto"] {
        let raw = fleet.raw(&open, media_type);
        assert_eq!(raw.status().as_u16(), 401, "{media_type}");
        assert!(!raw.headers().contains_key("grpc-status"), "{media_type}");
        assert_eq!(raw.headers()["x-hotwork-refused"], "credential-missing");
    }
}

#[test]
fn a_revocation_ends_calls_on_open_and_new_connections_of_a_tonic_service() {
    let fleet = Fleet::start();
    let (open, token, other) =
        (fleet.connect(), fleet.token("fleet.health.read"), fleet.token("fleet.health.read"));
    fleet.check(&open, &token).unwrap();
    fleet.scene.revoke(&["--credential", &token.id]);
    let ended = until(Result::is_err, || fleet.check(&open, &token));
    refused(ended, Code::Unauthenticated, "credential-ended");
    refused(fleet.check(&fleet.connect(), &token), Code::Unauthenticated, "credential-ended");
    fleet.check(&open, &other).unwrap();
    fleet.scene.revoke(&["--action", "fleet.health.read"]);
    let ended = until(Result::is_err, || fleet.check(&open, &other));
    refused(ended, Code::Unauthenticated, "credential-ended");
    fleet.check(&open, &fleet.token("fleet.health.read")).unwrap();
}

#[test]
fn a_tonic_service_refuses_soon_after_the_acknowledgement() {
    let fleet = Fleet::start();
    let open = fleet.connect();
    fleet.scene.felt(
        "tonic",
        || fleet.token("fleet.health.read"),
        |token| match fleet.check(&open, token) {
            Ok(_) => false,
            Err(status) => {
                assert_eq!(refusal(&status), (Code::Unauthenticated, "credential-ended"));
                true
            }
        },
    );
}

#[test]
fn a_break_glass_session_takes_its_calls_and_streams_of_a_tonic_service_along_and_a_drill_gets_none() {
    let fleet = Fleet::start();
    let (open, lasting) = (fleet.connect(), fleet.token("fleet.health.read"));
    let under = |verb: &str, playbook: &str, action: &str| {
        let session = fleet.scene.opened(verb, playbook);
        let token = fleet.token_with(action, &["--break-glass", &session]);
        (session, token)
    };
    let (calls, token) = under("open", "check", "fleet.health.read");
    let (streams, watcher) = under("open", "watch", "fleet.health.watch");
    fleet.check(&open, &token).unwrap();
    let mut stream = fleet.watch(&open, &watcher);
    fleet.scene.close(&calls);
    let ended = until(Result::is_err, || fleet.check(&open, &token));
    refused(ended, Code::Unauthenticated, "credential-ended");
    // The other session goes on, and ends by itself.
    fleet.told(&mut stream).unwrap();
    fleet.scene.close(&streams);
    fleet.ends(&mut stream);
    fleet.check(&open, &lasting).unwrap();
    let (_, drilled) = under("drill", "check", "fleet.health.read");
    refused(fleet.check(&open, &drilled), Code::Unauthenticated, "credential-key");
}

#[test]
fn a_running_tonic_service_takes_a_new_token_key() {
    let fleet = Fleet::start();
    let open = fleet.connect();
    fleet.scene.daemon.json(&["keys", "rotate", "token", "--now"]);
    let token = fleet.token("fleet.health.read");
    let begun = Instant::now();
    while let Err(status) = fleet.check(&open, &token) {
        assert_eq!(refusal(&status), (Code::Unauthenticated, "credential-key"));
        assert!(begun.elapsed() < NEW_KEY, "still refused after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_expires_on_an_open_connection_of_a_tonic_service_is_refused_with_the_next_call() {
    let fleet = Fleet::start();
    let (open, lasting) = (fleet.connect(), fleet.token("fleet.health.read"));
    let token = fleet.token_with("fleet.health.read", &["--ttl", LIFE]);
    fleet.check(&open, &token).unwrap();
    let refusal = loop {
        let before = SystemTime::now();
        match fleet.check(&open, &token) {
            Ok(_) => assert!(before < token.end, "served after the end"),
            Err(status) => break status,
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    refused(Err(refusal), Code::Unauthenticated, "credential-expired");
    // Tokens have whole seconds.
    assert!(SystemTime::now() + Duration::from_secs(1) >= token.end, "refused early");
    fleet.check(&open, &lasting).unwrap();
}

#[test]
fn a_stream_that_asks_ends_with_its_credential_and_others_go_on() {
    let fleet = Fleet::start();
    let open = fleet.connect();
    let [revoked, lasting] = ["fleet.health.watch"; 2].map(|action| fleet.token(action));
    let expiring = fleet.token_with("fleet.health.watch", &["--ttl", LIFE]);
    let mut streams = [&revoked, &expiring, &lasting].map(|token| fleet.watch(&open, token));
    let [revoked_stream, expiring_stream, lasting_stream] = &mut streams;
    fleet.scene.revoke(&["--credential", &revoked.id]);
    fleet.ends(revoked_stream);
    let ended = loop {
        // What had been sent before the end may be read after it.
        match fleet.told(expiring_stream) {
            Ok(()) => {
                assert!(SystemTime::now() < expiring.end + Duration::from_secs(5), "told after the end");
            }
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), ended.message()), (Code::Unauthenticated, "credential-expired"));
    assert!(SystemTime::now() + Duration::from_secs(1) >= expiring.end, "ended early");
    // Those before the end were read; from now on it is the service's present word.
    for _ in 0..8 {
        fleet.told(lasting_stream).unwrap();
    }
    fleet.check(&open, &fleet.token("fleet.health.read")).unwrap();
}
