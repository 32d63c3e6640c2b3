//! The rules of approvals, one by one, and over random histories.

use proptest::prelude::*;

use super::*;
use crate::domain::fixture::{START, asked, issued_on, vote};
use crate::domain::limits::{
    APPROVAL_COOL_DOWN_MS, APPROVALS_BUT_FOR_THE_KEY_MAX, APPROVALS_PENDING_PER_AGENT_MAX,
    APPROVALS_PER_TENANT_MAX,
};

fn book(requests: &[Asked]) -> Approvals {
    let mut book = Approvals::default();
    for one in requests {
        assert_eq!(book.admit(one, START), Ok(()));
        book.apply_asked(one, START, 0);
    }
    book
}

fn cast(book: &mut Approvals, vote: &Vote, now: Timestamp) -> Result<(), ApprovalRefusal> {
    book.vote(vote, now)?;
    book.apply_vote(vote, now);
    Ok(())
}

fn state(book: &Approvals, one: &Asked, now: Timestamp) -> State {
    book.get(one.id).unwrap().state(now)
}

#[test]
fn people_are_counted_and_not_their_votes() {
    let one = asked("a", 1, 2);
    let mut book = book(std::slice::from_ref(&one));
    assert_eq!(state(&book, &one, START), State::Pending);
    assert_eq!(cast(&mut book, &vote(&one, "alice", Verdict::Approve), START), Ok(()));
    let other_key = Vote {
        fingerprint: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".parse().unwrap(),
        ..vote(&one, "alice", Verdict::Approve)
    };
    assert_eq!(cast(&mut book, &other_key, START), Err(ApprovalRefusal::Repeated));
    // Even a book that had it twice counts one person.
    book.apply_vote(&other_key, START);
    assert_eq!(state(&book, &one, START), State::Pending);
    assert_eq!(cast(&mut book, &vote(&one, "bob", Verdict::Approve), START), Ok(()));
    assert_eq!(state(&book, &one, START), State::Approved);
}

#[test]
fn a_new_key_for_each_try_does_not_fill_the_operators_list() {
    let with_key = |number: u8| {
        let same = asked("a", 1, 1);
        let terms = Terms { holder: Digest::of(&[number]), ..same.terms.clone() };
        let id = ApprovalId::new(START, &[number; 10]);
        Asked { id, request: Digest::of(&[number]), terms, ..same }
    };
    let all: Vec<Asked> = (0..4).map(with_key).collect();
    let mut book = book(&all[..APPROVALS_BUT_FOR_THE_KEY_MAX]);
    assert_eq!(book.admit(&all[3], START), Err(ApprovalRefusal::Exhausted));
    assert_eq!(book.admit(&all[1], START), Err(ApprovalRefusal::Joined(all[1].id)), "the same key is joined");
    assert_eq!(book.admit(&asked("a", 9, 1), START), Ok(()), "another request is another one");
    cast(&mut book, &vote(&all[0], "bob", Verdict::Deny), START).unwrap();
    let later = START.plus_millis(APPROVAL_COOL_DOWN_MS);
    assert_eq!(book.admit(&all[3], later), Ok(()), "a decided one makes room");
}

#[test]
fn the_owner_alone_does_not_approve_what_can_not_be_put_back() {
    let owner = |one: &Asked| Vote { owner: true, ..vote(one, "olga", Verdict::Approve) };
    let write = asked("a", 1, 1);
    let destructive = Asked { access: Access::Destructive, ..asked("b", 2, 1) };
    let mut book = book(&[write.clone(), destructive.clone()]);
    cast(&mut book, &owner(&write), START).unwrap();
    cast(&mut book, &owner(&destructive), START).unwrap();
    assert_eq!(state(&book, &write, START), State::Approved);
    assert_eq!(state(&book, &destructive, START), State::Pending);
    cast(&mut book, &vote(&destructive, "bob", Verdict::Approve), START).unwrap();
    assert_eq!(state(&book, &destructive, START), State::Approved);
}

#[test]
fn one_no_is_enough_also_after_a_yes_and_the_agent_waits() {
    let one = asked("a", 1, 1);
    let mut book = book(std::slice::from_ref(&one));
    cast(&mut book, &vote(&one, "alice", Verdict::Approve), START).unwrap();
    cast(&mut book, &vote(&one, "bob", Verdict::Deny), START).unwrap();
    assert_eq!(state(&book, &one, START), State::Denied);
    let refused = ApprovalRefusal::Decided(State::Denied);
    assert_eq!(book.redeem(&issued_on(&one), START), Err(refused));
    assert_eq!(book.vote(&vote(&one, "carol", Verdict::Approve), START), Err(refused));
    let again = asked("a", 9, 1);
    let end = START.plus_millis(APPROVAL_COOL_DOWN_MS);
    assert_eq!(book.admit(&again, end.plus_millis(-1)), Err(ApprovalRefusal::CoolingDown));
    assert_eq!(book.admit(&again, end), Ok(()));
    assert_eq!(book.admit(&asked("b", 9, 1), START), Ok(()), "others do not wait");
}

#[test]
fn the_same_request_is_the_same_one_until_it_is_used() {
    let one = asked("a", 1, 1);
    let mut book = book(std::slice::from_ref(&one));
    let again = Asked { id: asked("a", 7, 1).id, nonce: Nonce::new([9; 16]), ..one.clone() };
    assert_eq!(book.admit(&again, START), Err(ApprovalRefusal::Joined(one.id)));
    cast(&mut book, &vote(&one, "alice", Verdict::Approve), START).unwrap();
    assert_eq!(book.admit(&again, START), Err(ApprovalRefusal::Joined(one.id)));
    book.apply_issue(&issued_on(&one));
    assert_eq!(book.admit(&again, START), Ok(()));
}

#[test]
fn requests_are_bounded_at_n_and_refused_at_n_plus_one() {
    let count = u8::try_from(APPROVALS_PENDING_PER_AGENT_MAX).unwrap();
    let requests: Vec<Asked> = (0..count).map(|n| asked("a", n, 1)).collect();
    let mut book = book(&requests);
    assert_eq!(book.admit(&asked("a", count, 1), START), Err(ApprovalRefusal::Exhausted));
    assert_eq!(book.admit(&asked("b", count, 1), START), Ok(()), "one agent does not keep others out");
    for n in 0..APPROVALS_PER_TENANT_MAX {
        let one = asked(&format!("x{n}"), 1, 1);
        let id = ApprovalId::new(START, &(n as u128).to_be_bytes()[6..].try_into().unwrap());
        book.apply_asked(&Asked { id, ..one }, START, 0);
    }
    assert_eq!(book.admit(&asked("b", count, 1), START), Err(ApprovalRefusal::Exhausted));
}

#[test]
fn nothing_is_decided_or_used_after_the_end() {
    let one = asked("a", 1, 1);
    let mut book = book(std::slice::from_ref(&one));
    cast(&mut book, &vote(&one, "alice", Verdict::Approve), one.expires.plus_millis(-1)).unwrap();
    assert_eq!(book.redeem(&issued_on(&one), one.expires.plus_millis(-1)), Ok(()));
    let over = ApprovalRefusal::Decided(State::Expired);
    assert_eq!(book.redeem(&issued_on(&one), one.expires), Err(over));
    assert_eq!(book.vote(&vote(&one, "bob", Verdict::Approve), one.expires), Err(over));
    assert!(!book.has_ended(one.expires.plus_millis(-1)) && book.has_ended(one.expires));
    book.forget(one.expires);
    assert_eq!(book, Approvals::default());
}

#[test]
fn a_credential_is_what_was_approved_or_nothing() {
    let one = asked("a", 1, 1);
    let good = issued_on(&one);
    let mut book = book(std::slice::from_ref(&one));
    let pending = ApprovalRefusal::Decided(State::Pending);
    assert_eq!(book.redeem(&good, START), Err(pending));
    cast(&mut book, &vote(&one, "alice", Verdict::Approve), START).unwrap();
    assert_eq!(book.redeem(&good, START), Ok(()));
    let changes: [fn(&mut Issuance); 11] = [
        |it| it.action = "demo.write".parse().unwrap(),
        |it| it.agent = "spiffe://td/tenant/t/agent/other".parse().unwrap(),
        |it| it.args = Some(Digest::of(b"x")),
        |it| it.audience = "https://other.example".parse().unwrap(),
        |it| it.single_use = true,
        |it| it.cnf.jkt = Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap()),
        |it| it.kind = Kind::Certificate,
        |it| it.parameters.clear(),
        |it| it.principal = "somebody".into(),
        |it| it.resource = "demo/other".parse().unwrap(),
        |it| it.expires = it.expires.plus_millis(1_000),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = good.clone();
        change(&mut other);
        assert_eq!(book.redeem(&other, START), Err(ApprovalRefusal::Mismatch), "{number}");
    }
    let shorter = Issuance { expires: good.expires.plus_millis(-1_000), ..good.clone() };
    assert_eq!(book.redeem(&shorter, START), Ok(()));
    let none = Issuance { approval: None, ..good.clone() };
    assert_eq!(book.redeem(&none, START), Err(ApprovalRefusal::Unknown));
    book.apply_issue(&good);
    assert_eq!(book.redeem(&good, START), Err(ApprovalRefusal::Decided(State::Used)));
}

#[test]
fn the_statement_says_what_is_asked_and_who_decides() {
    let one = asked("a", 1, 2);
    let statement =
        one.statement(&"td".parse().unwrap(), Verdict::Approve, &"alice".parse().unwrap(), None).unwrap();
    for (key, value) in [
        ("trust-domain", "td"),
        ("decision", "approve"),
        ("operator", "alice"),
        ("request", &one.id.to_string()),
        ("agent", "spiffe://td/tenant/t/agent/a"),
        ("action", "demo.read"),
        ("resource", "demo/hello"),
        ("parameter.amount", "7"),
        ("approvals-needed", "2"),
        ("lifetime", "120 s"),
        ("owner", "team \\u{e9}"),
        ("request-sha256", &one.request.to_string()),
    ] {
        assert_eq!(statement.value(key), Some(value), "{key}");
    }
    // Every field that is decided on is in the digest.
    let digests = [
        Terms { resource: "demo/other".parse().unwrap(), ..one.terms.clone() }.digest(),
        Terms { ttl: Ttl::MAX, ..one.terms.clone() }.digest(),
        Terms { kind: Kind::Certificate, ..one.terms.clone() }.digest(),
        Terms { parameters: Vec::new(), ..one.terms.clone() }.digest(),
        Terms { calls: NonZeroU32::new(1), ..one.terms.clone() }.digest(),
    ];
    assert!(!digests.contains(&one.request));
}

#[test]
fn who_asked_does_not_decide() {
    let one = asked("a", 1, 1);
    let operator = |uid, aliases: &[&str]| Operator {
        name: "alice".parse().unwrap(),
        uid,
        roles: Vec::new(),
        tenants: Vec::new(),
        ssh_keys: Vec::new(),
        own: vec![Selector::new("unix.uid", "1002").unwrap()],
        aliases: aliases.iter().map(|alias| Arc::from(*alias)).collect(),
    };
    assert_eq!(one.part_of(&operator(Some(1001), &[])), Part::Independent);
    assert_eq!(one.part_of(&operator(Some(1000), &[])), Part::Requester);
    assert_eq!(one.part_of(&operator(None, &["a"])), Part::Requester, "the principal");
    for (kind, value, part) in [
        ("unix.uid", "1002", Part::Requester),
        ("unix.gid", "1002", Part::Independent),
        ("x509.spiffe_id", "spiffe://td/host/1", Part::Independent),
        ("x509.spiffe_id", "spiffe://td/ann", Part::Requester),
    ] {
        let asked = Asked { attested: vec![Selector::new(kind, value).unwrap()], ..one.clone() };
        let mut operator = operator(Some(1001), &[]);
        operator.own.push(Selector::new("x509.spiffe_id", "spiffe://td/ann").unwrap());
        assert_eq!(asked.part_of(&operator), part, "{kind} {value}");
    }
    assert_eq!(one.part_of(&operator(None, &["team \u{e9}"])), Part::Owner);
    assert_eq!(one.part_of(&operator(None, &["nobody", "team"])), Part::Independent);
}

proptest! {
    /// Whatever happens in whatever order: at most one use, only after enough people said yes and nobody no.
    #[test]
    fn no_history_uses_twice_or_without_enough(
        needed in 1_u8..4,
        steps in proptest::collection::vec((0_u8..4, 0_u8..4, 0_i64..2_000_000), 1..40),
    ) {
        let one = asked("a", 1, needed);
        let mut book = book(std::slice::from_ref(&one));
        let (mut uses, mut yes, mut no, mut now) = (0, Vec::new(), false, START);
        for (what, who, later) in steps {
            now = now.plus_millis(later);
            let name = ["alice", "bob", "carol", "dave"][usize::from(who)];
            match what {
                0 | 1 => {
                    let verdict = if what == 0 && later % 7 == 0 { Verdict::Deny } else { Verdict::Approve };
                    if cast(&mut book, &vote(&one, name, verdict), now).is_ok() {
                        no |= verdict == Verdict::Deny;
                        if verdict == Verdict::Approve && !yes.contains(&name) { yes.push(name); }
                    }
                }
                2 => {
                    let issuance = issued_on(&one);
                    if book.redeem(&issuance, now).is_ok() {
                        prop_assert!(!no && yes.len() >= usize::from(needed) && now < one.expires);
                        uses += 1;
                        book.apply_issue(&issuance);
                    }
                }
                _ => book.forget(now),
            }
            prop_assert!(uses <= 1);
        }
    }
}
