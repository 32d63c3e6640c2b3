//! A review that nobody has done is seen: in `status`, in the metrics, and by whoever opens the same playbook again.

use hotwork::clock::SystemClock;
use hotwork::domain::clock::Clock as _;
use hotwork::proto::v1::prepare_request::Asks;
use hotwork::proto::v1::{PrepareOpening, PrepareResponse, SessionState};
use serde_json::{Value, json};

use crate::later::Later;
use crate::scene::Scene;
use crate::support::{http, text};

const OPEN: [&str; 7] =
    ["break-glass", "open", "node-repair", "--reason", "n1 does not drain", "--ticket", "INC-8"];
const DAY_MS: i64 = 86_400_000;

fn drill() -> Vec<&'static str> {
    OPEN.iter().map(|word| if *word == "open" { "drill" } else { word }).collect()
}

#[test]
fn whoever_opens_again_is_told_which_review_is_owed_and_why_one_more_signs() {
    let scene = Scene::start();
    assert_eq!(scene.daemon().json(&OPEN)["unreviewed"], json!([]), "nothing is owed yet");
    let session = scene.opened("open", "node-repair");
    let said = text(&scene.daemon().hotwork(&OPEN));
    assert!(said.contains(&format!("session {session} (INC-7) of this playbook is still open")), "{said}");
    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);

    let prepared = scene.daemon().json(&OPEN);
    let owed = &prepared["unreviewed"][0];
    assert_eq!((&owed["id"], &owed["state"]), (&json!(session), &json!("SESSION_STATE_REVIEW_OWED")));
    assert_eq!((&prepared["signersNeeded"], &prepared["signersMore"]), (&json!(3), &json!(1)));
    let said = text(&scene.daemon().hotwork(&OPEN));
    assert!(said.contains("3 people must sign"), "{said}");
    for part in ["the review of session", "is owed", "one more person must sign"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains(&format!("hotwork break-glass review {session} --finding TEXT")), "{said}");
    // A drill is told of it, and needs nobody more.
    let drilled = scene.daemon().json(&drill());
    assert_eq!((&drilled["signersNeeded"], &drilled["signersMore"]), (&json!(2), &json!(0)));
    assert_eq!(drilled["unreviewed"][0]["id"], json!(session));
    assert!(!text(&scene.daemon().hotwork(&drill())).contains("one more person"));
    // Another playbook is none of it.
    let freeze = ["break-glass", "open", "freeze", "--reason", "r", "--ticket", "INC-8"];
    assert_eq!(scene.daemon().json(&freeze)["unreviewed"], json!([]));

    // Those who sign are told, too, until enough have.
    let statement = scene.text("open", "node-repair");
    for (key, more) in [(&scene.bob, 1), (&scene.carol, 1), (&scene.alice[0], 1)] {
        let (exit, answer) = scene.sign(&statement, key);
        assert_eq!(exit, 0, "{answer}");
        let progress = &answer["progress"];
        assert_eq!(
            (&progress["signersMore"], &progress["signersNeeded"]),
            (&json!(more), &json!(3)),
            "{answer}"
        );
        let all: Vec<&Value> =
            progress["unreviewed"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
        assert_eq!(all, [&json!(session)], "not the one that it opened: {answer}");
    }
}

impl Later {
    /// What `status` and the metrics say of reviews that are overdue.
    fn overdue(&self) -> (bool, String) {
        let metrics = http(&format!("http://{}", self.bound.ops.unwrap()), "GET", "/metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix("hotwork_break_glass_reviews_overdue "));
        (self.hotwork(&["status"]).contains("OVERDUE"), line.unwrap().to_owned())
    }

    async fn prepare_again(&self) -> PrepareResponse {
        let opening = PrepareOpening {
            playbook: "node-repair".into(),
            reason: "again".into(),
            ticket: "INC-9".into(),
            ..PrepareOpening::default()
        };
        self.prepare(Asks::Opening(opening)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_overdue_review_is_in_status_in_the_metrics_and_at_the_next_opening() {
    let mut scene = Scene::start();
    let session = scene.opened("open", "node-repair");
    scene.kill();
    let later = Later::start(scene.dir.path(), 2 * DAY_MS).await;
    assert_eq!(later.overdue(), (false, "0".to_owned()), "it has three days");
    assert_eq!(later.prepare_again().await.unreviewed[0].state(), SessionState::ReviewOwed);
    later.clock.advance_millis(2 * DAY_MS);
    assert_eq!(later.overdue(), (true, "1".to_owned()));
    let prepared = later.prepare_again().await;
    let owed = &prepared.unreviewed[0];
    assert_eq!((owed.state(), &owed.id), (SessionState::ReviewOverdue, &session));
    assert_eq!((prepared.signers_needed, prepared.signers_more), (3, 1));
    assert_eq!(prepared.clock_doubted_since, None);
    let review = later.hotwork(&["break-glass", "review", &session, "--finding", "fine"]);
    assert!(review.contains("reviewed"), "{review}");
    assert_eq!(later.overdue(), (false, "0".to_owned()));
    let prepared = later.prepare_again().await;
    assert_eq!((prepared.unreviewed.len(), prepared.signers_needed, prepared.signers_more), (0, 2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_prepares_on_a_clock_that_is_doubted_is_told_of_the_newest_entry() {
    let mut scene = Scene::start();
    scene.kill();
    let later = Later::start(scene.dir.path(), 100 * DAY_MS).await;
    let newest = later.prepare_again().await.clock_doubted_since.unwrap();
    let now = SystemClock::new().now().unwrap().seconds();
    assert!((now - 600..=now).contains(&newest.seconds), "{newest:?}, {now}");
    let list = later.hotwork(&["break-glass", "list", "-o", "json"]);
    assert!(list.contains("clockDoubtedSince"), "{list}");
}
