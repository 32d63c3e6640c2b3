//! Who may use how much of the emergency journal: what ends something is never refused for what began it.
//!
//! The writer asks before it decides, so that a full journal refuses and does not stop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::content::Content;
use crate::domain::break_glass::Step;
use crate::domain::entry::{Entry, Event};
use crate::domain::id::{CredentialId, Lineage};
use crate::domain::ledger::{Command, InEmergency};
use crate::domain::limits::{
    EMERGENCY_BYTES, EMERGENCY_LAST_BYTES, EMERGENCY_OPERATOR_BYTES_MAX, EMERGENCY_OPERATOR_BYTES_SPARE,
    EMERGENCY_RESERVED_BYTES, EMERGENCY_SESSION_BYTES_MAX, ENTRY_BYTES_MAX,
};
use crate::domain::name::OperatorName;
use crate::store::error::LedgerError;
use crate::store::journal::group::NOTE_BYTES_MAX;

/// What an entry takes beside its own bytes when it is alone in its group: two heads, checksums, a checkpoint.
const GROUP_BYTES: u64 = 512;
/// What an entry must find free, however long it will be: the vital ones end so much before the last part.
const MARGIN_BYTES: u64 = 68 * 1024;

/// Who has a share of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) enum Holder {
    /// Who ends something, of the last part.
    Operator(OperatorName),
    /// A session, with its grants and their debits.
    Session(Lineage),
}

impl Holder {
    /// Whose share the command uses.
    pub(in crate::store) fn of(command: &Command) -> Option<Self> {
        let operator = || command.ended_by().cloned().map(Self::Operator);
        command.session().map(Self::Session).or_else(operator)
    }
}

/// How much room is left, and for what.
#[derive(Debug)]
pub(in crate::store) struct Room {
    used: AtomicU64,
    /// What each has used of their share.
    shares: Mutex<HashMap<Holder, u64>>,
}

impl Room {
    /// What is left beside `used` bytes, in which is `content`.
    pub(super) fn new(used: u64, content: Option<&Content>) -> Self {
        let room = Self { used: AtomicU64::new(0), shares: Mutex::default() };
        let mut of = HashMap::new();
        for (group, bytes) in content.iter().flat_map(|content| content.groups()) {
            for (_, json) in group.entries() {
                if let Some(holder) = holder_of(json, &mut of) {
                    room.took(&holder, json.len());
                }
            }
            let end = room.used().saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            room.reached(end);
        }
        room.reached(used);
        room
    }

    /// The journal has so many bytes now.
    pub(super) fn reached(&self, used: u64) {
        self.used.store(used, Ordering::Release);
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Whether the entry of `command`, of whatever size, fits into a group that has `bytes` so far.
    ///
    /// # Errors
    /// When it does not, or waits for the end of the emergency.
    pub(in crate::store) fn fits(&self, bytes: usize, command: &Command) -> Result<(), LedgerError> {
        let kept = match command.in_emergency() {
            InEmergency::Ends => 0,
            InEmergency::Kept => EMERGENCY_RESERVED_BYTES,
            InEmergency::Refused => return Err(LedgerError::Emergency),
            InEmergency::Vital => EMERGENCY_LAST_BYTES,
        };
        let most = bytes.saturating_add(ENTRY_BYTES_MAX).saturating_add(NOTE_BYTES_MAX).saturating_add(64);
        let used = self.used().saturating_add(u64::try_from(most).unwrap_or(u64::MAX));
        let has_room = used.saturating_add(kept) <= EMERGENCY_BYTES;
        let in_share = Holder::of(command).is_none_or(|holder| {
            let share = match holder {
                Holder::Session(_) => EMERGENCY_SESSION_BYTES_MAX,
                Holder::Operator(_) if command.stops_all() => {
                    EMERGENCY_OPERATOR_BYTES_MAX + EMERGENCY_OPERATOR_BYTES_SPARE
                }
                Holder::Operator(_) => EMERGENCY_OPERATOR_BYTES_MAX,
            };
            self.share(&holder) < share
        });
        if has_room && in_share { Ok(()) } else { Err(LedgerError::EmergencyFull) }
    }

    /// An entry of so many bytes is somebody's. What operators end counts from the last part on: before it nobody is in
    /// anybody's way.
    pub(in crate::store) fn took(&self, holder: &Holder, bytes: usize) {
        let counts = match holder {
            Holder::Operator(_) => self.used() >= EMERGENCY_BYTES - EMERGENCY_LAST_BYTES - MARGIN_BYTES,
            Holder::Session(_) => true,
        };
        if counts {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(GROUP_BYTES);
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            let used = shares.entry(holder.clone()).or_default();
            *used = used.saturating_add(bytes);
        }
    }

    fn share(&self, holder: &Holder) -> u64 {
        let shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.get(holder).copied().unwrap_or_default()
    }
}

/// Whose share an entry used. `of` has the sessions of the credentials that were met.
fn holder_of(json: &[u8], of: &mut HashMap<CredentialId, Lineage>) -> Option<Holder> {
    let operator = |name: OperatorName| Some(Holder::Operator(name));
    match Entry::from_json(json).ok()?.event {
        Event::BreakGlass(step) => match *step {
            Step::Close(closing) => operator(closing.operator),
            Step::Review(review) => operator(review.operator),
            Step::Extend(_) | Step::Open(_) | Step::Propose(_) | Step::Restrict(_) | Step::Sign(_) => None,
        },
        Event::Consume(consumption) => of.get(&consumption.credential).copied().map(Holder::Session),
        Event::Issue(issuance) => {
            let session = issuance.session()?;
            of.insert(issuance.id, session);
            Some(Holder::Session(session))
        }
        Event::Lock(lock) => operator(lock.operator),
        Event::Remove(removal) => operator(removal.operator),
        Event::Revoke(revocation) => operator(revocation.operator),
        Event::Unlock(unlock) => operator(unlock.operator),
        Event::Ask(_)
        | Event::Call(_)
        | Event::Decide(_)
        | Event::Deny(_)
        | Event::Emergency(_)
        | Event::Enroll(_)
        | Event::Load(_)
        | Event::Merge(_)
        | Event::Release(_)
        | Event::Rotate(_)
        | Event::Start(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::break_glass::{Ask, Closing};
    use crate::domain::catalogue::Tier;
    use crate::domain::entry::Call;
    use crate::domain::fixture;
    use crate::domain::time::Timestamp;

    #[test]
    fn each_share_ends_where_the_next_begins() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let session = Lineage::new(now, &[1; 10]);
        let call = Call {
            allowed: true,
            operator: "olga".parse().unwrap(),
            reason: None,
            rpc: "x".to_owned(),
            statement: None,
        };
        let grant = crate::domain::credential::Issuance {
            lineage: session,
            tier: Tier::BreakGlass,
            ..fixture::issuance("a", now, 1)
        };
        let (operator, reason) = ("olga".parse().unwrap(), "done".parse().unwrap());
        let closing = Closing { drill: false, operator, playbook: None, reason, session };
        let commands = [
            Command::Call(call),
            Command::Issue(Box::new(grant.clone())),
            Command::BreakGlass(Ask::Close(closing)),
        ];
        let most = u64::try_from(ENTRY_BYTES_MAX + NOTE_BYTES_MAX + 64).unwrap();
        let kept = [EMERGENCY_RESERVED_BYTES, EMERGENCY_LAST_BYTES, 0];
        for (at, (command, kept)) in commands.iter().zip(kept).enumerate() {
            let full = EMERGENCY_BYTES - kept - most;
            assert_eq!(Room::new(full, None).fits(0, command), Ok(()), "{at}");
            assert_eq!(Room::new(full + 1, None).fits(0, command), Err(LedgerError::EmergencyFull), "{at}");
            assert_eq!(Room::new(full, None).fits(1, command), Err(LedgerError::EmergencyFull), "{at}");
        }
        let ordinary = Command::Issue(Box::new(fixture::issuance("a", now, 1)));
        assert_eq!(Room::new(0, None).fits(0, &ordinary), Err(LedgerError::Emergency));
        // A drill has no share of the reserve.
        let drill = Command::Issue(Box::new(crate::domain::credential::Issuance { drill: true, ..grant }));
        let full = Room::new(EMERGENCY_RESERVED_BYTES, None);
        assert_eq!(full.fits(0, &drill), Err(LedgerError::EmergencyFull));
        assert_eq!(full.fits(0, &commands[1]), Ok(()));
    }

    #[test]
    fn a_session_has_its_share_and_no_other_one_s() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let grant = |random: u8| {
            let issuance = fixture::issuance("a", now, random);
            let lineage = Lineage::new(now, &[random; 10]);
            let issuance =
                crate::domain::credential::Issuance { lineage, tier: Tier::BreakGlass, ..issuance };
            Command::Issue(Box::new(issuance))
        };
        let room = Room::new(0, None);
        let most = usize::try_from(EMERGENCY_SESSION_BYTES_MAX - GROUP_BYTES).unwrap();
        room.took(&Holder::of(&grant(1)).unwrap(), most - 1);
        assert_eq!(room.fits(0, &grant(1)), Ok(()));
        room.took(&Holder::of(&grant(1)).unwrap(), 0);
        assert_eq!(room.fits(0, &grant(1)), Err(LedgerError::EmergencyFull));
        assert_eq!(room.fits(0, &grant(2)), Ok(()));
    }
}
