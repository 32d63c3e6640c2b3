//! Token status lists (draft-ietf-oauth-status-list): where a token's two bits stand, and what they say.
//!
//! Lists are sharded by the hour in which their tokens end, so that a list is gone when the last of them
//! is. Indexes come from a counter, without a lock and without a look at any record, and go through a
//! secret permutation: neighbours in a list say nothing about neighbours in time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::credential::{Issuance, Kind};
use super::digest::Digest;
use super::limits::STATUS_LIST_LIFETIME_SECONDS;
use super::time::Timestamp;

/// Bits of an index: a list has 2^18 places, 64 KiB before compression.
const INDEX_BITS: u32 = 18;
/// Places of one list.
pub const LIST_SIZE: u32 = 1 << INDEX_BITS;
/// Bits of one status.
pub const STATUS_BITS: u32 = 2;
/// Bits of one half of an index.
const HALF_BITS: u32 = INDEX_BITS / 2;
const HALF_MASK: u32 = (1 << HALF_BITS) - 1;
/// Rounds of the permutation. Four make it unpredictable (Luby and Rackoff); twice that for the small halves.
const ROUNDS: u8 = 8;
/// Bits of a slot that count; the others hold the hour.
const COUNTER_BITS: u32 = 40;
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;
/// Hours that are counted at once: tokens that are issued now end in this hour or the next.
const SLOTS: usize = 4;

/// Where a token's status stands. The hour is that of its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRef {
    /// Its place in the list, below [`LIST_SIZE`].
    pub index: u32,
    /// The number of the list among those of its hour.
    pub list: u32,
}

/// One list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId {
    /// Hours since the epoch; its tokens end in this hour.
    pub hour: i64,
    /// The number of the list among those of its hour.
    pub list: u32,
}

/// What a place says. Values of the draft's section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was ended.
    Invalid,
    /// It must not be used for now.
    Suspended,
    /// Nothing is known against it.
    Valid,
}

impl Status {
    const fn bits(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Suspended => 2,
        }
    }
}

impl ListId {
    /// The list of a token that ends at `expires`.
    pub const fn of(status: StatusRef, expires: Timestamp) -> Self {
        Self { hour: hour(expires), list: status.list }
    }

    /// Its URI below the issuer's.
    pub fn uri(self, issuer: &str) -> String {
        format!("{issuer}/status/{}/{}", self.hour, self.list)
    }

    /// From this moment on all its tokens have ended.
    pub const fn end(self) -> Timestamp {
        Timestamp::from_seconds(self.hour.saturating_add(1).saturating_mul(3600))
    }
}

/// The hour that a moment is in.
pub const fn hour(time: Timestamp) -> i64 {
    time.seconds() / 3600
}

/// Whether a credential has a place in a list: a token that lives long enough for a list to reach anybody.
pub const fn is_listed(kind: Kind, issued: Timestamp, expires: Timestamp) -> bool {
    match kind {
        Kind::Certificate => false,
        Kind::Token => expires.seconds() - issued.seconds() > STATUS_LIST_LIFETIME_SECONDS,
    }
}

/// The bytes of a list in which all places are valid but these: two bits each, the least significant first
/// (section 4.1). A place beyond the list is left out.
pub fn bytes(statuses: impl IntoIterator<Item = (u32, Status)>) -> Vec<u8> {
    let per_byte = 8 / STATUS_BITS;
    let length = usize::try_from(LIST_SIZE / per_byte).unwrap_or_default();
    let mut bytes = vec![0_u8; length];
    for (index, status) in statuses {
        let at = usize::try_from(index / per_byte).unwrap_or(usize::MAX);
        if let Some(byte) = bytes.get_mut(at) {
            let shift = index % per_byte * STATUS_BITS;
            *byte = (*byte & !(0b11 << shift)) | (status.bits() << shift);
        }
    }
    bytes
}

/// Which lists there are, from the records of issuances: for each hour the number after the last list.
/// Part of the ledger's state; a few hours at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists(BTreeMap<i64, u32>);

impl Lists {
    /// A token was issued.
    pub fn note(&mut self, status: StatusRef, expires: Timestamp) {
        let next = self.0.entry(hour(expires)).or_default();
        *next = (*next).max(status.list.saturating_add(1));
    }

    /// As [`Self::note`], for a record of either form.
    pub fn note_issuance(&mut self, issuance: &Issuance) {
        if let Some(status) = issuance.status {
            self.note(status, issuance.expires);
        }
    }

    /// The number after the last list of `hour`.
    pub fn next(&self, hour: i64) -> u32 {
        self.0.get(&hour).copied().unwrap_or_default()
    }

    /// Drops hours that are over.
    pub fn forget(&mut self, now: Timestamp) {
        self.0 = self.0.split_off(&hour(now));
    }
}

/// Hands out places. Shared by all requests: one atomic step each.
///
/// A run of the broker begins with lists of its own, after the last that the log knows, so its key need not
/// outlive it, and no place of a token that is alive is handed out again.
#[derive(Debug)]
pub struct Allocator {
    key: [u8; 32],
    before: Lists,
    /// The hour, and the last number handed out for it: list and position.
    slots: [AtomicU64; SLOTS],
}

impl Allocator {
    /// Places after those of the lists `before`, in an order that `key` keeps secret.
    pub fn new(key: [u8; 32], before: Lists) -> Self {
        Self { key, before, slots: Default::default() }
    }

    /// A place for a token that ends at `expires`. `None` when that is hours before what was asked earlier:
    /// the clock is wrong.
    pub fn take(&self, expires: Timestamp) -> Option<StatusRef> {
        let hour = hour(expires);
        let wanted = u64::try_from(hour).ok()?;
        let slot = self.slots.get(usize::try_from(hour).ok()? % SLOTS)?;
        let mut seen = slot.load(Ordering::Relaxed);
        loop {
            let (held, last) = (seen >> COUNTER_BITS, seen & COUNTER_MASK);
            let number = match held.cmp(&wanted) {
                std::cmp::Ordering::Equal => last.checked_add(1).filter(|next| *next <= COUNTER_MASK)?,
                std::cmp::Ordering::Less => u64::from(self.before.next(hour)) << INDEX_BITS,
                std::cmp::Ordering::Greater => return None,
            };
            let next = wanted << COUNTER_BITS | number;
            match slot.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.place(hour, number),
                Err(now) => seen = now,
            }
        }
    }

    fn place(&self, hour: i64, number: u64) -> Option<StatusRef> {
        let list = u32::try_from(number >> INDEX_BITS).ok()?;
        let position = u32::try_from(number & u64::from(LIST_SIZE - 1)).ok()?;
        Some(StatusRef { index: self.permute(hour, list, position), list })
    }

    /// A balanced Feistel network over the index's bits, another one for each list.
    fn permute(&self, hour: i64, list: u32, position: u32) -> u32 {
        let (mut left, mut right) = (position >> HALF_BITS, position & HALF_MASK);
        for round in 0..ROUNDS {
            let mixed = self.mix(hour, list, round, right);
            (left, right) = (right, left ^ (mixed & HALF_MASK));
        }
        left << HALF_BITS | right
    }

    fn mix(&self, hour: i64, list: u32, round: u8, half: u32) -> u32 {
        let parts: [&[u8]; 5] =
            [&self.key, &hour.to_be_bytes(), &list.to_be_bytes(), &[round], &half.to_be_bytes()];
        let digest = Digest::of_parts(&parts);
        let [a, b, c, d, ..] = *digest.as_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

    #[test]
    fn every_place_of_a_list_is_handed_out_once_and_then_the_next_list_begins() {
        let allocator = Allocator::new([7; 32], Lists::default());
        let mut seen = HashSet::new();
        let mut neighbours = 0;
        let mut last = 0;
        for _ in 0..LIST_SIZE {
            let place = allocator.take(NOON).unwrap();
            assert!(place.list == 0 && place.index < LIST_SIZE);
            assert!(seen.insert(place.index));
            neighbours += u32::from(place.index.abs_diff(last) == 1);
            last = place.index;
        }
        assert!(neighbours < 50, "{neighbours} neighbours in time are neighbours in the list");
        assert_eq!(allocator.take(NOON).unwrap().list, 1);
        assert_eq!(allocator.take(NOON.plus_millis(3_600_000)).unwrap().list, 0, "hours are counted apart");
    }

    #[test]
    fn threads_never_get_the_same_place() {
        let allocator = Allocator::new([7; 32], Lists::default());
        let taken: Vec<Vec<StatusRef>> = std::thread::scope(|scope| {
            let take = || (0..5_000).map(|_| allocator.take(NOON).unwrap()).collect();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let distinct: HashSet<StatusRef> = taken.iter().flatten().copied().collect();
        assert_eq!(distinct.len(), 40_000);
    }

    #[test]
    fn a_new_run_begins_after_the_lists_of_the_last_one() {
        let mut lists = Lists::default();
        lists.note(StatusRef { index: 5, list: 2 }, NOON);
        let later = NOON.plus_millis(3_600_000);
        let allocator = Allocator::new([8; 32], lists.clone());
        assert_eq!(allocator.take(NOON).unwrap().list, 3);
        assert_eq!(allocator.take(later).unwrap().list, 0);
        lists.forget(later);
        assert_eq!((lists.next(hour(NOON)), lists.next(hour(later))), (0, 0));
    }

    #[test]
    fn a_clock_that_is_hours_behind_gets_no_place() {
        let allocator = Allocator::new([8; 32], Lists::default());
        allocator.take(NOON.plus_millis(4 * 3_600_000)).unwrap();
        assert_eq!(allocator.take(NOON), None);
    }

    #[test]
    fn bits_stand_as_the_draft_has_them() {
        // The draft's example of section 4.1 in two bits: status 0 = 1, 1 = 2, 2 = 0, 3 = 3 is 0b11001001.
        let list = bytes([(0, Status::Invalid), (1, Status::Suspended), (5, Status::Invalid)]);
        assert_eq!(list.len(), 65_536);
        assert_eq!(list.get(..3), Some(&[0b0000_1001, 0b0000_0100, 0][..]));
        let last = bytes([(LIST_SIZE - 1, Status::Suspended), (LIST_SIZE, Status::Invalid)]);
        assert_eq!(last.last(), Some(&0b1000_0000));
        assert_eq!(last.iter().filter(|byte| **byte != 0).count(), 1);
    }

    #[test]
    fn only_tokens_that_live_long_enough_are_listed() {
        let after = |seconds: i64| NOON.plus_millis(seconds * 1000);
        assert!(!is_listed(Kind::Token, NOON, after(60)));
        assert!(is_listed(Kind::Token, NOON, after(61)));
        assert!(!is_listed(Kind::Certificate, NOON, after(900)));
    }

    #[test]
    fn a_list_is_named_by_its_hour_and_ends_with_it() {
        let id = ListId::of(StatusRef { index: 9, list: 4 }, NOON.plus_millis(1_000));
        assert_eq!(id.uri("https://broker.example"), format!("https://broker.example/status/{}/4", id.hour));
        assert_eq!(id.end(), NOON.plus_millis(3_600_000));
    }
}
