//! The metrics that pages tell people to watch: each is there by that name, and shows what it says.

use std::collections::BTreeSet;
use std::path::Path;

use hotwork::proto::v1::AcknowledgeEpochRequest;

use crate::revocation::{next, watch};
use crate::scene::Scene;
use crate::support::{Daemon, eventually, example, http};

/// Names of other things: claims, variables of nginx, an account of PostgreSQL.
const NO_METRICS: [&str; 9] = [
    "hotwork_agent",
    "hotwork_api",
    "hotwork_approval",
    "hotwork_credential",
    "hotwork_nonce",
    "hotwork_reaper",
    "hotwork_refused",
    "hotwork_session",
    "hotwork_tier",
];

fn scrape(daemon: &Daemon) -> String {
    http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics").1
}

/// The value of a metric without labels.
fn value(daemon: &Daemon, name: &str) -> f64 {
    let text = scrape(daemon);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
}

/// Every name in a page that begins as our metrics do.
fn named_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("hotwork_") && !NO_METRICS.contains(word))
}

/// The pages below a directory.
fn pages(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let kind = entry.extension().unwrap_or_default().to_owned();
        if entry.is_dir() {
            pages(&entry, found);
        } else if kind == "md" || kind == "toml" {
            found.push(std::fs::read_to_string(&entry).unwrap());
        }
    }
}

#[test]
fn every_metric_that_a_page_names_is_there_by_that_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for dir in ["config", "deploy", "docs"] {
        pages(&root.join(dir), &mut found);
    }
    for page in ["CHANGELOG.md", "README.md", "SECURITY.md"] {
        found.push(std::fs::read_to_string(root.join(page)).unwrap());
    }
    let names: BTreeSet<&str> = found.iter().flat_map(|page| named_in(page)).collect();
    assert!(names.len() >= 9, "{names:?}");
    // A notifier, so that what is counted of each is there.
    let dir = tempfile::tempdir().unwrap();
    let config = example("coding", dir.path());
    let before = std::fs::read_to_string(&config).unwrap();
    let notify = "[[notify]]\nname = \"x\"\nkind = \"command\"\ncommand = [\"/bin/true\"]\n";
    std::fs::write(&config, format!("{before}{notify}")).unwrap();
    let daemon = Daemon::serve(&config, &dir.path().join("state"));
    let text = scrape(&daemon);
    let source = std::fs::read_to_string(root.join("src/api/metrics.rs")).unwrap();
    for name in names {
        let shown = text.lines().filter_map(|line| line.strip_prefix(name));
        // `hotwork_break_glass_*` stands for several.
        let mut shown = shown.filter(|rest| name.ends_with('_') || rest.starts_with([' ', '{']));
        // A counter by reasons has no line before there was one.
        let bare = name.strip_prefix("hotwork_").and_then(|bare| bare.strip_suffix("_total"));
        let counted = bare.is_some_and(|bare| source.contains(&format!("register(\"{bare}\", help, ")));
        assert!(shown.next().is_some() || counted, "{name} is named in a page, and there is none: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_locks_and_the_feed_are_shown_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let shows = |name: &str, expected: f64| {
        eventually(&format!("{name} {expected}"), || value(&daemon, name).to_bits() == expected.to_bits());
    };
    let issue = || daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let (first, _, _) = (issue(), issue(), issue());
    shows("hotwork_credentials_live", 3.0);
    shows("hotwork_revocation_subscribers", 0.0);
    let begun = value(&daemon, "hotwork_revocation_epoch");
    let mut verifier = daemon.verifier().await;
    let mut feed = watch(&mut verifier, 0).await;
    let snapshot = next(&mut feed).await;
    let subscription = snapshot.subscription;
    let acknowledge = |epoch| AcknowledgeEpochRequest { label: "test".into(), epoch, subscription };
    verifier.acknowledge_epoch(acknowledge(snapshot.epoch)).await.unwrap();
    shows("hotwork_revocation_subscribers", 1.0);
    shows("hotwork_revocation_feed_lag_seconds", 0.0);

    let id = first["credential"]["id"].as_str().unwrap();
    daemon.json(&["revoke", "--credential", id, "--reason", "r", "--yes"]);
    shows("hotwork_credentials_live", 2.0);
    assert!(value(&daemon, "hotwork_revocation_epoch") > begun);
    eventually("it is late", || value(&daemon, "hotwork_revocation_feed_lag_seconds") > 0.0);
    // By a watermark, of which the counts know nothing.
    daemon.json(&["revoke", "--action", "demo.read", "--reason", "r", "--yes"]);
    shows("hotwork_credentials_live", 0.0);
    shows("hotwork_credentials_live_at_most", 0.0);
    let newest = value(&daemon, "hotwork_revocation_epoch");
    let mut reached = snapshot.epoch;
    while (reached as f64) < newest {
        reached = next(&mut feed).await.epoch.max(reached);
    }
    verifier.acknowledge_epoch(acknowledge(reached)).await.unwrap();
    shows("hotwork_revocation_feed_lag_seconds", 0.0);
    drop((feed, verifier));
    shows("hotwork_revocation_subscribers", 0.0);

    shows("hotwork_locks", 0.0);
    daemon.json(&["lock", "create", "--action", "demo.delete", "--message", "x"]);
    shows("hotwork_locks", 1.0);
    let held = daemon.json(&["lock", "list"])["locks"][0]["id"].as_str().unwrap().to_owned();
    daemon.json(&["lock", "rm", &held]);
    shows("hotwork_locks", 0.0);
}

#[test]
fn a_review_is_shown_as_owed_from_the_end_of_its_session_until_it_is_done() {
    let scene = Scene::start();
    let shown = || {
        let count = |what: &str| value(scene.daemon(), &format!("hotwork_break_glass_{what}"));
        ["sessions_open", "reviews_owed", "reviews_overdue"].map(|what| count(what).to_string())
    };
    assert_eq!(shown(), ["0", "0", "0"]);
    let session = scene.opened("open", "node-repair");
    assert_eq!(shown(), ["1", "0", "0"]);
    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);
    assert_eq!(shown(), ["0", "1", "0"]);
    assert_eq!(scene.run(&["break-glass", "review", &session, "--finding", "fine"]).0, 0);
    assert_eq!(shown(), ["0", "0", "0"]);
}
