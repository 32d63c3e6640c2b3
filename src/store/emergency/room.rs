//! Who may use how much of the emergency journal: what ends something is never refused for what began it.
//!
//! The writer asks before it decides, so that a full journal refuses and does not stop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::content::Content;
use crate::domain::entry::{Entry, Event};
use crate::domain::id::Lineage;
use crate::domain::ledger::{Command, InEmergency};
use crate::domain::limits::{
    EMERGENCY_BYTES, EMERGENCY_LAST_BYTES, EMERGENCY_RESERVED_BYTES, EMERGENCY_SESSION_BYTES_MAX,
    ENTRY_BYTES_MAX,
};
use crate::store::error::LedgerError;
use crate::store::journal::group::NOTE_BYTES_MAX;

/// What an entry takes beside its own bytes when it is alone in its group: two heads, checksums, a checkpoint.
const GROUP_BYTES: u64 = 512;

/// How much room is left, and for what.
#[derive(Debug)]
pub(in crate::store) struct Room {
    used: AtomicU64,
    /// What the sessions have used: one for each session with a grant in the journal.
    sessions: Mutex<HashMap<Lineage, u64>>,
}

impl Room {
    /// What is left beside `used` bytes, in which is `content`.
    pub(super) fn new(used: u64, content: Option<&Content>) -> Self {
        let room = Self { used: AtomicU64::new(used), sessions: Mutex::default() };
        let mut of = HashMap::new();
        for json in content.iter().flat_map(|content| content.entries().map(|(_, json)| json)) {
            let session = match Entry::from_json(json).map(|entry| entry.event) {
                Ok(Event::Consume(consumption)) => of.get(&consumption.credential).copied(),
                Ok(Event::Issue(issuance)) => {
                    let session = issuance.session();
                    session.into_iter().for_each(|session| of.extend([(issuance.id, session)]));
                    session
                }
                // Everything else is of no session, and what is no entry was refused before.
                Ok(_) | Err(_) => None,
            };
            session.into_iter().for_each(|session| room.took(session, json.len()));
        }
        room
    }

    /// The journal has so many bytes now.
    pub(super) fn reached(&self, used: u64) {
        self.used.store(used, Ordering::Release);
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
        let used = self.used.load(Ordering::Acquire).saturating_add(u64::try_from(most).unwrap_or(u64::MAX));
        let has_room = used.saturating_add(kept) <= EMERGENCY_BYTES;
        let in_share = command.session().is_none_or(|session| self.of(session) < EMERGENCY_SESSION_BYTES_MAX);
        if has_room && in_share { Ok(()) } else { Err(LedgerError::EmergencyFull) }
    }

    /// An entry of so many bytes is of the session.
    pub(in crate::store) fn took(&self, session: Lineage, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(GROUP_BYTES);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let used = sessions.entry(session).or_default();
        *used = used.saturating_add(bytes);
    }

    fn of(&self, session: Lineage) -> u64 {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&session).copied().unwrap_or_default()
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
        room.took(grant(1).session().unwrap(), most - 1);
        assert_eq!(room.fits(0, &grant(1)), Ok(()));
        room.took(grant(1).session().unwrap(), 0);
        assert_eq!(room.fits(0, &grant(1)), Err(LedgerError::EmergencyFull));
        assert_eq!(room.fits(0, &grant(2)), Ok(()));
    }
}
