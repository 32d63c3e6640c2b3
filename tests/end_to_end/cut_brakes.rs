//! A brake whose process ended between two of its records, each of them made here: the next start does the rest before it
//! serves anybody, and once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotwork::api::authz;
use hotwork::app::build::App;
use hotwork::broker::break_glass::Prepare;
use hotwork::broker::operate::Caller;
use hotwork::clock::SystemClock;
use hotwork::config::Config;
use hotwork::domain::break_glass::{Ask, Held, Responder, Sign, Signature};
use hotwork::domain::id::Lineage;
use hotwork::domain::ledger::Command;
use hotwork::domain::name::OperatorName;
use hotwork::domain::playbook::Scope;
use hotwork::domain::revocation::{Lock, Revocation, Terms};

use crate::brake_crashes::{asked, entries, lifted, locks, ordinary, says};
use crate::scene::{NAMESPACE, Scene, path};
use crate::signing::opened;
use crate::support::When;

/// The daemon's parts in this process. Nobody is served by them.
async fn built(scene: &Scene) -> App {
    let config = Config::load(&scene.dir.path().join("config/hotworkd.toml"));
    let config = config.unwrap_or_else(|bad| panic!("{bad}"));
    App::build_on(config, None, Arc::new(SystemClock::new())).await.unwrap()
}

fn bob() -> OperatorName {
    "bob".parse().unwrap()
}

/// What is signed for a brake, as the broker records it.
async fn sign(scene: &Scene, app: &App) -> Sign {
    let broker = &app.broker;
    let by = broker.authorize(&Caller::Certificate(bob()), authz::PREPARE).await.unwrap();
    let asked = Prepare::Open {
        drill: false,
        playbook: "freeze".parse().unwrap(),
        reason: "it runs wild".parse().unwrap(),
        seconds: None,
        ticket: "INC-7".parse().unwrap(),
    };
    let proposal = broker.prepare_break_glass(&by, asked).unwrap().proposal;
    let rules = broker.rules();
    let operator = rules.registry.operator_by_name(&bob()).unwrap();
    let key = operator.ssh_keys[0].fingerprint().unwrap().to_string();
    let blob = opened(&scene.bob.sign(NAMESPACE, &proposal.text));
    let signature = Signature { key: key.clone(), operator: bob(), signature: STANDARD.encode(blob).into() };
    let responders = vec![Responder { keys: vec![key], name: bob() }];
    let session = Lineage::new(proposal.from, &[7; 10]);
    Sign { proposal, signature, responders, session }
}

/// The records that follow an opening, in their order, but for the last one, which says that all is done.
fn rest(held: &Held) -> [Command; 2] {
    let Scope::Restrict(restriction) = &held.opening.scope else { panic!("{held:?}") };
    let reason = held.message().unwrap();
    let lock = Lock {
        operator: bob(),
        selector: restriction.lock[0].clone(),
        tenants: Vec::new(),
        terms: Terms { expires: held.until, message: reason.clone() },
    };
    let revocation = Revocation {
        for_good: false,
        issued_before: None,
        live: None,
        lock: None,
        operator: bob(),
        reason,
        selector: restriction.revoke[0].clone(),
        tenants: Vec::new(),
    };
    [Command::Lock(lock), Command::Revoke { revocation, target: None }]
}

/// Opens the brake, makes so many of its records more, and ends.
async fn cut(scene: &mut Scene, records: usize) {
    scene.kill();
    let app = built(scene).await;
    let sign = sign(scene, &app).await;
    let (session, ledger) = (sign.session, app.broker.ledger());
    ledger.submit(Command::BreakGlass(Ask::Sign(Box::new(sign)))).await.unwrap();
    let held = ledger.sessions().get(session).map(Arc::clone).unwrap();
    for command in rest(&held).into_iter().take(records) {
        ledger.submit(command).await.unwrap();
    }
    assert_eq!(ledger.locks().iter().count(), records.min(1));
    assert!(!ledger.sessions().get(session).unwrap().left.is_empty(), "it is cut");
}

/// Whether all of it is done, by the daemon's own parts, before anybody could ask for anything.
async fn is_whole_when_built(scene: &Scene) {
    let app = built(scene).await;
    let ledger = app.broker.ledger();
    let sessions = ledger.sessions();
    let held = sessions.iter().next().unwrap();
    assert!(held.left.is_empty(), "{:?}", held.left);
    assert_eq!(ledger.locks().iter().count(), 1);
    let agent = "spiffe://example.org/tenant/default/agent/scaler".parse().unwrap();
    let selector = hotwork::domain::revocation::Selector::Agent(agent);
    assert!(ledger.revocations().deltas().any(|delta| delta.selector == selector));
}

/// As people and agents see it; `token` is of before.
fn is_whole(scene: &mut Scene, token: &str) {
    for _ in 0..2 {
        assert_eq!(locks(scene).len(), 1, "one lock, however often it starts");
        assert!(!scene.is_live(token));
        assert_ne!(asked(scene).0, 0);
        scene.killed();
    }
    let id = locks(scene)[0]["id"].as_str().unwrap().to_owned();
    lifted(scene, &[When::Answered], &id);
    assert!(!scene.is_live(token));
    let log = [says(scene, " opened"), entries(scene, "lock"), says(scene, "restricted by")];
    assert_eq!(log, [1; 3]);
    let (state, key) = (scene.dir.path().join("state"), scene.dir.path().join("state/log.pub"));
    scene.daemon().json(&["audit", "verify", path(&state), "--key", path(&key)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brake_that_was_cut_between_any_two_of_its_records_is_whole_before_anybody_is_served() {
    for records in 0..=2 {
        let mut scene = Scene::start();
        let token = ordinary(&scene);
        cut(&mut scene, records).await;
        is_whole_when_built(&scene).await;
        scene.restart();
        is_whole(&mut scene, &token);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_in_an_emergency_and_for_the_real_daemon() {
    for emergency in [false, true] {
        let mut scene = Scene::start();
        let token = ordinary(&scene);
        if emergency {
            scene.unwritable();
        }
        cut(&mut scene, 0).await;
        if emergency {
            is_whole_when_built(&scene).await;
        }
        scene.restart();
        is_whole(&mut scene, &token);
        if emergency {
            scene.writable();
            assert!(locks(&scene).is_empty() && !scene.is_live(&token));
        }
    }
}
