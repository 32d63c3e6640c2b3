//! Every kind of notice is told, and says nothing that has to stay here.

use super::*;
use crate::domain::entry::{Start, VERSION};
use crate::domain::time::Timestamp;

#[test]
fn every_kind_can_be_asked_for_by_its_word_and_says_something() {
    let mut kinds: Vec<&str> = one_of_each().iter().map(|notice| notice.kind().as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, Kind::ALL);
    for notice in one_of_each() {
        assert_eq!(notice.kind().as_str().parse(), Ok(notice.kind()));
        assert!(!notice.summary().is_empty() && notice.details().is_object());
    }
    assert!("everything".parse::<Kind>().unwrap_err().contains("`ledger-stopped`"));
}

#[test]
fn the_pages_name_every_kind() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["config/hotworkd.toml", "docs/operations/notifiers.md"] {
        let page = std::fs::read_to_string(root.join(page)).unwrap();
        let words: Vec<&str> = page
            .split(|at: char| !at.is_ascii_lowercase() && at != '-')
            .filter(|word| !word.is_empty())
            .collect();
        for kind in Kind::ALL {
            assert!(words.contains(&kind), "{kind}");
        }
    }
}

#[test]
fn what_hits_everything_is_an_emergency() {
    let operator: OperatorName = "ann".parse().unwrap();
    let locked = |selector| Notice::Locked { operator: operator.clone(), selector }.severity();
    assert_eq!(locked(Selector::All), Severity::Critical);
    assert_eq!(locked(Selector::Tenant("acme".parse().unwrap())), Severity::Warning);
}

#[test]
fn evidence_stays_here() {
    let fact = crate::domain::evidence::Selector {
        kind: "unix.exe_sha256".parse().unwrap(),
        value: "secret-digest".into(),
    };
    let notice = Notice::Locked { operator: "ann".parse().unwrap(), selector: Selector::Attested(fact) };
    let told = format!("{} {}", notice.summary(), notice.details());
    assert!(told.contains("unix.exe_sha256") && !told.contains("secret-digest"), "{told}");
}

#[test]
fn a_notable_entry_has_a_notice_and_no_other_has() {
    let entry = |event| Entry { event, time: Timestamp::from_millis(1), v: VERSION };
    let start = entry(Event::Start(Start { dev: true, version: "1".to_owned() }));
    assert!(start.event.is_notable() && Notice::of(&start).is_some());
    let call = crate::domain::entry::Call {
        allowed: false,
        operator: "ann".parse().unwrap(),
        reason: None,
        rpc: "x".to_owned(),
        statement: None,
    };
    let call = entry(Event::Call(call));
    assert!(!call.event.is_notable() && Notice::of(&call).is_none());
}
