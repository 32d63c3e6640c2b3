//! Publish: what resources fetch to learn of ends by themselves: signed status lists and CRLs.
//!
//! Both are made from one set of early ends, which follows the log. What is asked for is signed at most
//! once a second, however often it is asked for, and nothing is signed on a clock that can't be trusted: a
//! reader that gets nothing new refuses what it can't check any more.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::domain::credential::EndedHow;
use crate::domain::enrollment::{Enrollments, Removed};
use crate::domain::id::Serial;
use crate::domain::limits::{PUBLISH_AGAIN_SECONDS, STATUS_LISTS_KEPT_MAX};
use crate::domain::revocation::Revocations;
use crate::domain::signer::SigningFailed;
use crate::domain::status_list::{ListId, Status};
use crate::domain::time::Timestamp;
use crate::signer::crl::{Crls, RevokedSerial};
use crate::signer::minter::MintFailed;
use crate::store::ends::{EarlyEnd, EndsCursor};
use crate::store::{LedgerError, ReadError};

use super::Broker;

/// What is signed is not signed again within this time, in milliseconds.
const AGAIN_MS: i64 = 1_000;

/// Why nothing can be published now.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// More lists are asked for than are signed in a second.
    #[error("more status lists are asked for than are signed in a second")]
    Busy,
    /// The log does not believe the clock, so nothing gets a time.
    #[error(transparent)]
    Clock(#[from] LedgerError),
    /// It could not be made.
    #[error(transparent)]
    Mint(#[from] MintFailed),
    /// The records could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<SigningFailed> for PublishError {
    fn from(error: SigningFailed) -> Self {
        Self::Mint(error.into())
    }
}

/// A status list, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusListFound {
    /// All its tokens have ended.
    Gone,
    /// The signed list.
    List(Arc<str>),
    /// There never was one of that name.
    Unknown,
}

/// What is published, and what it is made of.
#[derive(Debug)]
pub struct Publisher {
    /// The number of the log's entries when this run began. Each run adds some, so numbers made of it and a
    /// count within the run only ever grow.
    run: u64,
    state: Mutex<Published>,
}

#[derive(Debug, Default)]
struct Published {
    cursor: EndsCursor,
    read: Option<Timestamp>,
    lists: HashMap<ListId, List>,
    signed: HashMap<ListId, Signed<Arc<str>>>,
    serials: Serials,
    identities: Identities,
    crls: Option<Signed<Arc<Crls>>>,
    crl_count: u64,
}

/// The ended tokens of one list, by place.
#[derive(Debug, Default)]
struct List {
    places: BTreeMap<u32, Status>,
    changes: u64,
}

/// The ended certificates that have not expired.
#[derive(Debug, Default)]
struct Serials {
    ended: BTreeMap<Serial, (Timestamp, RevokedSerial)>,
    changes: u64,
}

/// The certificates of agents' identities that a revocation ended.
#[derive(Debug, Default)]
struct Identities {
    ended: Vec<RevokedSerial>,
    changes: u64,
}

impl Identities {
    /// Takes those that there are now. Most revocations end none of them, and are no reason to sign anew.
    fn take(&mut self, mut ended: Vec<RevokedSerial>) {
        ended.sort_unstable_by_key(|one| one.serial);
        if self.ended != ended {
            self.changes += 1;
            self.ended = ended;
        }
    }
}

/// Something signed: when, and after how many changes.
#[derive(Debug)]
struct Signed<T> {
    document: T,
    time: Timestamp,
    changes: u64,
}

impl<T> Signed<T> {
    /// Whether it will do at `now`, when there were `changes` changes.
    fn will_do(&self, now: Timestamp, changes: u64) -> bool {
        let age = now.millis_since(self.time);
        age < AGAIN_MS || (self.changes == changes && age < PUBLISH_AGAIN_SECONDS * 1000)
    }
}

impl Publisher {
    /// Publishes for a run that began with `run` entries in the log.
    pub fn new(run: u64) -> Self {
        Self { run, state: Mutex::default() }
    }

    /// The number of the run's CRL `count`: greater than every one before, also over restarts.
    fn crl_number(&self, count: u64) -> u128 {
        u128::from(self.run) << 64 | u128::from(count)
    }
}

impl Published {
    fn take(&mut self, end: &EarlyEnd) {
        if let Some(status) = end.status {
            let list = self.lists.entry(ListId::of(status, end.expires)).or_default();
            if list.places.insert(status.index, Status::Invalid).is_none() {
                list.changes += 1;
            }
        }
        if let Some(serial) = end.serial {
            let revoked = RevokedSerial { serial, time: end.time, how: end.how };
            if self.serials.ended.insert(serial, (end.expires, revoked)).is_none() {
                self.serials.changes += 1;
            }
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.lists.retain(|list, _| list.end() > now);
        self.signed.retain(|list, _| list.end() > now);
        let before = self.serials.ended.len();
        self.serials.ended.retain(|_, (expires, _)| *expires > now);
        self.serials.changes += u64::from(self.serials.ended.len() != before);
    }

    /// Makes room for one more signed list. What was signed within the second stays.
    fn make_room(&mut self, now: Timestamp) -> Result<(), PublishError> {
        if self.signed.len() < STATUS_LISTS_KEPT_MAX {
            return Ok(());
        }
        let oldest = self.signed.iter().min_by_key(|(_, signed)| signed.time);
        let oldest = oldest.filter(|(_, signed)| now.millis_since(signed.time) >= AGAIN_MS);
        let list = oldest.map(|(list, _)| *list).ok_or(PublishError::Busy)?;
        self.signed.remove(&list);
        Ok(())
    }
}

impl Broker {
    /// The signed status list `list`.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn status_list(&self, list: ListId) -> Result<StatusListFound, PublishError> {
        let now = self.believed_time()?;
        if list.end() <= now {
            return Ok(StatusListFound::Gone);
        }
        if list.list >= self.ledger.status_lists().next(list.hour) {
            return Ok(StatusListFound::Unknown);
        }
        let mut published = self.publisher.state.lock().await;
        self.follow(&mut published, now).await?;
        let changes = published.lists.get(&list).map_or(0, |list| list.changes);
        if let Some(signed) = published.signed.get(&list).filter(|signed| signed.will_do(now, changes)) {
            return Ok(StatusListFound::List(Arc::clone(&signed.document)));
        }
        published.signed.remove(&list);
        published.make_room(now)?;
        let places = published.lists.get(&list).into_iter().flat_map(|list| list.places.iter());
        let token = self.minter.status_list(list, places.map(|(at, status)| (*at, *status)), now)?;
        let document: Arc<str> = token.into();
        published.signed.insert(list, Signed { document: Arc::clone(&document), time: now, changes });
        Ok(StatusListFound::List(document))
    }

    /// The CRLs of the chain.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn crls(&self) -> Result<Arc<Crls>, PublishError> {
        let now = self.believed_time()?;
        let mut published = self.publisher.state.lock().await;
        self.follow(&mut published, now).await?;
        let enrollments = self.ledger.enrollments();
        // All only grow, so the sum tells whether one did.
        let changes = published.serials.changes.saturating_add(enrollments.changes());
        let changes = changes.saturating_add(published.identities.changes);
        if let Some(signed) = published.crls.as_ref().filter(|signed| signed.will_do(now, changes)) {
            return Ok(Arc::clone(&signed.document));
        }
        published.crl_count += 1;
        let number = self.publisher.crl_number(published.crl_count);
        let revoked: Vec<RevokedSerial> =
            published.serials.ended.values().map(|(_, revoked)| revoked.clone()).collect();
        let mut removed = removed(&enrollments, now);
        removed.extend(published.identities.ended.iter().cloned());
        let crls = Arc::new(self.minter.crls(&revoked, &removed, number, now)?);
        published.crls = Some(Signed { document: Arc::clone(&crls), time: now, changes });
        Ok(crls)
    }

    /// Brings the set of early ends up to the log, at most once a second.
    async fn follow(&self, published: &mut Published, now: Timestamp) -> Result<(), PublishError> {
        if published.read.is_some_and(|read| now.millis_since(read) < AGAIN_MS) {
            return Ok(());
        }
        let cursor = published.cursor;
        let (ends, cursor) = self.read(move |reader| reader.ends(cursor, now)).await?;
        ends.iter().for_each(|end| published.take(end));
        published.forget(now);
        let (enrollments, revocations) = (self.ledger.enrollments(), self.ledger.revocations());
        published.identities.take(ended(&enrollments, &revocations, now).collect());
        (published.cursor, published.read) = (cursor, Some(now));
        Ok(())
    }
}

/// The certificates of operators and verifiers that were removed and have not expired.
fn removed(enrollments: &Enrollments, now: Timestamp) -> Vec<RevokedSerial> {
    let removed = enrollments.removed().iter().filter(|(_, one)| one.expires > now);
    let revoked = |(serial, one): (&Serial, &Removed)| RevokedSerial {
        serial: *serial,
        time: one.time,
        how: EndedHow::Revoked,
    };
    removed.map(revoked).collect()
}

/// The certificates of agents' identities that a revocation of the agent ended.
fn ended<'a>(
    enrollments: &'a Enrollments,
    revocations: &'a Revocations,
    now: Timestamp,
) -> impl Iterator<Item = RevokedSerial> + 'a {
    enrollments.agents(now).filter_map(move |(agent, one)| {
        let ended = revocations.ended_of(agent, one.issued)?;
        Some(RevokedSerial { serial: one.serial, time: ended.time, how: EndedHow::Revoked })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status_list::StatusRef;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_435_200);

    fn end(index: u32, serial: u8, expires: Timestamp) -> EarlyEnd {
        EarlyEnd {
            serial: Some(Serial::new([serial; 16])),
            status: Some(StatusRef { index, list: 0 }),
            expires,
            how: EndedHow::Revoked,
            time: NOW,
        }
    }

    #[test]
    fn what_has_expired_is_dropped_and_counts_as_a_change() {
        let mut published = Published::default();
        published.take(&end(1, 1, NOW.plus_millis(60_000)));
        published.take(&end(1, 1, NOW.plus_millis(60_000)));
        published.take(&end(2, 2, NOW.plus_millis(900_000)));
        assert_eq!((published.serials.ended.len(), published.serials.changes), (2, 2));
        published.forget(NOW.plus_millis(60_000));
        assert_eq!((published.serials.ended.len(), published.serials.changes), (1, 3));
        assert_eq!(published.lists.len(), 1, "a list stays until its hour is over");
        published.forget(NOW.plus_millis(3_600_000));
        assert!(published.lists.is_empty() && published.serials.ended.is_empty());
    }

    #[test]
    fn what_ends_no_identity_is_no_change_of_those_that_ended() {
        let one = |serial: u8| RevokedSerial {
            serial: Serial::new([serial; 16]),
            time: NOW,
            how: EndedHow::Revoked,
        };
        let mut identities = Identities::default();
        identities.take(Vec::new());
        assert_eq!(identities.changes, 0);
        for order in [[1, 2], [1, 2], [2, 1]] {
            identities.take(order.map(one).to_vec());
        }
        assert_eq!((identities.changes, identities.ended.len()), (1, 2));
        identities.take(vec![one(2)]);
        identities.take(vec![one(3)]);
        assert_eq!(identities.changes, 3);
    }

    #[test]
    fn a_signed_document_will_do_for_a_second_and_without_changes_for_longer() {
        let signed = Signed { document: (), time: NOW, changes: 3 };
        assert!(signed.will_do(NOW.plus_millis(999), 4));
        assert!(!signed.will_do(NOW.plus_millis(1_000), 4));
        assert!(signed.will_do(NOW.plus_millis(14_999), 3));
        assert!(!signed.will_do(NOW.plus_millis(15_000), 3));
    }

    #[test]
    fn memory_and_signatures_are_bounded_whatever_is_asked() {
        let mut published = Published::default();
        let list = |list: u32| ListId { hour: 500_000, list };
        let signed = |time| Signed { document: Arc::from(""), time, changes: 0 };
        for at in 0..64 {
            published.make_room(NOW).unwrap();
            published.signed.insert(list(at), signed(NOW));
        }
        assert!(matches!(published.make_room(NOW.plus_millis(999)), Err(PublishError::Busy)));
        published.make_room(NOW.plus_millis(1_000)).unwrap();
        assert_eq!(published.signed.len(), 63);
    }

    #[test]
    fn crl_numbers_grow_within_a_run_and_over_runs() {
        let (first, second) = (Publisher::new(7), Publisher::new(8));
        assert!(first.crl_number(1) < first.crl_number(2));
        assert!(first.crl_number(u64::MAX) < second.crl_number(1));
    }
}
