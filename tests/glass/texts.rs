//! Texts that the broker did not write, or not now: signed truly, and worth nothing.

use hotwork::broker::break_glass::{Act, GlassError, SignGlass};
use hotwork::domain::break_glass::GlassRefusal;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::ledger::Refusal;
use hotwork::domain::limits::{BREAK_GLASS_SESSIONS_MAX, PROPOSAL_SECONDS_MAX, PROPOSALS_PER_SIGNER_MAX};
use hotwork::domain::statement::Utc;
use hotwork::domain::time::Timestamp;
use hotwork::store::LedgerError;

use crate::site::Site;

/// The text with other values in these lines.
fn with(text: &str, lines: &[(&str, &str)]) -> String {
    let line = |line: &str| match lines.iter().find(|(key, _)| line.starts_with(&format!("{key}: "))) {
        Some((key, value)) => format!("{key}: {value}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn refusal(error: GlassError) -> GlassRefusal {
    let GlassError::Ledger(LedgerError::Refused(Refusal::BreakGlass(refusal))) = error else {
        panic!("{error:?}");
    };
    refusal
}

#[tokio::test]
async fn nobody_signs_for_another_time_than_now() {
    let site = Site::open().await;
    let text = site.text("node-repair", false).await;
    let from = Timestamp::from_seconds(site.clock.now().unwrap().seconds());
    let utc = |seconds: i64| Utc(from.plus_millis(seconds * 1000)).to_string();
    let own = text.lines().find_map(|line| line.strip_prefix("nonce: ")).unwrap();
    assert!(site.sign(&text, "carol").await.is_ok(), "what the broker wrote is good");
    let mut stored = String::new();
    for (why, before, after) in [
        ("for a second, so that it counts for a second", 0, 1),
        ("of a while ago, so that it counts for no longer", 1 - PROPOSAL_SECONDS_MAX, 1),
        ("with a nonce of their own", 0, PROPOSAL_SECONDS_MAX),
        ("for a night that is to come", 86_400, 86_400 + PROPOSAL_SECONDS_MAX),
    ] {
        for nonce in [own, "000102030405060708090a0b0c0d0e0f"] {
            let (before, after) = (utc(before), utc(after));
            stored = with(&text, &[("nonce", nonce), ("not-before", &before), ("not-after", &after)]);
            if stored != text {
                let refused = site.sign(&stored, "bob").await.unwrap_err();
                assert!(matches!(refused, GlassError::Changed), "{why}: {refused}");
            }
        }
    }
    site.clock.advance_millis(86_400_000 + 1_000);
    let refused = site.sign(&stored, "bob").await.unwrap_err();
    assert!(matches!(refused, GlassError::Changed), "nor when that night has come: {refused}");
}

#[tokio::test]
async fn a_text_that_is_over_is_refused_before_anybody_looks_at_its_signature() {
    let site = Site::open().await;
    let (text, spare) = (site.text("node-repair", false).await, site.text("node-repair", false).await);
    site.sign(&text, "bob").await.unwrap();
    let size = site.broker().ledger().status().size;
    site.clock.advance_millis(PROPOSAL_SECONDS_MAX * 1000);
    for (text, name) in [(&text, "carol"), (&text, "bob"), (&spare, "alice")] {
        let late = refusal(site.sign(text, name).await.unwrap_err());
        assert_eq!(late, GlassRefusal::Expired, "{name}");
    }
    let by = site.by("alice", hotwork::api::authz::OPEN).await;
    let forged = SignGlass { text, signature: "none".to_owned() };
    let late = site.broker().sign_break_glass(&by, Act::Open, forged).await.unwrap_err();
    assert_eq!(refusal(late), GlassRefusal::Expired);
    let ledger = site.broker().ledger();
    assert!(ledger.sessions().iter().next().is_none());
    assert_eq!(ledger.status().size, size, "nothing is recorded of them here");
}

#[tokio::test]
async fn proposals_of_one_person_stay_bounded_however_they_are_timed() {
    let site = Site::open().await;
    let mut kept = Vec::new();
    for _ in 0..PROPOSALS_PER_SIGNER_MAX {
        kept.push(site.text("node-repair", false).await);
    }
    site.clock.advance_millis(2_000);
    let next = site.text("node-repair", false).await;
    // All but the last second of their time is over.
    site.clock.advance_millis((PROPOSAL_SECONDS_MAX - 3) * 1000);
    for text in kept {
        site.sign(&text, "bob").await.unwrap();
    }
    // They have ended, and still count.
    site.clock.advance_millis(2_000);
    let refused = refusal(site.sign(&next, "bob").await.unwrap_err());
    assert!(matches!(refused, GlassRefusal::TooManyProposals(_)), "{refused}");
    assert!(site.sign(&next, "carol").await.is_ok(), "nobody else's place is taken");
}

#[tokio::test]
async fn drills_that_one_person_leaves_unreviewed_stand_in_nobody_s_way() {
    let site = Site::open().await;
    for number in 0..BREAK_GLASS_SESSIONS_MAX {
        if number % PROPOSALS_PER_SIGNER_MAX == 0 {
            site.clock.advance_millis(PROPOSAL_SECONDS_MAX * 1000);
        }
        site.opened("freeze", true, &["bob"]).await;
    }
    let text = site.text("freeze", true).await;
    let refused = refusal(site.sign(&text, "carol").await.unwrap_err());
    assert_eq!(refused, GlassRefusal::SessionsExhausted);
    site.opened("node-repair", true, &["alice", "carol"]).await;
    site.opened("node-repair", false, &["alice", "carol"]).await;
    site.opened("freeze", false, &["carol"]).await;
}

#[tokio::test]
async fn a_stolen_key_counts_no_more_once_it_has_left_the_registry() {
    let mut site = Site::open().await;
    let text = site.text("node-repair", false).await;
    site.sign(&text, "alice").await.unwrap();
    let thief = site.replace_key("alice").await;
    let second = site.sign(&text, "bob").await.unwrap();
    assert_eq!(second.session, None, "bob alone stands behind it");
    let able: Vec<_> = second.able.iter().map(ToString::to_string).collect();
    assert_eq!((second.signatures.len(), able), (1, vec!["alice".to_owned(), "carol".to_owned()]));
    let by = site.by("bob", hotwork::api::authz::OPEN).await;
    let view = site.broker().break_glass(by.operator());
    assert_eq!((view.proposals[0].signatures.len(), view.proposals[0].able.len()), (1, 2));
    let old = site.signed_with(&text, &thief);
    let refused = site.broker().sign_break_glass(&by, Act::Open, old).await.unwrap_err();
    assert!(matches!(refused, GlassError::Signature(_)), "{refused}");
    assert!(site.sign(&text, "alice").await.unwrap().session.is_some(), "with her new one she is the second");
}
