//! Envoy's secret discovery over the proxies' socket: at once, again with each change, and for nobody else.

use std::time::{Duration, Instant};

use hotwork::domain::limits::{SECRET_NAMES_MAX, SECRET_STREAMS_PER_USER_MAX};
use hotwork::proto::sds::data_source::Specifier;
use hotwork::proto::sds::discovery_request::ErrorDetail;
use hotwork::proto::sds::secret::Type;
use hotwork::proto::sds::secret_discovery_service_client::SecretDiscoveryServiceClient;
use hotwork::proto::sds::{DataSource, DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse, Secret};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::support::{self, Daemon};

const ACTION: &str = "hotwork-action";
const IDENTITY: &str = "hotwork-identity";

type Client = SecretDiscoveryServiceClient<Channel>;

async fn client(daemon: &Daemon) -> Client {
    let socket = daemon.state.join("authz.sock");
    SecretDiscoveryServiceClient::new(support::channel(socket.to_str().unwrap()).await)
}

fn wants(names: &[&str], nonce: &str) -> DiscoveryRequest {
    let resource_names = names.iter().map(|name| (*name).to_owned()).collect();
    DiscoveryRequest { resource_names, response_nonce: nonce.to_owned(), ..DiscoveryRequest::default() }
}

/// A subscriber.
struct Subscriber {
    requests: mpsc::Sender<DiscoveryRequest>,
    answers: Streaming<DiscoveryResponse>,
}

impl Subscriber {
    async fn new(mut client: Client, first: DiscoveryRequest) -> Result<Self, Status> {
        let (requests, received) = mpsc::channel(64);
        requests.send(first).await.unwrap();
        let answers = client.stream_secrets(ReceiverStream::new(received)).await?.into_inner();
        Ok(Self { requests, answers })
    }

    async fn next(&mut self) -> DiscoveryResponse {
        let next = tokio::time::timeout(Duration::from_secs(30), self.answers.message()).await;
        next.expect("an answer within 30 s").unwrap().unwrap()
    }

    /// The next answer that says something else of the context than `before`.
    async fn changed(&mut self, names: &[&str], before: &[u8]) -> DiscoveryResponse {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = self.next().await;
            self.requests.send(wants(names, &answer.nonce)).await.unwrap();
            if crl_serials(&crl(&answer, names[0])) != crl_serials(before) {
                return answer;
            }
            assert!(Instant::now() < deadline, "nothing else within 30 s");
        }
    }
}

/// Trust and CRLs of one context, PEM.
fn context(answer: &DiscoveryResponse, name: &str) -> (Vec<u8>, Vec<u8>) {
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    assert!(answer.type_url == kind && answer.resources.iter().all(|any| any.type_url == kind));
    let secrets = answer.resources.iter().map(|any| Secret::decode(&*any.value).unwrap());
    let secret = secrets.into_iter().find(|secret| secret.name == name).expect(name);
    let Some(Type::ValidationContext(context)) = secret.r#type else { panic!("no context") };
    assert!(!context.only_verify_leaf_cert_crl);
    let bytes = |source: Option<DataSource>| {
        let Some(Specifier::InlineBytes(bytes)) = source.unwrap().specifier else { panic!("no bytes") };
        bytes
    };
    (bytes(context.trusted_ca), bytes(context.crl))
}

fn crl(answer: &DiscoveryResponse, name: &str) -> Vec<u8> {
    context(answer, name).1
}

/// The serial numbers on the lists, by a foreign parser.
fn crl_serials(pem: &[u8]) -> Vec<String> {
    let lists: Vec<_> = x509_parser::pem::Pem::iter_from_buffer(pem).map(Result::unwrap).collect();
    assert_eq!(lists.len(), 2, "the authority's and the root's");
    let mut serials = Vec::new();
    for list in lists {
        let (_, list) = x509_parser::parse_x509_crl(&list.contents).unwrap();
        serials.extend(list.iter_revoked_certificates().map(|entry| entry.raw_serial_as_string()));
    }
    serials
}

/// An action certificate's id and serial number.
fn certificate(daemon: &Daemon, name: &str) -> (String, String) {
    let out = daemon.state.join(name);
    let out = out.to_str().unwrap();
    let issued = daemon.json(&[
        "issue",
        "demo.read",
        "--resource",
        "demo/x",
        "--kind",
        "cert",
        "--ttl",
        "5m",
        "--out",
        out,
    ]);
    let pem = std::fs::read(daemon.state.join(name).join("cert.pem")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let serial = pem.parse_x509().unwrap().raw_serial_as_string();
    (issued["credential"]["id"].as_str().unwrap().to_owned(), serial)
}

fn revoke(daemon: &Daemon, selector: &[&str]) {
    let output = daemon.hotwork(&[&["revoke", "--reason", "a test"], selector].concat());
    assert!(output.status.success(), "{}", support::text(&output));
}

#[tokio::test]
async fn a_subscriber_gets_trust_and_crls_at_once_and_again_when_something_ends() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let (id, serial) = certificate(&daemon, "first");
    let both = [ACTION, IDENTITY];
    let mut subscriber = Subscriber::new(client(&daemon).await, wants(&both, "")).await.unwrap();
    let first = subscriber.next().await;
    assert!(first.resources.len() == 2 && !first.version_info.is_empty() && !first.nonce.is_empty());
    for name in both {
        let (trust, lists) = context(&first, name);
        assert_eq!(String::from_utf8(trust).unwrap().matches("BEGIN CERTIFICATE").count(), 2, "{name}");
        assert!(crl_serials(&lists).is_empty());
    }
    assert_ne!(context(&first, ACTION).0, context(&first, IDENTITY).0);
    subscriber.requests.send(wants(&both, &first.nonce)).await.unwrap();
    revoke(&daemon, &["--credential", &id]);
    let second = subscriber.changed(&both, &crl(&first, ACTION)).await;
    assert_eq!(crl_serials(&crl(&second, ACTION)), std::slice::from_ref(&serial));
    assert!(crl_serials(&crl(&second, IDENTITY)).is_empty());
    assert!(second.version_info != first.version_info && second.nonce != first.nonce);
    // One that comes later gets it at once, and so does who only fetches.
    let mut later = Subscriber::new(client(&daemon).await, wants(&[ACTION], "")).await.unwrap();
    assert_eq!(crl_serials(&crl(&later.next().await, ACTION)), std::slice::from_ref(&serial));
    let fetched = client(&daemon).await.fetch_secrets(wants(&[ACTION], "")).await.unwrap().into_inner();
    assert_eq!(crl_serials(&crl(&fetched, ACTION)), [serial]);
    // A drain does not wait for those who follow.
    let stopping = Instant::now();
    let stopped = tokio::task::spawn_blocking(move || daemon.stop());
    assert_eq!(stopped.await.unwrap(), 0);
    assert!(stopping.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_a_proxy_refused_is_not_sent_again_and_the_next_is() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let (id, serial) = certificate(&daemon, "first");
    let mut subscriber = Subscriber::new(client(&daemon).await, wants(&[ACTION], "")).await.unwrap();
    let first = subscriber.next().await;
    let error_detail = Some(ErrorDetail { code: 13, message: "no such\x1b[2J thing".to_owned() });
    let refusal = DiscoveryRequest { error_detail, ..wants(&[ACTION], &first.nonce) };
    subscriber.requests.send(refusal).await.unwrap();
    revoke(&daemon, &["--credential", &id]);
    let next = subscriber.changed(&[ACTION], &crl(&first, ACTION)).await;
    assert_ne!(next.version_info, first.version_info);
    assert_eq!(crl_serials(&crl(&next, ACTION)), [serial]);
    support::eventually("the log says so", || daemon.log().contains("did not take its trust"));
    assert!(!daemon.log().contains("thing\x1b"));
}

#[tokio::test]
async fn nobody_gets_secrets_elsewhere_and_what_is_asked_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    for endpoint in ["HOTWORK_ENDPOINT", "HOTWORK_ADMIN_ENDPOINT"] {
        let mut elsewhere = SecretDiscoveryServiceClient::new(daemon.channel(endpoint).await);
        let refused = elsewhere.fetch_secrets(wants(&[ACTION], "")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{endpoint}");
    }
    let mut client = client(&daemon).await;
    let other = DiscoveryRequest { type_url: "type.googleapis.com/x".into(), ..wants(&[ACTION], "") };
    let many = wants(&[ACTION; SECRET_NAMES_MAX + 1], "");
    for (bad, field) in [(other, "type_url"), (many, "resource_names")] {
        let refused = client.fetch_secrets(bad.clone()).await.unwrap_err();
        assert!(refused.code() == Code::InvalidArgument && refused.message().starts_with(field), "{refused}");
        let mut stream = Subscriber::new(client.clone(), bad).await.unwrap();
        assert_eq!(stream.answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    }
    let delta = client.delta_secrets(tokio_stream::iter([DeltaDiscoveryRequest {}])).await.unwrap_err();
    assert_eq!(delta.code(), Code::Unimplemented);
    // Names that are not ours are waited for, and nothing is said of them.
    let unknown = client.fetch_secrets(wants(&["other"], "")).await.unwrap().into_inner();
    assert!(unknown.resources.is_empty());
}

#[tokio::test]
async fn streams_of_secrets_of_one_user_are_bounded_at_n_and_refused_at_n_plus_one() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let clients = [client(&daemon).await, client(&daemon).await];
    let mut held = Vec::new();
    for at in 0..SECRET_STREAMS_PER_USER_MAX {
        held.push(Subscriber::new(clients[at % 2].clone(), wants(&[ACTION], "")).await.unwrap());
    }
    for stream in &mut held {
        stream.next().await;
    }
    let refused = Subscriber::new(clients[0].clone(), wants(&[ACTION], "")).await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    // Who has gone makes room.
    held.truncate(SECRET_STREAMS_PER_USER_MAX / 2);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(mut stream) = Subscriber::new(clients[0].clone(), wants(&[ACTION], "")).await {
            stream.next().await;
            return;
        }
        assert!(Instant::now() < deadline, "no room within 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
