//! Who ends a session, and who looks at what was done.

use hotwork::api::authz;
use hotwork::broker::break_glass::GlassError;
use hotwork::broker::operate::{Caller, OperateError, Requirement};
use hotwork::domain::break_glass::GlassRefusal;
use hotwork::domain::entry::{Entry, Event};
use hotwork::domain::id::Lineage;
use hotwork::domain::ledger::Refusal;
use hotwork::store::LedgerError;

use crate::site::Site;

/// What comes of a person's closing or review: nothing, or why not.
async fn tried(site: &Site, name: &str, row: Requirement, session: Lineage) -> Option<String> {
    let caller = Caller::Certificate(name.parse().unwrap());
    let by = match site.broker().authorize(&caller, row).await {
        Ok(by) => by,
        Err(OperateError::Role { .. }) => return Some("role".to_owned()),
        Err(other) => panic!("{other}"),
    };
    let text = "as the ticket says".parse().unwrap();
    let done = if row == authz::CLOSE {
        site.broker().close_session(&by, session, text).await
    } else {
        site.broker().review_session(&by, session, text).await
    };
    match done {
        Ok(_) => None,
        Err(GlassError::Ledger(LedgerError::Refused(Refusal::BreakGlass(refusal)))) => {
            Some(refusal.to_string())
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn no_one_person_shuts_a_playbook_for_good_by_closing_and_not_reviewing() {
    let mut site = Site::open().await;
    let session = site.opened("node-repair", false, &["alice", "bob"]).await;
    // The only responder who did not sign closes at once, and has no mind to review.
    assert_eq!(tried(&site, "carol", authz::CLOSE, session).await, None);
    for signer in ["alice", "bob"] {
        let own = GlassRefusal::OwnReview(signer.parse().unwrap()).to_string();
        assert_eq!(tried(&site, signer, authz::REVIEW, session).await, Some(own));
    }
    // A revoker looks at nothing; an admin who signed nothing does, and the next opening takes two again.
    assert_eq!(tried(&site, "ruth", authz::REVIEW, session).await.as_deref(), Some("role"));
    assert_eq!(tried(&site, "sam", authz::REVIEW, session).await, None);
    let again = site.opened("node-repair", false, &["alice", "bob"]).await;
    // Who may end it: who may sign for its playbook, and revokers.
    site.named("responders = [\"alice\", \"bob\"]").await;
    let stranger = GlassRefusal::NotResponder("carol".parse().unwrap()).to_string();
    assert_eq!(tried(&site, "carol", authz::CLOSE, again).await, Some(stranger));
    assert_eq!(tried(&site, "sam", authz::CLOSE, again).await.as_deref(), Some("role"));
    assert_eq!(tried(&site, "ruth", authz::CLOSE, again).await, None);
    assert_eq!(
        tried(&site, "carol", authz::REVIEW, again).await,
        None,
        "a responder of other playbooks reviews"
    );
}

#[tokio::test]
async fn an_operator_of_one_tenant_is_in_the_log_as_refused_where_it_takes_one_of_all() {
    let site = Site::open().await;
    let file = site.dir.path().join("config/operators.toml");
    let tess = "[[operator]]\nname = \"tess\"\nroles = [\"admin\", \"viewer\"]\ntenants = [\"default\"]\n";
    let text = std::fs::read_to_string(&file).unwrap() + tess;
    std::fs::write(&file, text).unwrap();
    site.broker().reload(None).await.unwrap();
    let caller = Caller::Certificate("tess".parse().unwrap());
    let ledger = site.broker().ledger();
    let rows = authz::TABLE.iter().filter(|row| row.every_tenant.is_some());
    for row in rows.clone() {
        let refused = site.broker().authorize(&caller, *row).await.unwrap_err();
        assert!(matches!(refused, OperateError::Scope(_)), "{}: {refused}", row.rpc);
        let newest = ledger.status().size - 1;
        let json = site.broker().read(move |reader| reader.entry(newest)).await.unwrap().unwrap();
        let Event::Call(call) = Entry::from_json(&json).unwrap().event else { panic!("{}", row.rpc) };
        assert_eq!((call.allowed, &*call.rpc, call.operator.as_str()), (false, row.rpc, "tess"));
        assert!(site.broker().authorize(&Caller::Certificate("alice".parse().unwrap()), *row).await.is_ok());
    }
    assert!(rows.count() >= 5 && site.broker().authorize(&caller, authz::LIST_AGENTS).await.is_ok());
}
