//! What a running daemon takes besides requests for credentials: SIGHUP, health checks, reflection.

use rustix::process::Signal;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Daemon, code, eventually, text};

const SOCKETS: [&str; 2] = ["HOTWORK_ENDPOINT", "HOTWORK_ADMIN_ENDPOINT"];

fn dev() -> (tempfile::TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    (dir, daemon)
}

#[test]
fn a_hangup_takes_the_changed_registry_and_a_broken_one_changes_nothing() {
    let (_dir, daemon) = dev();
    let ask = || daemon.hotwork(&["issue", "demo.read", "--resource", "demo/hello", "-o", "json"]);
    let agents = daemon.state.join("config/agents");
    let entry = std::fs::read_dir(&agents).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read_to_string(&entry).unwrap();
    let suspended = good.replace("state = \"active\"", "state = \"suspended\"");
    assert_ne!(suspended, good);
    let issued = ask();
    assert_eq!(code(&issued), 0, "{}", text(&issued));

    std::fs::write(&entry, suspended).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the agent is suspended", || code(&ask()) == 3);

    // It would be active again if the broken file were taken.
    std::fs::write(&entry, format!("{good}\nnonsense = 1\n")).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the refusal is in the daemon's log", || daemon.log().contains("registry not loaded"));
    let denied = ask();
    assert_eq!(code(&denied), 3, "{}", text(&denied));
    assert!(text(&denied).contains("agent-suspended"), "{}", text(&denied));
    assert_eq!(daemon.json(&["status"])["issuing"], true);

    std::fs::write(&entry, good).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the agent is active again", || code(&ask()) == 0);
    assert_eq!(daemon.stop(), 0);
}

#[tokio::test]
async fn both_sockets_say_by_grpc_health_that_they_serve() {
    let (_dir, daemon) = dev();
    let (agent, admin) = ("hotwork.v1.CredentialService", "hotwork.v1.AdminService");
    for (socket, own, other) in [(SOCKETS[0], agent, admin), (SOCKETS[1], admin, agent)] {
        let mut health = HealthClient::new(daemon.channel(socket).await);
        for service in ["", own] {
            let request = HealthCheckRequest { service: service.into() };
            let answer = health.check(request).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{socket}: `{service}`");
        }
        // A listener does not vouch for what it does not offer.
        let refused = health.check(HealthCheckRequest { service: other.into() }).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{socket}: `{other}`");
    }
}

#[tokio::test]
async fn the_listeners_of_dev_describe_themselves() {
    let (_dir, daemon) = dev();
    for socket in SOCKETS {
        let mut client = ServerReflectionClient::new(daemon.channel(socket).await);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let asked = tokio_stream::once(request);
        let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{socket}: no list of services");
        };
        let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        assert!(names.contains(&"hotwork.v1.CredentialService"), "{socket}: {names:?}");
        assert!(names.contains(&"grpc.health.v1.Health"), "{socket}: {names:?}");
    }
}
