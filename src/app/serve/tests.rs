//! What `serve` does beside answering.

use tempfile::TempDir;

use super::*;
use crate::api::authz;
use crate::broker::break_glass::Prepare;
use crate::broker::operate::Caller;
use crate::config;
use crate::domain::break_glass::{Ask, Responder, Sign, Signature};
use crate::domain::id::Lineage;
use crate::domain::ledger::Command;
use crate::domain::name::OperatorName;
use crate::domain::signer::Algorithm;
use crate::signer::keystore::{Identity, KeyStore};

const TRUST_DOMAIN: &str = "dev.hotwork.example";

/// The demonstration's broker; nobody serves it.
async fn demo(dir: &TempDir) -> App {
    let state = dir.path().display();
    let text = format!(
        "trust_domain = \"{TRUST_DOMAIN}\"\nissuer = \"https://a.example\"\nstate_dir = \"{state}\"\n\
         registry_dir = \"{state}/config\"\n[agent_socket]\npath = \"{state}/agent.sock\"\n\
         [admin_socket]\npath = \"{state}/admin.sock\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [ops]\nlisten = \"127.0.0.1:0\"\n"
    );
    let config = Config::parse(Path::new("a.toml"), &text).unwrap_or_else(|bad| panic!("{bad}"));
    config::demo::write(&config.registry_dir, 1_000, &me()).unwrap();
    let clock = SystemClock::new();
    let identity = Identity { trust_domain: config.trust_domain.clone(), token_algorithm: Algorithm::Es256 };
    KeyStore::create(dir.path(), &identity, None, clock.now().unwrap()).unwrap();
    App::build_on(config, None, Arc::new(clock)).await.unwrap()
}

fn me() -> OperatorName {
    "me".parse().unwrap()
}

/// Opens the brake, and does nothing of it: where a task that was to do it ended, or waited in vain.
async fn opens_only(broker: &Broker) {
    let by = broker.authorize(&Caller::Certificate(me()), authz::PREPARE).await.unwrap();
    let (playbook, reason) = ("freeze".parse().unwrap(), "it runs wild".parse().unwrap());
    let asked =
        Prepare::Open { drill: false, playbook, reason, seconds: None, ticket: "INC-7".parse().unwrap() };
    let proposal = broker.prepare_break_glass(&by, asked).unwrap().proposal;
    let session = Lineage::new(proposal.from, &[7; 10]);
    let key = "SHA256:a".to_owned();
    let responders = vec![Responder { keys: vec![key.clone()], name: me() }];
    let signature = Signature { key, operator: me(), signature: "c2lnbmVk".into() };
    let sign = Sign { proposal, signature, responders, session };
    broker.ledger().submit(Command::BreakGlass(Ask::Sign(Box::new(sign)))).await.unwrap();
}

async fn locked(broker: &Broker, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while broker.ledger().locks().iter().count() != count {
        assert!(Instant::now() < deadline, "{:?}", broker.ledger().sessions());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_brake_was_to_shut_and_could_not_is_shut_while_the_daemon_serves() {
    let dir = tempfile::tempdir().unwrap();
    let app = demo(&dir).await;
    let broker = &app.broker;
    let (_told, mut signals) = Signals::silent();
    let serving = async { until_stopped(&mut signals, broker).await };
    let watching = async {
        // Once it serves, so that it is not the look that it begins with.
        tokio::task::yield_now().await;
        opens_only(broker).await;
        locked(broker, 0).await;
        tokio::time::pause();
        tokio::time::advance(RESTRICT_EVERY).await;
        tokio::time::resume();
        locked(broker, 3).await;
    };
    tokio::select! {
        () = serving => panic!("nobody stopped it"),
        () = watching => {}
    }
}

#[test]
fn whoever_looked_at_the_clock_did_so_for_one_start_and_it_is_watched_over_all_of_them() {
    let text = "trust_domain = \"example.org\"\nissuer = \"https://a.example\"\nstate_dir = \"/var/lib/a\"\n";
    let config = Config::parse(Path::new("a.toml"), text).unwrap_or_else(|bad| panic!("{bad}"));
    let first = Start::first(Config { accept_clock: true, ..config });
    assert!(first.config.accept_clock);
    let clock = Arc::clone(&first.clock);
    let second = first.next(Duration::from_secs(5));
    assert!(!second.config.accept_clock && Arc::ptr_eq(&second.clock, &clock));
    assert_eq!(second.pause, RESTART_PAUSE * 2);
}

#[test]
fn the_pause_between_two_starts_grows_to_a_minute_and_shrinks_after_a_calm_hour() {
    let (soon, late) = (Duration::from_secs(5), CALM + Duration::from_secs(1));
    let pauses = std::iter::successors(Some(RESTART_PAUSE), |last| Some(next_pause(*last, soon)));
    let seconds: Vec<u64> = pauses.take(7).map(|pause| pause.as_secs()).collect();
    assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(next_pause(RESTART_PAUSE_MAX, late), RESTART_PAUSE);
}
