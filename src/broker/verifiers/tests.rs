//! Who follows, who is away, and who has acknowledged.

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_763_900_000);
/// The time that the tests' verifiers are waited for, by a clock that the tests hold.
const WAIT: Duration = Duration::from_secs(5);

fn id(name: &str) -> VerifierId {
    VerifierId { identity: name.into(), label: None }
}

fn labelled(name: &str, label: &str) -> VerifierId {
    VerifierId { label: Some(label.parse().unwrap()), ..id(name) }
}

fn names(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

fn verifiers(enrolled: &[&str]) -> Arc<Verifiers> {
    let verifiers = Verifiers::new(names(enrolled), 0);
    verifiers.open();
    Arc::new(verifiers)
}

/// Those of a broker that started so long ago that everybody is back.
async fn settled() -> Arc<Verifiers> {
    let verifiers = verifiers(&[]);
    tokio::time::advance(RETURN).await;
    verifiers
}

fn follow(verifiers: &Arc<Verifiers>, id: &VerifierId, instance: u64) -> Subscription {
    verifiers.connect(id.clone(), Instance::new(instance).unwrap(), NOW).unwrap()
}

fn refused(verifiers: &Arc<Verifiers>, id: &VerifierId) -> VerifierError {
    verifiers.connect(id.clone(), Instance::MIN, NOW).unwrap_err()
}

fn all(verifiers: &Verifiers) -> Vec<VerifierView> {
    verifiers.list(BTreeSet::new(), NOW)
}

fn view(verifiers: &Verifiers, of: &VerifierId) -> VerifierView {
    all(verifiers).into_iter().find(|view| view.id == *of).unwrap()
}

/// Names, streams, and instances that are away.
fn shown(views: &[VerifierView]) -> Vec<(&str, usize, usize)> {
    let row = |view: &VerifierView| (view.streams, view.away.map_or(0, |away| away.instances));
    views.iter().map(|view| (&*view.id.identity, row(view).0, row(view).1)).collect()
}

/// Begins to wait, in a task.
async fn waiting(verifiers: &Arc<Verifiers>, epoch: u64) -> tokio::task::JoinHandle<Vec<VerifierView>> {
    let verifiers = Arc::clone(verifiers);
    let task = tokio::spawn(async move { verifiers.reached(epoch, WAIT, || NOW).await });
    settle().await;
    task
}

/// Lets the tasks go on until they wait.
async fn settle() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_acknowledgement_needs_a_subscription_and_an_epoch_that_exists_and_never_goes_back() {
    let verifiers = verifiers(&[]);
    let a = id("a");
    assert_eq!(verifiers.acknowledge(&a, 1, 1, 5, NOW), Err(VerifierError::Unknown));
    let subscription = follow(&verifiers, &a, 1);
    assert_eq!(verifiers.acknowledge(&a, 0, 1, 5, NOW), Err(VerifierError::Unknown));
    assert_eq!(verifiers.acknowledge(&a, 1, 6, 5, NOW), Err(VerifierError::Ahead(6)));
    verifiers.acknowledge(&a, 1, 5, 5, NOW).unwrap();
    verifiers.acknowledge(&a, 1, 3, 5, NOW.plus_millis(9)).unwrap();
    assert_eq!(view(&verifiers, &a).acknowledged, Some((5, NOW)));
    drop(subscription);
    assert_eq!(view(&verifiers, &a).streams, 0);
    assert_eq!(verifiers.acknowledge(&a, 1, 5, 5, NOW), Err(VerifierError::Unknown));
}

#[test]
fn no_verifier_takes_more_than_its_share() {
    let verifiers = verifiers(&[]);
    let most = SUBSCRIBERS_PER_VERIFIER_MAX as u64;
    let _held: Vec<_> = (1..=most).map(|n| follow(&verifiers, &id("a"), n)).collect();
    assert_eq!(refused(&verifiers, &id("a")), VerifierError::Full);
    assert_eq!(refused(&verifiers, &labelled("a", "other")), VerifierError::Full);
    follow(&verifiers, &id("b"), 1);
}

#[test]
fn subscribers_are_bounded_at_n_and_refused_at_n_plus_one() {
    let verifiers = verifiers(&[]);
    let share = |at: usize| id(&format!("of-{}", at / SUBSCRIBERS_PER_VERIFIER_MAX));
    let mut held: Vec<_> =
        (0..SUBSCRIBERS_MAX).map(|at| follow(&verifiers, &share(at), at as u64 + 1)).collect();
    assert_eq!(refused(&verifiers, &id("b")), VerifierError::Full);
    held.pop();
    follow(&verifiers, &id("b"), 1);
}

/// As many as are remembered come and go, under names of one verifier.
fn flood(verifiers: &Arc<Verifiers>, count: usize) {
    for number in 0..count {
        drop(follow(verifiers, &labelled("loud", &format!("l-{number}")), number as u64 + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_refuses_by_itself_makes_room_and_whoever_else_has_to_is_named_as_one_of_others() {
    let verifiers = settled().await;
    let held = follow(&verifiers, &id("there"), 1);
    drop(follow(&verifiers, &id("away"), 1));
    flood(&verifiers, VERIFIER_STREAMS_MAX - 2);
    assert_eq!(all(&verifiers).len(), VERIFIER_STREAMS_MAX);
    assert!(all(&verifiers).iter().all(|view| &*view.id.identity != OTHERS), "all that there is room for");
    let one_more = follow(&verifiers, &id("one more"), 1);
    let views = all(&verifiers);
    assert!(!views.iter().any(|view| &*view.id.identity == "away"), "it was away for longest");
    let others = views.iter().find(|view| &*view.id.identity == OTHERS).unwrap();
    assert_eq!((others.streams, others.away), (0, Some(Away { instances: 1, since: NOW })));
    assert!(views.iter().any(|view| view.id == id("there")), "who is there gives way to nobody");
    for (number, id) in [(held.number(), "there"), (one_more.number(), "one more")] {
        verifiers.acknowledge(&self::id(id), number, 7, 9, NOW).unwrap();
    }
    tokio::time::advance(AWAY - 2 * WAIT).await;
    let began = Instant::now();
    let late = verifiers.reached(7, WAIT, || NOW).await;
    assert!(late.iter().any(|view| &*view.id.identity == OTHERS), "it may still run");
    assert!(began.elapsed() >= WAIT);
    tokio::time::advance(WAIT).await;
    assert_eq!(shown(&verifiers.standing(NOW)), [("one more", 1, 0), ("there", 1, 0)]);
    drop(follow(&verifiers, &id("next"), 1));
    assert_eq!(all(&verifiers).len(), 3, "and then all of them made room");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_all_have_acknowledged_or_time_is_over() {
    let verifiers = settled().await;
    let (_a, b) = (follow(&verifiers, &id("a"), 1), follow(&verifiers, &id("b"), 2));
    let task = waiting(&verifiers, 7).await;
    verifiers.acknowledge(&id("a"), 1, 7, 9, NOW).unwrap();
    settle().await;
    assert!(!task.is_finished());
    verifiers.acknowledge(&id("b"), 2, 8, 9, NOW).unwrap();
    assert_eq!(shown(&task.await.unwrap()), [("a", 1, 0), ("b", 1, 0)]);
    let began = Instant::now();
    let late = verifiers.reached(9, WAIT, || NOW).await;
    assert!(late.iter().all(|view| view.acknowledged.is_some_and(|(epoch, _)| epoch < 9)));
    assert!(began.elapsed() >= WAIT);
    drop(b);
    assert_eq!(shown(&verifiers.reached(9, WAIT, || NOW).await), [("a", 1, 0), ("b", 0, 1)]);
    tokio::time::advance(AWAY).await;
    assert_eq!(shown(&verifiers.reached(9, WAIT, || NOW).await), [("a", 1, 0)], "it refuses by itself");
}

#[tokio::test(start_paused = true)]
async fn who_is_away_is_named_until_it_refuses_by_itself_or_comes_back() {
    let verifiers = settled().await;
    let a = id("a");
    let ack = |number, epoch| verifiers.acknowledge(&a, number, epoch, 9, NOW).unwrap();
    let one = follow(&verifiers, &a, 7);
    ack(one.number(), 5);
    drop(one);
    tokio::time::advance(Duration::from_secs(2)).await;
    let away = view(&verifiers, &a).away.unwrap();
    assert_eq!(away, Away { instances: 1, since: NOW.plus_millis(-2_000) });
    assert_eq!(away.until().millis_since(away.since), i64::from(FEED_AGE_SECONDS_MAX) * 1000);
    assert_eq!((view(&verifiers, &a).streams, view(&verifiers, &a).acknowledged), (0, Some((5, NOW))));

    // Another one with its name does not make up for it, whatever it acknowledges.
    let other = follow(&verifiers, &a, 8);
    ack(other.number(), 9);
    assert_eq!(shown(&all(&verifiers)), [("a", 1, 1)]);
    assert_eq!(view(&verifiers, &a).acknowledged, Some((5, NOW)));
    assert_eq!(verifiers.connected(NOW)[0].acknowledged, Some((9, NOW)), "by who follows");
    let task = waiting(&verifiers, 9).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!task.is_finished(), "it may come back in time");
    let back = follow(&verifiers, &a, 7);
    settle().await;
    assert!(!task.is_finished(), "and has to say so again");
    ack(back.number(), 9);
    let found = task.await.unwrap();
    assert_eq!((shown(&found), found[0].acknowledged), (vec![("a", 2, 0)], Some((9, NOW))));

    drop(back);
    tokio::time::advance(AWAY - Duration::from_millis(1)).await;
    assert_eq!(shown(&verifiers.standing(NOW)), [("a", 1, 1)]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(shown(&verifiers.standing(NOW)), [("a", 1, 0)]);
    drop(other);
    tokio::time::advance(AWAY).await;
    assert!(verifiers.standing(NOW).is_empty());
    assert_eq!(view(&verifiers, &a).acknowledged, Some((9, NOW)), "how it was the last time");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_back_before_its_old_stream_ends_is_not_away() {
    let verifiers = settled().await;
    let a = id("a");
    // A cut that nobody was told of: the old stream is there until the connection is found dead, and tells nothing any more.
    let old = follow(&verifiers, &a, 7);
    let new = follow(&verifiers, &a, 7);
    verifiers.acknowledge(&a, new.number(), 9, 9, NOW).unwrap();
    assert_eq!(
        (shown(&all(&verifiers)), view(&verifiers, &a).acknowledged),
        (vec![("a", 2, 0)], Some((9, NOW)))
    );
    let began = Instant::now();
    assert_eq!(shown(&verifiers.reached(9, WAIT, || NOW).await), [("a", 2, 0)]);
    assert!(began.elapsed().is_zero(), "and holds up nobody");
    // One of its own number that nobody acknowledges on hides nothing.
    let other = follow(&verifiers, &a, 8);
    assert_eq!(view(&verifiers, &a).acknowledged, None);
    drop(other);
    tokio::time::advance(AWAY).await;
    drop(old);
    assert_eq!(
        (shown(&all(&verifiers)), view(&verifiers, &a).acknowledged),
        (vec![("a", 1, 0)], Some((9, NOW)))
    );
    // A call of before that comes late and ends is not the last of it, in whatever order they end.
    let late = follow(&verifiers, &a, 7);
    drop(late);
    assert_eq!(
        (shown(&all(&verifiers)), view(&verifiers, &a).acknowledged),
        (vec![("a", 1, 0)], Some((9, NOW)))
    );
    let streams: Vec<_> = (0..5).map(|_| follow(&verifiers, &a, 7)).collect();
    drop(new);
    streams.into_iter().rev().for_each(drop);
    assert_eq!(shown(&all(&verifiers)), [("a", 0, 1)]);
    let _back = follow(&verifiers, &a, 7);
    assert_eq!(shown(&all(&verifiers)), [("a", 1, 0)]);
}

#[test]
fn no_start_gives_a_stream_the_number_of_one_before_it() {
    let of = |last| {
        let verifiers = Arc::new(Verifiers::new(BTreeSet::new(), last));
        follow(&verifiers, &id("a"), 1).number()
    };
    assert_eq!((of(0), of(1), of(u32::MAX)), (1, (1 << 32) + 1, u64::from(u32::MAX) * (1 << 32) + 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_enrolled_and_not_back_after_a_start_is_away() {
    let verifiers = verifiers(&["a", "b"]);
    let b = labelled("b", "x");
    let held = follow(&verifiers, &b, 1);
    verifiers.acknowledge(&b, held.number(), 4, 9, NOW).unwrap();
    tokio::time::advance(RETURN).await;
    let listed = verifiers.list(names(&["a", "b", "new"]), NOW);
    assert_eq!(shown(&listed), [("a", 0, 1), ("b", 1, 0), ("new", 0, 0)], "who came later has heard nothing");
    let since = NOW.plus_millis(-i64::try_from(RETURN.as_millis()).unwrap());
    assert_eq!((listed[0].away.unwrap().since, listed[0].since, listed[0].acknowledged), (since, None, None));
    let task = waiting(&verifiers, 4).await;
    assert!(!task.is_finished());
    // It is back under a label, and known all the same.
    let a = labelled("a", "y");
    let held = follow(&verifiers, &a, 2);
    settle().await;
    assert!(!task.is_finished());
    verifiers.acknowledge(&a, held.number(), 4, 9, NOW).unwrap();
    let found = task.await.unwrap();
    assert_eq!(shown(&found), [("a", 1, 0), ("b", 1, 0)]);
    assert!(found.iter().all(|view| view.acknowledged.is_some()));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_awaited_for_ever() {
    let verifiers = verifiers(&["a"]);
    tokio::time::advance(AWAY - Duration::from_millis(1)).await;
    assert_eq!(shown(&verifiers.standing(NOW)), [("a", 0, 1)]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(verifiers.standing(NOW).is_empty());
    assert_eq!(shown(&verifiers.list(names(&["a"]), NOW)), [("a", 0, 0)]);
    assert!(verifiers.reached(7, WAIT, || NOW).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn soon_after_a_start_nobody_knows_who_is_to_come() {
    let verifiers = Arc::new(Verifiers::new(BTreeSet::new(), 0));
    // Its listeners open late: it has sessions to bring to their end.
    tokio::time::advance(RETURN).await;
    verifiers.open();
    let short = verifiers.reached(7, Duration::from_secs(1), || NOW).await;
    assert_eq!(shown(&short), [(OTHERS, 0, 1)]);
    let task = waiting(&verifiers, 7).await;
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(!task.is_finished());
    let late = id("late");
    let held = follow(&verifiers, &late, 1);
    tokio::time::advance(RETURN).await;
    settle().await;
    assert_eq!(shown(&task.await.unwrap()), [("late", 1, 0)], "it has not acknowledged");
    verifiers.acknowledge(&late, held.number(), 7, 9, NOW).unwrap();
    let began = Instant::now();
    assert_eq!(shown(&verifiers.reached(7, WAIT, || NOW).await), [("late", 1, 0)]);
    assert!(began.elapsed().is_zero(), "and then nothing is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_verifier_of_several_instances_is_as_far_as_the_last_of_them() {
    let verifiers = settled().await;
    let (a, b) = (id("a"), id("b"));
    let (one, two) = (follow(&verifiers, &a, 1), follow(&verifiers, &a, 2));
    let ack = |number, epoch, at| verifiers.acknowledge(&a, number, epoch, 9, NOW.plus_millis(at));
    assert_eq!(ack(0, 7, 1), Err(VerifierError::Unknown));
    assert_eq!(ack(two.number() + 1, 7, 1), Err(VerifierError::Unknown));
    let other = follow(&verifiers, &b, 3);
    assert_eq!(ack(other.number(), 7, 1), Err(VerifierError::Unknown), "another verifier's");
    ack(one.number(), 7, 1).unwrap();
    let of = |views: Vec<VerifierView>| {
        let view = views.into_iter().find(|view| view.id == a).unwrap();
        (view.streams, view.acknowledged)
    };
    assert_eq!(of(verifiers.reached(7, WAIT, || NOW).await), (2, None));
    assert_eq!(of(all(&verifiers)), (2, None));
    ack(two.number(), 8, 2).unwrap();
    ack(one.number(), 8, 3).unwrap();
    let last = (2, Some((8, NOW.plus_millis(3))));
    assert_eq!(of(verifiers.reached(8, WAIT, || NOW).await), last, "when the last of them did");
    // One that goes away without a word has not acknowledged, whatever the others have.
    let task = waiting(&verifiers, 9).await;
    drop(two);
    ack(one.number(), 9, 4).unwrap();
    assert_eq!(of(task.await.unwrap()), (1, Some((8, NOW.plus_millis(2)))));
    assert_eq!(ack(0, 9, 5), Err(VerifierError::Unknown), "nobody knows to be the only one");
    drop(one);
    let _again = follow(&verifiers, &a, 1);
    assert_eq!(of(all(&verifiers)), (1, None), "it has to say so again");
    let later = verifiers.connect(a.clone(), Instance::new(2).unwrap(), NOW.plus_millis(9)).unwrap();
    ack(later.number(), 9, 10).unwrap();
    assert_eq!(view(&verifiers, &a).since, Some(NOW), "how late it is, is counted from who said nothing");
}
