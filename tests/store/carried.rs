//! What is carried forward: an emergency start reads the log's end only, and knows of the rest what a start that reads
//! all of it knows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotwork::clock::ManualClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::credential::Issuance;
use hotwork::domain::digest::Digest;
use hotwork::domain::enrollment::{Enrolled, Enrollment};
use hotwork::domain::entry::Load;
use hotwork::domain::id::{Lineage, Serial};
use hotwork::domain::ledger::Command;
use hotwork::domain::revocation::{KEPT_MS, Lock, Revocation, Selector, Terms, Unlock};
use hotwork::domain::time::Timestamp;
use hotwork::store::{Ledger, OpenError, prepare_emergency};

use crate::approvals::{asked, vote};
use crate::emergency::{Mounted, audit, entries, issue_some, lock_out};
use crate::glass::{closing, proposal, sign};
use crate::support::*;

pub fn segmented(dir: &Path, clock: &Arc<ManualClock>) -> Ledger {
    unlocked(|| {
        let mut options = options(dir, clock);
        options.segment_bytes_max = 20_000;
        Ledger::open(options)
    })
    .unwrap()
}

pub fn emergency(dir: &Path, clock: &Arc<ManualClock>) -> Ledger {
    unlocked(|| Ledger::open_emergency(options(dir, clock), &std::env::temp_dir())).unwrap()
}

pub fn file(dir: &Path) -> PathBuf {
    dir.join("carried")
}

fn lock(selector: Selector, expires: Timestamp) -> Lock {
    let terms = Terms { expires, message: "frozen".parse().unwrap() };
    Lock { operator: "olga".parse().unwrap(), selector, tenants: Vec::new(), terms }
}

pub fn unlock(ledger: &Ledger, lock: u64) {
    submit(ledger, Command::Unlock(Unlock { lock, operator: "olga".parse().unwrap() })).unwrap();
}

pub fn tenant(name: &str) -> Selector {
    Selector::Tenant(name.parse().unwrap())
}

fn revoked(revocation: Revocation) -> Command {
    Command::Revoke { revocation, target: None }
}

/// Everything that can matter for longer than a credential lives, and what was lifted, over several segments.
fn long_ago(ledger: &Ledger) {
    let far = START.plus_millis(KEPT_MS * 50);
    issue_some(ledger, 0..30, "quiet");
    let registry = Digest::of(b"registry");
    submit(ledger, Command::Load(Load { agents: 1, operator: None, policies: 1, registry })).unwrap();
    submit(ledger, Command::Lock(lock(tenant("kept"), far))).unwrap();
    let lifted = submit(ledger, Command::Lock(lock(tenant("lifted"), far))).unwrap().index();
    submit(ledger, Command::Lock(lock(tenant("short"), START.plus_millis(1000)))).unwrap();
    // Ends for good, and a lock with it that is lifted: the end must come back, and the lock must not.
    let terms = lock(tenant("x"), far).terms;
    let key = Selector::Key("old".parse().unwrap());
    let for_good = Revocation { for_good: true, lock: Some(terms), ..revocation(key) };
    let with_lock = submit(ledger, revoked(for_good)).unwrap().index();
    submit(ledger, revoke(Selector::Lineage(Lineage::new(START, &[8; 10])))).unwrap();
    submit(ledger, revoke(Selector::Api("gone".parse().unwrap()))).unwrap();
    let enrolled = Enrollment {
        content: Digest::of(b"certificate"),
        evidence: None,
        expires: far,
        issued: START,
        operator: Some("olga".parse().unwrap()),
        serial: Serial::new([9; 16]),
        spki: Digest::of(b"key"),
        who: Enrolled::Operator("ann".parse().unwrap()),
    };
    submit(ledger, Command::Enroll(enrolled)).unwrap();
    for (number, name) in [(1, "owed"), (2, "proposed")] {
        let night = proposal(name, START);
        let session = Lineage::new(START, &[number; 10]);
        sign(ledger, &night, "ann", session).unwrap();
        if number == 1 {
            sign(ledger, &night, "ben", session).unwrap();
            let close = hotwork::domain::break_glass::Ask::Close(closing(session));
            submit(ledger, Command::BreakGlass(close)).unwrap();
        }
    }
    let request = asked(1);
    submit(ledger, Command::Ask(Box::new(request.clone()))).unwrap();
    submit(ledger, vote(&request)).unwrap();
    unlock(ledger, lifted);
    unlock(ledger, with_lock);
    issue_some(ledger, 30..60, "quiet");
}

/// What happens within the life of a credential.
fn lately(ledger: &Ledger, now: Timestamp) {
    for number in 100..140 {
        let record = Issuance { lineage: Lineage::new(now, &[5; 10]), ..issuance(now, number, "busy") };
        submit(ledger, Command::Issue(Box::new(record.clone()))).unwrap();
        if number == 120 {
            submit(ledger, revoke_one(&record)).unwrap();
        }
    }
    submit(ledger, revoke(tenant("lately"))).unwrap();
}

/// All that a decision, or an operator, is told.
pub fn known(ledger: &Ledger, now: Timestamp) -> BTreeMap<&'static str, String> {
    let mut ends: Vec<String> = ledger.revocations().deltas().map(|delta| format!("{delta:?}")).collect();
    ends.sort();
    let enrollments = ledger.enrollments();
    let mut live: Vec<String> = enrollments.live(now).iter().map(|one| format!("{one:?}")).collect();
    live.sort();
    let agents = ["quiet", "busy"].map(agent);
    let last = agents.each_ref().map(|agent| ledger.reader().last_issue(agent).unwrap());
    let locks: Vec<_> = ledger.locks().iter().cloned().collect();
    BTreeMap::from([
        ("ends", format!("{ends:?} {}", ledger.revocations().epoch())),
        ("old key", ledger.revocations().key_ended("old").to_string()),
        ("locks", format!("{locks:?}")),
        ("enrollments", format!("{live:?}")),
        ("sessions", format!("{:?}", ledger.sessions())),
        ("approvals", format!("{:?}", ledger.approvals())),
        ("live", format!("{} {:?}", ledger.live_total(now), agents.map(|one| ledger.live_of(&one, now)))),
        ("last", format!("{last:?} {:?}", ledger.reader().last_load().unwrap())),
        ("lists", format!("{:?}", ledger.status_lists())),
        ("log", format!("{:?}", ledger.status())),
        ("entries", format!("{:?}", entries(ledger))),
        ("young", format!("{:?}", ledger.reader().credential(id(now, 120)).unwrap())),
    ])
}

/// A log whose beginning is carried forward, with the first entry that is not.
pub fn carried(dir: &Path, clock: &Arc<ManualClock>) -> u64 {
    let ledger = segmented(dir, clock);
    prepare_emergency(dir).unwrap();
    long_ago(&ledger);
    assert_eq!(ledger.reader().carry_forward().unwrap(), None, "all of it can matter");
    assert!(!file(dir).exists());
    clock.advance_millis(KEPT_MS + 1000);
    lately(&ledger, clock.now().unwrap());
    let from = ledger.reader().carry_forward().unwrap().unwrap();
    assert!((40..=ledger.status().size - 40).contains(&from), "{from}");
    from
}

#[test]
fn an_emergency_start_reads_what_is_new_and_knows_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let from = carried(dir.path(), &clock);
    let now = clock.now().unwrap();
    let quick = emergency(dir.path(), &clock);
    assert_eq!(quick.read_from(), from);
    let knows = known(&quick, now);
    assert!(knows["locks"].contains("kept") && !knows["locks"].contains("lifted"), "{}", knows["locks"]);
    assert_eq!(knows["old key"], "true");
    assert_eq!(quick.sessions().iter().count(), 1, "the review that is owed");
    assert_eq!(quick.enrollments().live(now).len(), 1);
    // By its id it is not found, and the log has it.
    assert!(quick.reader().credential(id(START, 1)).unwrap().is_none());
    drop(quick);
    fs::remove_file(file(dir.path())).unwrap();
    let whole = emergency(dir.path(), &clock);
    assert_eq!(whole.read_from(), 0);
    assert_eq!(known(&whole, now), knows);
    assert!(whole.reader().credential(id(START, 1)).unwrap().is_some());
    drop(whole);
    let ordinary = segmented(dir.path(), &clock);
    assert_eq!(ordinary.read_from(), 0);
    assert_eq!(known(&ordinary, now), knows, "and as on an ordinary day");
}

#[test]
fn what_came_after_it_was_carried_is_read_however_long_ago_that_was() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let from = carried(dir.path(), &clock);
    // Nobody carried anything forward since: a lock is lifted and another made, a lineage ends, a review is given.
    let ledger = segmented(dir.path(), &clock);
    let kept = ledger.locks().iter().map(|lock| lock.index).next().unwrap();
    unlock(&ledger, kept);
    let far = START.plus_millis(KEPT_MS * 50);
    submit(&ledger, Command::Lock(lock(tenant("since"), far))).unwrap();
    submit(&ledger, revoke(Selector::Lineage(Lineage::new(clock.now().unwrap(), &[6; 10])))).unwrap();
    drop(ledger);
    clock.advance_millis(KEPT_MS * 2);
    let ledger = segmented(dir.path(), &clock);
    lately(&ledger, clock.now().unwrap());
    drop(ledger);
    let now = clock.now().unwrap();
    let stale = emergency(dir.path(), &clock);
    assert_eq!(stale.read_from(), from);
    let knows = known(&stale, now);
    assert!(knows["locks"].contains("since") && !knows["locks"].contains("kept"), "{}", knows["locks"]);
    drop(stale);
    fs::remove_file(file(dir.path())).unwrap();
    assert_eq!(known(&emergency(dir.path(), &clock), now), knows);
    // The next time more is carried, and not again for the same segment.
    let ledger = segmented(dir.path(), &clock);
    let later = ledger.reader().carry_forward().unwrap().unwrap();
    assert!(later > from, "{later} {from}");
    fs::remove_file(file(dir.path())).unwrap();
    assert_eq!(ledger.reader().carry_forward().unwrap(), Some(later));
    assert!(!file(dir.path()).exists(), "what is there is not written again");
}

#[test]
fn a_second_start_goes_on_behind_the_first_and_all_of_it_is_merged() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let from = carried(dir.path(), &clock);
    let size = audit(dir.path()).unwrap().entries;
    let untouched = || {
        let mut all: Vec<_> = walk(dir.path()).into_iter().filter(|path| path.is_file()).collect();
        all.retain(|path| !path.starts_with(dir.path().join("emergency")));
        all.sort();
        all.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = untouched();
    for at in 0..3 {
        let ledger = emergency(dir.path(), &clock);
        assert_eq!(ledger.read_from(), from);
        assert_eq!(lock_out(&ledger, &format!("t{at}")), Ok(size + at));
        assert_eq!(ledger.reader().carry_forward().unwrap(), None, "not in an emergency");
    }
    assert!(untouched() == before, "and nothing else is written there");
    let ledger = segmented(dir.path(), &clock);
    assert_eq!((ledger.merged_from(), ledger.status().size), (Some(size), size + 4));
    drop(ledger);
    assert_eq!(audit(dir.path()).unwrap().entries, size + 4);
    assert_eq!(emergency(dir.path(), &clock).read_from(), from);
}

pub fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn what_the_log_s_key_did_not_sign_for_this_log_is_passed_over_and_all_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let from = carried(dir.path(), &clock);
    let now = clock.now().unwrap();
    let good = fs::read(file(dir.path())).unwrap();
    let knows = known(&emergency(dir.path(), &clock), now);
    let mut edited = good.clone();
    // An editor takes a lock out.
    let at = good.windows(4).position(|window| window == b"kept").unwrap();
    edited[at..at + 4].copy_from_slice(b"kepu");
    // Another log of the same key, with segments at the same places.
    let other = tempfile::tempdir().unwrap();
    let else_ = segmented(other.path(), &clock_at(START));
    issue_some(&else_, 0..200, "quiet");
    drop(else_);
    let clock_there = clock_at(START.plus_millis(KEPT_MS + 1000));
    let else_ = segmented(other.path(), &clock_there);
    lately(&else_, clock_there.now().unwrap());
    else_.reader().carry_forward().unwrap().unwrap();
    drop(else_);
    let foreign = fs::read(file(other.path())).unwrap();
    for bytes in [edited, good[..good.len() - 1].to_vec(), Vec::new(), foreign] {
        fs::write(file(dir.path()), &bytes).unwrap();
        let ledger = emergency(dir.path(), &clock);
        assert_eq!(ledger.read_from(), 0);
        assert_eq!(known(&ledger, now), knows);
    }
    fs::write(file(dir.path()), &good).unwrap();
    assert_eq!(emergency(dir.path(), &clock).read_from(), from);
}

fn clock_at(time: Timestamp) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(time))
}

#[test]
fn damage_where_nobody_reads_waits_for_an_ordinary_start_and_elsewhere_halts() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let from = carried(dir.path(), &clock);
    // The edge of the tree, up to 256 entries, is read anyhow.
    let ledger = segmented(dir.path(), &clock);
    for number in 200..500 {
        let now = clock.now().unwrap();
        let record = Issuance { lineage: Lineage::new(now, &[5; 10]), ..issuance(now, number, "busy") };
        submit(&ledger, Command::Issue(Box::new(record))).unwrap();
    }
    drop(ledger);
    let mut segments: Vec<PathBuf> = walk(&dir.path().join("journal"));
    segments.sort();
    let is_read = |path: &Path| {
        path.file_stem().unwrap().to_str().unwrap().parse::<u64>().is_ok_and(|first| first >= from)
    };
    let with = |path: &Path, bad: Option<Vec<u8>>| {
        let good = fs::read(path).unwrap();
        match bad {
            Some(bad) => fs::write(path, bad).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let ordinary = unlocked(|| Ledger::open(options(dir.path(), &clock)));
        assert!(matches!(ordinary, Err(OpenError::Damaged(_))), "{}", path.display());
        let opened = unlocked(|| Ledger::open_emergency(options(dir.path(), &clock), &std::env::temp_dir()));
        let seen = opened.map(|ledger| {
            let first = path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
            // From its beginning, and from what is before and whole.
            for from in [first, first.saturating_sub(1)] {
                let read = ledger.reader().entries(from, 400);
                assert!(read.is_err(), "{from} of {}: {:?}", path.display(), read.map(|found| found.len()));
            }
            assert!(ledger.reader().last_load().unwrap().is_some(), "it decides which registry is in force");
            (ledger.read_from(), lock_out(&ledger, "x").is_ok())
        });
        fs::write(path, &good).unwrap();
        seen
    };
    let flip = |path: &Path, at: usize| {
        let mut bad = fs::read(path).unwrap();
        bad[at] ^= 1;
        with(path, Some(bad))
    };
    let room = || fs::write(crate::emergency::file(dir.path()), vec![0; 2 * 1024 * 1024]).unwrap();
    let old: Vec<&PathBuf> = segments.iter().filter(|path| !is_read(path)).collect();
    for path in [old[0], old[1]] {
        for at in [5_000, 20] {
            assert_eq!(flip(path, at).unwrap(), (from, true), "break-glass goes on");
            room();
        }
        // As that of another place in the log, and not there at all.
        assert_eq!(with(path, Some(fs::read(old[2]).unwrap())).unwrap(), (from, true));
        room();
        assert_eq!(with(path, None).unwrap(), (from, true));
        room();
    }
    // The tiles that are gone would be made of it, for proofs alone.
    fs::remove_dir_all(dir.path().join("tiles")).unwrap();
    assert_eq!(flip(old[0], 5_000).unwrap(), (from, true));
    room();
    let new = segments.iter().find(|path| is_read(path)).unwrap();
    assert!(matches!(flip(new, 5_000), Err(OpenError::Damaged(_))));
}

#[test]
fn a_full_disk_leaves_what_was_carried_before() {
    let Some(disk) = Mounted::new() else {
        eprintln!(
            "SKIPPED: a_full_disk_leaves_what_was_carried_before needs root to mount a small file system"
        );
        return;
    };
    let dir = disk.0.path().join("data");
    let clock = clock();
    let from = carried(&dir, &clock);
    let good = fs::read(file(&dir)).unwrap();
    let ledger = segmented(&dir, &clock);
    clock.advance_millis(KEPT_MS * 2);
    lately(&ledger, clock.now().unwrap());
    let _ballast = disk.fill();
    assert!(ledger.reader().carry_forward().is_err());
    drop(ledger);
    assert!(fs::read(file(&dir)).unwrap() == good && !dir.join("carried.new").exists());
    assert_eq!(emergency(&dir, &clock).read_from(), from);
}
