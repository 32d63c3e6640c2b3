//! What `docs/recipes/postgresql.md` says of sessions: whose certificate ended loses them, and so does everybody when the
//! broker is gone.

use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::database::{Database, Reaper, programs};
use crate::prompt::held;
use crate::scene::{LIFE, Scene, end};

/// A second, and the time of one listing, on a machine that has other things to do.
const REAPED_WITHIN: Duration = Duration::from_secs(3);

#[test]
fn a_certificate_that_ended_loses_its_open_session_and_keeps_no_new_one() {
    let Some(bin) = programs() else { return };
    let scene = Scene::start();
    let database = Database::start(bin, &scene, None);
    database.admin(&["-c", "create role writer login in role agents", "postgres"]);
    // As often as it looks when nothing else is said.
    let reaper = database.reaper(&scene, &[]);
    let said = || reaper.complaints();
    let hexes = "select hotwork.serial('40000000000000000000000000000001')";
    assert_eq!(database.admin(&["-c", hexes, "postgres"]).trim(), "85070591730234615865843651857942052865");
    let ((bad, bad_id), good) = (scene.issue_certificate("bad"), scene.certificate("good"));
    let (mut bad_session, mut good_session) = (database.session(&bad), database.session(&good));
    assert!(bad_session.lives() && good_session.lives(), "{}", said());
    // The map names one role: the same certificate is no other agent's, and nobody who is no agent.
    for other in ["writer", "postgres", "hotwork_reaper"] {
        let refused = database.login(other, &good);
        assert!(!refused.status.success(), "{other}: {refused:?}");
    }
    let revoked = scene.revoked(&bad_id);
    let felt = bad_session.end().unwrap_or_else(|| panic!("{}", said())).duration_since(revoked);
    held("PostgreSQL with the reaper", &[felt], REAPED_WITHIN);
    // PostgreSQL lets it in again; it does not stay.
    assert!(database.session(&bad).end().is_some(), "{}", said());
    assert!(good_session.lives(), "{}", said());
    // One that ends by itself: PostgreSQL does not notice, and the reaper does.
    let (short, issued) = scene.issued("short", LIFE);
    let (mut short_session, end) = (database.session(&short), end(&issued));
    assert!(short_session.lives(), "{}", said());
    assert!(SystemTime::now() < end, "the machine was too slow to log in before the end");
    assert!(short_session.end().is_some(), "{}", said());
    assert!(SystemTime::now() + Duration::from_secs(1) >= end, "ended early");
    let again = database.login("reader", &short);
    assert!(!again.status.success(), "{again:?}");
    assert!(good_session.lives(), "{}", said());
    scene.revoke(&["--all"]);
    assert!(good_session.end().is_some(), "{}", said());
}

#[test]
fn a_break_glass_session_takes_its_database_sessions_along_and_a_drill_gets_none() {
    let Some(bin) = programs() else { return };
    let scene = Scene::start();
    let database = Database::start(bin, &scene, None);
    let reaper = database.reaper(&scene, &[("HOTWORK_REAPER_INTERVAL", "0.2")]);
    let session = scene.opened("open", "read");
    let folder = scene.minted(&session, "session").1;
    let (mut held, mut other) = (database.session(&folder), database.session(&scene.certificate("other")));
    assert!(held.lives() && other.lives(), "{}", reaper.complaints());
    scene.close(&session);
    assert!(held.end().is_some(), "{}", reaper.complaints());
    assert!(other.lives(), "{}", reaper.complaints());
    let drill = scene.opened("drill", "read");
    let folder = scene.minted(&drill, "drill").1;
    let refused = database.login("reader", &folder);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    // The server's alert, or that it hung up before it was read.
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{said}");
    assert!(database.login("reader", &scene.path("other")).status.success(), "it is the drill's certificate");
}

/// Waits until the reaper has ended the session of a certificate that had ended: it looked, and had a list to look at.
fn looked(database: &Database<'_>, reaper: &Reaper, ended: &std::path::Path) {
    assert!(database.session(ended).end().is_some(), "{}", reaper.complaints());
}

#[test]
fn without_the_broker_all_sessions_end_after_the_grace_and_a_list_that_is_too_long_is_no_list() {
    let Some(bin) = programs() else { return };
    let scene = Scene::start();
    let database = Database::start(bin, &scene, None);
    // What the scene itself was given is out of the way.
    scene.revoke(&["--all"]);
    let (gone, gone_id) = scene.issue_certificate("gone");
    let (one, two) = (scene.certificate("one"), scene.certificate("two"));
    scene.revoke(&["--credential", &gone_id]);
    let limits = |most| {
        [("HOTWORK_REAPER_INTERVAL", "0.2"), ("HOTWORK_REAPER_GRACE", "3"), ("HOTWORK_REAPER_MOST", most)]
    };
    let no_answer = "no answer from the broker for more than 3 s";
    let mut session = database.session(&one);
    // As many as it takes, and no more.
    let reaper = database.reaper(&scene, &limits("2"));
    looked(&database, &reaper, &gone);
    assert!(session.lives() && database.session(&two).lives(), "{}", reaper.complaints());
    // The broker is gone: everybody goes, not before the grace is over.
    let before = Instant::now();
    scene.daemon.signal(Signal::STOP);
    let ended = session.end().unwrap_or_else(|| panic!("{}", reaper.complaints()));
    assert!(ended.duration_since(before) >= Duration::from_secs(2), "{}", reaper.complaints());
    assert!(reaper.complaints().contains(no_answer), "{}", reaper.complaints());
    scene.daemon.signal(Signal::CONT);
    drop(reaper);
    // One more than it takes: the list is cut off, and who is not on what is left of it may live. So it is no answer.
    let mut sessions = [&one, &two].map(|folder| database.session(folder));
    assert!(sessions.iter_mut().all(|session| session.lives()));
    let reaper = database.reaper(&scene, &limits("1"));
    for session in &mut sessions {
        assert!(session.end().is_some(), "{}", reaper.complaints());
    }
    assert!(reaper.complaints().contains(no_answer), "{}", reaper.complaints());
    assert!(reaper.ended().lines().count() >= 2, "{}", reaper.ended());
}
