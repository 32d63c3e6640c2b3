//! Whether the key that is to sign may: the last question before it is used.

use std::sync::Arc;

use super::{Denied, Permitted};
use crate::domain::revocation::{Facts, Locks};
use crate::domain::time::Timestamp;

/// What was permitted and no lock refuses of the key that is to sign it: the proof that sealing asks for, so that no key
/// is used for what a lock on it refuses.
#[derive(Debug)]
pub struct Signable {
    permitted: Permitted,
}

impl Signable {
    /// What was permitted. For `seal`.
    pub(in crate::broker) fn into_permitted(self) -> Permitted {
        self.permitted
    }
}

/// Whether no lock refuses what the key `kid` would sign of it. Asked before the key is used; the ledger asks again.
pub(in crate::broker) fn signable(
    locks: &Locks,
    permitted: Permitted,
    kid: &str,
    now: Timestamp,
) -> Result<Signable, Denied> {
    let facts = Facts {
        action: &permitted.request.action,
        agent: &permitted.agent.id,
        attested: &permitted.attested,
        key: Some(kid),
        lineage: None,
        owner: Some(&permitted.agent.entry.owner),
        principal: permitted.agent.principal(),
        resource: &permitted.request.resource,
        serial: None,
    };
    match locks.refusing(&facts, now) {
        None => Ok(Signable { permitted }),
        Some(held) => Err(Arc::clone(held).into()),
    }
}
