//! The certificate of a proxy's own identity over the proxies' socket: for who is attested and may have one, made anew
//! when it was ended, and for nobody else.

use std::time::{Duration, Instant};

use hotwork::proto::sds::data_source::Specifier;
use hotwork::proto::sds::secret::Type;
use hotwork::proto::sds::secret_discovery_service_client::SecretDiscoveryServiceClient;
use hotwork::proto::sds::{DataSource, DiscoveryRequest, DiscoveryResponse, Secret};
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::support::{self, Daemon, code, eventually, text};

const CERTIFICATE: &str = "hotwork-certificate";
const IDENTITY: &str = "hotwork-identity";
const NAME: &str = "edge.example.org";

async fn client(daemon: &Daemon) -> SecretDiscoveryServiceClient<Channel> {
    let socket = daemon.state.join("authz.sock");
    SecretDiscoveryServiceClient::new(support::channel(socket.to_str().unwrap()).await)
}

fn wants(name: &str) -> DiscoveryRequest {
    DiscoveryRequest { resource_names: vec![name.to_owned()], ..DiscoveryRequest::default() }
}

fn bytes(source: Option<DataSource>) -> String {
    let Some(Specifier::InlineBytes(bytes)) = source.unwrap().specifier else { panic!("no bytes") };
    String::from_utf8(bytes).unwrap()
}

fn secret(answer: &DiscoveryResponse) -> Option<Type> {
    let [only] = answer.resources.as_slice() else { return None };
    Secret::decode(&*only.value).unwrap().r#type
}

/// The serial number of the certificate in an answer, which has to be of its form and with its key.
fn serial(answer: &DiscoveryResponse) -> String {
    let Some(Type::TlsCertificate(pair)) = secret(answer) else { panic!("no certificate") };
    let (chain, key) = (bytes(pair.certificate_chain), bytes(pair.private_key));
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2, "the leaf and its authority");
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let key = rcgen::KeyPair::from_pem(&key).unwrap();
    assert_eq!(leaf.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    let names: Vec<String> = names.value.general_names.iter().map(ToString::to_string).collect();
    let all = names.join(" ");
    assert!(all.contains("/tenant/default/agent/") && all.contains(NAME) && names.len() == 2, "{all}");
    let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert!(life <= 900 + 60, "{life}");
    leaf.raw_serial_as_string()
}

async fn next(answers: &mut Streaming<DiscoveryResponse>) -> DiscoveryResponse {
    let next = tokio::time::timeout(Duration::from_secs(30), answers.message()).await;
    next.expect("an answer within 30 s").unwrap().unwrap()
}

/// A stream that asks for one secret and takes whatever comes.
async fn stream(daemon: &Daemon, name: &str) -> Streaming<DiscoveryResponse> {
    let requests = tokio_stream::iter([wants(name)]).chain(tokio_stream::pending());
    client(daemon).await.stream_secrets(requests).await.unwrap().into_inner()
}

/// The serial numbers on the identity authority's CRL.
async fn ended(daemon: &Daemon) -> Vec<String> {
    let answer = client(daemon).await.fetch_secrets(wants(IDENTITY)).await.unwrap().into_inner();
    let Some(Type::ValidationContext(context)) = secret(&answer) else { panic!("no context") };
    let lists = bytes(context.crl);
    let mut serials = Vec::new();
    for list in x509_parser::pem::Pem::iter_from_buffer(lists.as_bytes()).map(Result::unwrap) {
        let (_, list) = x509_parser::parse_x509_crl(&list.contents).unwrap();
        serials.extend(list.iter_revoked_certificates().map(|entry| entry.raw_serial_as_string()));
    }
    serials
}

/// Whether it has none to give.
async fn has_none(daemon: &Daemon) -> bool {
    client(daemon).await.fetch_secrets(wants(CERTIFICATE)).await.unwrap().into_inner().resources.is_empty()
}

fn run(daemon: &Daemon, line: &[&str]) {
    let output = daemon.hotwork(line);
    assert_eq!(code(&output), 0, "{line:?}: {}", text(&output));
}

#[tokio::test]
async fn who_is_attested_and_may_has_a_certificate_that_ends_with_the_agent_s_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let agents = daemon.state.join("config/agents");
    let entry = std::fs::read_dir(&agents).unwrap().map(|entry| entry.unwrap().path());
    let entry = entry.filter(|path| path.extension().is_some_and(|kind| kind == "toml")).min().unwrap();
    let plain = std::fs::read_to_string(&entry).unwrap();
    let agent = daemon.json(&["whoami"])["agent"].as_str().unwrap().to_owned();

    // The entry does not say so: nothing, and nothing of a key.
    assert!(has_none(&daemon).await);
    let mut answers = stream(&daemon, CERTIFICATE).await;
    eventually("it is said once", || daemon.log().contains("a proxy gets no certificate of its own"));
    let with = format!("identity_certificate = true\nserver_names = [\"{NAME}\"]\n{plain}");
    std::fs::write(&entry, with).unwrap();
    assert_eq!(daemon.json(&["reload"])["changed"], true);
    let shown = daemon.json(&["agent", "show", &agent]);
    let shown = &shown["agent"];
    assert_eq!((&shown["identityCertificate"], &shown["serverNames"][0]), (&true.into(), &NAME.into()));
    let table = daemon.hotwork(&["agent", "show", &agent]);
    assert!(text(&table).contains(NAME), "{}", text(&table));
    let first = serial(&next(&mut answers).await);
    // One for the agent, however many ask.
    assert_eq!(serial(&next(&mut stream(&daemon, CERTIFICATE).await).await), first);
    let fetched = client(&daemon).await.fetch_secrets(wants(CERTIFICATE)).await.unwrap().into_inner();
    assert_eq!(serial(&fetched), first);
    assert!(ended(&daemon).await.is_empty());

    // A revocation of the agent ends it for those who look at CRLs, and a new one comes.
    run(&daemon, &["revoke", "--agent", &agent, "--reason", "a test", "--yes"]);
    let second = serial(&next(&mut answers).await);
    assert_ne!(second, first);
    let deadline = Instant::now() + Duration::from_secs(30);
    while ended(&daemon).await != [first.clone()] {
        assert!(Instant::now() < deadline, "not on the CRL within 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // A lock gives no other one.
    let lock = ["revoke", "--agent", &agent, "--reason", "a test", "--lock", "--lock-ttl", "10m", "--yes"];
    let output = daemon.hotwork(&lock);
    assert_eq!(code(&output), 0, "{}", text(&output));
    assert!(has_none(&daemon).await);
    // The log has each, and neither log has a key.
    let log = String::from_utf8(daemon.hotwork(&["audit", "tail", "-n", "60"]).stdout).unwrap();
    assert_eq!(log.matches("agent/default/").count(), 2, "{log}");
    for log in [log, daemon.log()] {
        assert!(!log.contains("PRIVATE"), "{log}");
    }
}
