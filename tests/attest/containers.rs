//! Which image a container was made from, asked of a real Podman by its Docker-compatible API.

use hotwork::attest::unix::{Images, UnixAttestor};
use hotwork::attest::{Attestor as _, Failure, Presented};

use super::agent::Agent;
use super::podman::{Group, Podman};
use super::{Host, read, skipped, value};

#[tokio::test]
async fn the_image_of_a_container_is_evidence_and_a_runtime_that_is_away_is_no_container_without_one() {
    let podman = match Podman::start() {
        Ok(podman) => podman,
        Err(why) => return skipped(&format!("the image of a container needs podman: {why}")),
    };
    let container = match podman.create("hotwork-test") {
        Ok(container) => container,
        Err(why) => return skipped(&format!("podman makes no container here: {why}")),
    };
    let image = podman.image(&container).unwrap();
    let host = Host::new();
    let mut agent = Agent::start(&host.socket());
    let _first = host.listener.accept().await.unwrap();
    let group = match Group::of_container(&container) {
        Ok(group) => group,
        Err(why) => return skipped(&format!("no control group for the container: {why}")),
    };
    if let Err(error) = group.take(agent.id()) {
        return skipped(&format!("can not move a process to another cgroup: {error}"));
    }
    let attestor = UnixAttestor::with_images(Images::new(podman.socket()));
    let attested = async |agent: &mut Agent, attestor: &UnixAttestor| {
        agent.tell("connect");
        agent.tell("write a");
        let mut connection = host.listener.accept().await.unwrap();
        assert_eq!(read(&mut connection).await, b"a");
        let presented = Presented { unix: Some(connection.peer()), ..Presented::default() };
        attestor.attest(&presented).await.map(|outcome| match outcome {
            hotwork::attest::Outcome::Evidence(evidence) => evidence,
            hotwork::attest::Outcome::NotMine => panic!("a Unix peer was not taken"),
        })
    };
    let evidence = attested(&mut agent, &attestor).await.unwrap();
    assert_eq!(value(&evidence, "container.id"), container);
    assert_eq!(value(&evidence, "container.image"), image);
    // Nobody asks without the configuration.
    let evidence = attested(&mut agent, &UnixAttestor::new()).await.unwrap();
    assert!(!evidence.selectors().any(|fact| fact.kind.as_str() == "container.image"), "{evidence:?}");
    // The runtime goes away: what it said holds, and what it did not say is not known.
    drop(podman);
    assert_eq!(value(&attested(&mut agent, &attestor).await.unwrap(), "container.image"), image);
    let fresh = UnixAttestor::with_images(Images::new(host.directory.path().join("nothing.sock")));
    let failure = attested(&mut agent, &fresh).await.unwrap_err();
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    agent.quit();
}
