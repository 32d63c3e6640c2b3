//! Certificates of identities, one by one.

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn operator(name: &str) -> Enrolled {
    Enrolled::Operator(name.parse().unwrap())
}

fn enrollment(who: &Enrolled, serial: u8) -> Enrollment {
    Enrollment {
        content: Digest::of(b"content"),
        evidence: None,
        expires: Timestamp::from_seconds(2_000),
        issued: NOW,
        operator: "root".parse().ok(),
        serial: Serial::new([serial; 16]),
        spki: Digest::of(b"key"),
        who: who.clone(),
    }
}

fn unenroll(who: &Enrolled, serial: Option<Serial>) -> Unenroll {
    let (operator, reason) = ("root".parse().unwrap(), "left".parse().unwrap());
    Unenroll { operator, reason, serial, who: who.clone() }
}

fn with(list: &[Enrollment]) -> Enrollments {
    let mut all = Enrollments::default();
    list.iter().for_each(|one| all.apply(&Event::Enroll(one.clone()), NOW));
    all
}

#[test]
fn a_certificate_is_good_for_its_own_holder_until_its_end() {
    let (alice, bob) = (operator("alice"), operator("bob"));
    let all = with(&[enrollment(&alice, 1)]);
    let serial = Serial::new([1; 16]);
    assert!(all.holds(&serial, &alice, NOW));
    assert!(!all.holds(&serial, &bob, NOW));
    assert!(!all.holds(&serial, &Enrolled::Verifier("alice".parse().unwrap()), NOW));
    assert!(!all.holds(&Serial::new([2; 16]), &alice, NOW));
    assert!(!all.holds(&serial, &alice, Timestamp::from_seconds(2_000)));
}

#[test]
fn a_record_of_before_is_read_and_written_as_it_was() {
    let old = enrollment(&operator("alice"), 1);
    let text = serde_json::to_string(&old).unwrap();
    assert!(text.contains(r#""operator":"root""#) && !text.contains("evidence"), "{text}");
    assert_eq!(serde_json::from_str::<Enrollment>(&text).unwrap(), old);
}

#[test]
fn a_removal_ends_all_of_a_name_or_the_one_and_nobody_elses() {
    let (alice, bob) = (operator("alice"), operator("bob"));
    let [first, second, other] = [enrollment(&alice, 1), enrollment(&alice, 2), enrollment(&bob, 3)];
    let mut all = with(&[first.clone(), second.clone(), other.clone()]);
    let one = all.removal(unenroll(&alice, Some(first.serial)), NOW).unwrap();
    assert_eq!((one.ended, one.expires), (1, first.expires));
    all.apply(&Event::Remove(one), NOW);
    assert!(!all.holds(&first.serial, &alice, NOW) && all.holds(&second.serial, &alice, NOW));
    all.apply(&Event::Remove(all.removal(unenroll(&alice, None), NOW).unwrap()), NOW);
    assert!(!all.holds(&second.serial, &alice, NOW) && all.holds(&other.serial, &bob, NOW));
    assert_eq!(all.removal(unenroll(&alice, None), NOW), Err(EnrollRefusal::Unknown));
    assert_eq!(all.removal(unenroll(&bob, Some(first.serial)), NOW), Err(EnrollRefusal::Unknown));
}

#[test]
fn what_was_removed_is_remembered_until_its_end_and_its_serial_is_not_taken_again() {
    let alice = operator("alice");
    let mut all = with(&[enrollment(&alice, 1), enrollment(&alice, 2)]);
    let removal = all.removal(unenroll(&alice, Some(Serial::new([1; 16]))), NOW).unwrap();
    all.apply(&Event::Remove(removal), NOW);
    let expected = Removed { expires: Timestamp::from_seconds(2_000), time: NOW };
    assert_eq!(all.removed().iter().collect::<Vec<_>>(), [(&Serial::new([1; 16]), &expected)]);
    assert_eq!(all.changes(), 1);
    assert_eq!(all.admit(&enrollment(&alice, 1), NOW), Err(EnrollRefusal::Exhausted));
    all.forget(Timestamp::from_seconds(1_999));
    assert_eq!((all.removed().len(), all.changes()), (1, 1));
    assert!(all.has_ended(Timestamp::from_seconds(2_000)));
    all.forget(Timestamp::from_seconds(2_000));
    assert_eq!((all.removed().len(), all.changes()), (0, 2));
}

#[test]
fn what_is_remembered_is_bounded_by_what_may_be_enrolled() {
    let mut all = Enrollments::default();
    let removed = Removed { expires: Timestamp::from_seconds(2_000), time: NOW };
    let serial = |at: usize| Serial::new(u128::try_from(at + 1000).unwrap().to_be_bytes());
    all.removed = (1..ENROLLMENTS_REMEMBERED_MAX).map(|at| (serial(at), removed)).collect();
    let alice = operator("alice");
    assert_eq!(all.admit(&enrollment(&alice, 1), NOW), Ok(()));
    all.apply(&Event::Enroll(enrollment(&alice, 1)), NOW);
    assert_eq!(all.admit(&enrollment(&alice, 2), NOW), Err(EnrollRefusal::Exhausted));
    all.apply(&Event::Remove(all.removal(unenroll(&alice, None), NOW).unwrap()), NOW);
    assert_eq!(all.removed().len(), ENROLLMENTS_REMEMBERED_MAX);
}

#[test]
fn certificates_of_one_name_are_bounded_and_ended_ones_do_not_count() {
    let alice = operator("alice");
    let list: Vec<_> = (0..16).map(|at| enrollment(&alice, at)).collect();
    let all = with(list.get(..15).unwrap());
    assert_eq!(all.admit(&enrollment(&alice, 99), NOW), Ok(()));
    assert_eq!(all.admit(&enrollment(&alice, 3), NOW), Err(EnrollRefusal::Exhausted), "the serial again");
    let all = with(&list);
    assert_eq!(all.admit(&enrollment(&alice, 99), NOW), Err(EnrollRefusal::Exhausted));
    assert_eq!(all.admit(&enrollment(&operator("bob"), 99), NOW), Ok(()));
    assert_eq!(all.admit(&enrollment(&alice, 99), Timestamp::from_seconds(2_000)), Ok(()));
}

#[test]
fn agents_leave_places_for_operators_and_verifiers() {
    let agent = |at: usize| -> Enrolled {
        Enrolled::Agent(format!("spiffe://example.org/tenant/t/agent/a{at}").parse().unwrap())
    };
    let mut all = Enrollments::default();
    for at in 0..AGENT_CERTIFICATES_MAX {
        let serial = Serial::new(u128::try_from(at + 1000).unwrap().to_be_bytes());
        all.apply(&Event::Enroll(Enrollment { serial, ..enrollment(&agent(at), 1) }), NOW);
    }
    assert_eq!(all.admit(&enrollment(&agent(1_000_000), 1), NOW), Err(EnrollRefusal::Exhausted));
    assert_eq!(all.admit(&enrollment(&operator("alice"), 1), NOW), Ok(()));
}

#[test]
fn only_the_two_kinds_of_path_are_somebody() {
    assert_eq!(Enrolled::from_path("operator/alice"), Some(operator("alice")));
    for bad in [
        "operator",
        "operator/",
        "operator/a/b",
        "operator/..",
        "agent/a",
        "agent/t/a",
        "tenant/t/agent/a",
        "action/a",
        "",
        "/operator/a",
    ] {
        assert_eq!(Enrolled::from_path(bad), None, "{bad}");
    }
    let id = operator("alice").spiffe_id(&"example.org".parse().unwrap());
    assert_eq!(id, "spiffe://example.org/operator/alice");
    let agent = Enrolled::Agent("spiffe://example.org/tenant/t/agent/edge".parse().unwrap());
    assert_eq!(agent.spiffe_id(&"example.org".parse().unwrap()), "spiffe://example.org/tenant/t/agent/edge");
    assert_eq!(
        (agent.to_string().as_str(), agent.name()),
        ("agent/t/edge", "spiffe://example.org/tenant/t/agent/edge")
    );
}
