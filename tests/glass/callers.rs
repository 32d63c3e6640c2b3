//! What a caller that goes away in the middle leaves behind: all of it or nothing; and what a restart is told.

use std::sync::Arc;

use hotwork::app::build::App;
use hotwork::clock::ManualClock;
use hotwork::config::Config;
use hotwork::config::registry::load;
use hotwork::domain::agent::Day;
use hotwork::domain::clock::Clock as _;

use crate::site::{Site, eventually};

#[tokio::test]
async fn a_load_whose_caller_goes_away_once_it_is_recorded_is_in_force() {
    let site = Site::open().await;
    let (broker, config) = (site.broker(), site.dir.path().join("config"));
    let file = config.join("operators.toml");
    let fewer = std::fs::read_to_string(&file).unwrap().replace("\"admin\", ", "");
    std::fs::write(&file, fewer).unwrap();
    let rules = broker.rules();
    let old = rules.registry.digest();
    let loaded = load(&config, rules.registry.trust_domain(), &"https://a.example".parse().unwrap(), Day(1));
    let new = loaded.unwrap().registry.digest();
    let size = broker.ledger().status().size;
    // The caller is gone at the moment in which the load is durable.
    let recorded = eventually("it is recorded", || broker.ledger().status().size > size);
    tokio::select! {
        biased;
        () = recorded => {}
        done = broker.reload(None) => panic!("the caller was to be gone by then: {done:?}"),
    }
    assert_ne!(old, new);
    eventually("what the log says was loaded is in force", || broker.rules().registry.digest() == new).await;
    let last = broker.ledger().reader().last_load().unwrap();
    assert_eq!(last, Some(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_doubts_its_clock_says_so_in_its_status() {
    let Site { app, clock, dir, .. } = Site::open().await;
    assert_eq!(app.broker.status().problem, None);
    drop(app);
    let ahead = clock.now().unwrap().plus_millis(40 * 86_400_000);
    let config =
        || Config::load(&dir.path().join("config/hotworkd.toml")).unwrap_or_else(|bad| panic!("{bad}"));
    let start = async |config| App::build_on(config, None, Arc::new(ManualClock::new(ahead))).await.unwrap();
    let doubting = start(config()).await;
    let problem = doubting.broker.status().problem.unwrap();
    assert!(problem.contains("--accept-clock"), "{problem}");
    drop(doubting);
    let told = start(Config { accept_clock: true, ..config() }).await;
    assert_eq!(told.broker.status().problem, None);
}
