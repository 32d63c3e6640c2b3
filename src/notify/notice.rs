//! What a person should know: notices, how grave they are, and what they say.
//!
//! Most are read off the log's entries, so that nothing can be told that is not recorded, and nothing that is
//! recorded can be forgotten. Never evidence, tokens, keys or anybody's prose.

mod glass;
mod kind;

use serde_json::{Value, json};

pub use self::glass::{GoingOn, Reminder};
pub use self::kind::{Kind, Severity};
use crate::domain::break_glass::Step;
use crate::domain::digest::Digest;
use crate::domain::emergency::Emergency;
use crate::domain::enrollment::Enrolled;
use crate::domain::entry::{Entry, Event};
use crate::domain::id::ApprovalId;
use crate::domain::name::{AgentId, OperatorName};
use crate::domain::revocation::Selector;
use crate::domain::wording::counted;

/// What a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An agent asked for what operators have to approve.
    Asked {
        /// Who.
        agent: AgentId,
        /// The request.
        id: ApprovalId,
    },
    /// Glass was broken, or a step towards it or back was taken.
    BreakGlass(Box<Step>),
    /// The broker started without all of its parts: ordinary issuance is refused.
    Emergency(Emergency),
    /// What an emergency kept elsewhere is part of the log.
    EmergencyMerged {
        /// How many entries.
        count: u64,
        /// The index of the first.
        first: u64,
    },
    /// Somebody got a certificate for the network.
    Enrolled {
        /// By whom.
        operator: OperatorName,
        /// Who.
        who: Enrolled,
    },
    /// The ledger has stopped; nothing is issued until a verified restart, which follows by itself.
    LedgerStopped {
        /// Why.
        problem: String,
    },
    /// A registry load was refused; the one in force stays.
    LoadFailed {
        /// Number of problems.
        problems: usize,
    },
    /// The registry was loaded.
    Loaded {
        /// Who asked; nobody at a start and on a signal.
        operator: Option<OperatorName>,
        /// SHA-256 of its files.
        registry: Digest,
    },
    /// Something was locked.
    Locked {
        /// Who.
        operator: OperatorName,
        /// What.
        selector: Selector,
    },
    /// Something goes on, and people are told again.
    Reminder(Reminder),
    /// Certificates of somebody ended.
    Removed {
        /// By whom.
        operator: OperatorName,
        /// Whose.
        who: Enrolled,
    },
    /// Credentials were revoked.
    Revoked {
        /// Who.
        operator: OperatorName,
        /// What ended.
        selector: Selector,
    },
    /// A new token key was put in force.
    Rotated {
        /// Who.
        operator: OperatorName,
        /// The new key's id.
        kid: String,
    },
    /// The broker started.
    Started {
        /// Whether it is `hotworkd dev`.
        dev: bool,
        /// Its version.
        version: String,
    },
    /// An operator tries whether notices arrive.
    Test {
        /// Who.
        operator: OperatorName,
    },
    /// A lock was ended before its time.
    Unlocked {
        /// Who.
        operator: OperatorName,
        /// The lock: the index of its entry.
        lock: u64,
    },
}

impl Notice {
    /// What is told of an entry of the log; nothing of most.
    pub fn of(entry: &Entry) -> Option<Self> {
        match &entry.event {
            Event::Ask(asked) => Some(Self::Asked { agent: asked.terms.agent.clone(), id: asked.id }),
            Event::BreakGlass(step) => Some(Self::BreakGlass(step.clone())),
            Event::Emergency(emergency) => Some(Self::Emergency(emergency.clone())),
            Event::Enroll(enrollment) => {
                // An agent's own, which is made anew every few minutes, is nothing to tell.
                let operator = enrollment.operator.clone()?;
                Some(Self::Enrolled { operator, who: enrollment.who.clone() })
            }
            Event::Load(load) => {
                Some(Self::Loaded { operator: load.operator.clone(), registry: load.registry })
            }
            Event::Lock(lock) => {
                Some(Self::Locked { operator: lock.operator.clone(), selector: lock.selector.clone() })
            }
            Event::Merge(merge) => Some(Self::EmergencyMerged { count: merge.count, first: merge.first }),
            Event::Remove(removal) => {
                Some(Self::Removed { operator: removal.operator.clone(), who: removal.who.clone() })
            }
            Event::Revoke(revoked) => {
                Some(Self::Revoked { operator: revoked.operator.clone(), selector: revoked.selector.clone() })
            }
            Event::Rotate(rotation) => {
                Some(Self::Rotated { operator: rotation.operator.clone(), kid: rotation.kid.clone() })
            }
            Event::Start(start) => Some(Self::Started { dev: start.dev, version: start.version.clone() }),
            Event::Unlock(unlock) => {
                Some(Self::Unlocked { operator: unlock.operator.clone(), lock: unlock.lock })
            }
            Event::Call(_)
            | Event::Consume(_)
            | Event::Decide(_)
            | Event::Deny(_)
            | Event::Issue(_)
            | Event::Release(_) => None,
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        Kind(match self {
            Self::Asked { .. } => "asked",
            // Whoever is told of a session's beginning hears that it goes on.
            Self::BreakGlass(_) | Self::Reminder(_) => "break-glass",
            Self::Emergency(_) => "emergency",
            Self::EmergencyMerged { .. } => "emergency-merged",
            Self::Enrolled { .. } => "enrolled",
            Self::LedgerStopped { .. } => "ledger-stopped",
            Self::LoadFailed { .. } => "load-failed",
            Self::Loaded { .. } => "registry-loaded",
            Self::Locked { .. } => "locked",
            Self::Removed { .. } => "removed",
            Self::Revoked { .. } => "revoked",
            Self::Rotated { .. } => "key-rotated",
            Self::Started { .. } => "started",
            Self::Test { .. } => "test",
            Self::Unlocked { .. } => "unlocked",
        })
    }

    /// How grave it is. What hits everything at once is an emergency, whoever did it.
    pub fn severity(&self) -> Severity {
        match self {
            Self::BreakGlass(step) => glass::severity(step),
            Self::Reminder(reminder) => reminder.severity(),
            Self::Emergency(_)
            | Self::LedgerStopped { .. }
            | Self::Locked { selector: Selector::All, .. }
            | Self::Revoked { selector: Selector::All, .. } => Severity::Critical,
            Self::Asked { .. }
            | Self::EmergencyMerged { .. }
            | Self::Enrolled { .. }
            | Self::LoadFailed { .. }
            | Self::Locked { .. }
            | Self::Removed { .. }
            | Self::Revoked { .. }
            | Self::Rotated { .. }
            | Self::Unlocked { .. } => Severity::Warning,
            Self::Loaded { .. } | Self::Started { .. } | Self::Test { .. } => Severity::Info,
        }
    }

    /// One line for a person.
    pub fn summary(&self) -> String {
        match self {
            Self::Asked { agent, .. } => format!("{agent} asks for what operators have to approve"),
            Self::BreakGlass(step) => glass::summary(step),
            Self::Emergency(emergency) => format!("emergency start, nothing ordinary is issued: {emergency}"),
            Self::EmergencyMerged { count, .. } => {
                format!("what an emergency kept is part of the log: {}", counted(*count, "entry", "entries"))
            }
            Self::Enrolled { operator, who } => format!("{operator} enrolled {who}"),
            Self::LedgerStopped { .. } => "the ledger has stopped, nothing is issued".to_owned(),
            Self::LoadFailed { problems } => {
                let problems = counted(*problems, "problem", "problems");
                format!("a registry load was refused with {problems}, the one in force stays")
            }
            Self::Loaded { operator: Some(operator), .. } => format!("{operator} loaded the registry"),
            Self::Loaded { operator: None, .. } => "the registry was loaded".to_owned(),
            Self::Locked { operator, selector } => format!("{operator} locked {}", shown(selector)),
            Self::Reminder(reminder) => reminder.summary(),
            Self::Removed { operator, who } => format!("{operator} ended certificates of {who}"),
            Self::Revoked { operator, selector } => format!("{operator} revoked {}", shown(selector)),
            Self::Rotated { operator, .. } => format!("{operator} put a new token key in force"),
            Self::Started { version, .. } => format!("the broker {version} started"),
            Self::Test { operator } => format!("{operator} tries whether notices arrive"),
            Self::Unlocked { operator, lock } => format!("{operator} ended the lock {lock}"),
        }
    }

    /// The facts, as a JSON object of texts, numbers and truth values.
    pub fn details(&self) -> Value {
        match self {
            Self::Asked { agent, id } => json!({"agent": agent.as_str(), "request": id.to_string()}),
            Self::BreakGlass(step) => glass::details(step),
            Self::Emergency(emergency) => json!({"causes": emergency.causes}),
            Self::EmergencyMerged { count, first } => json!({"count": count, "first": first}),
            Self::Enrolled { operator, who } | Self::Removed { operator, who } => {
                json!({"operator": operator.as_str(), "who": who.to_string()})
            }
            Self::Reminder(reminder) => reminder.details(),
            Self::LedgerStopped { problem } => json!({"problem": problem}),
            Self::LoadFailed { problems } => json!({"problems": problems}),
            Self::Loaded { operator, registry } => {
                json!({"operator": operator.as_ref().map(OperatorName::as_str), "registry_sha256": registry.to_string()})
            }
            Self::Locked { operator, selector } | Self::Revoked { operator, selector } => {
                json!({"operator": operator.as_str(), "selector": shown(selector)})
            }
            Self::Rotated { operator, kid } => json!({"operator": operator.as_str(), "kid": kid}),
            Self::Started { dev, version } => json!({"dev": dev, "version": version}),
            Self::Test { operator } => json!({"operator": operator.as_str()}),
            Self::Unlocked { operator, lock } => json!({"operator": operator.as_str(), "lock": lock}),
        }
    }
}

/// A selector as others may read it: an attested fact is evidence, and stays here.
fn shown(selector: &Selector) -> String {
    match selector {
        Selector::Attested(fact) => format!("attested {}", fact.kind),
        Selector::Action(_)
        | Selector::Agent(_)
        | Selector::All
        | Selector::Api(_)
        | Selector::Credential(_)
        | Selector::Key(_)
        | Selector::Lineage(_)
        | Selector::Owner(_)
        | Selector::Principal(_)
        | Selector::Resource(_)
        | Selector::Serial(_)
        | Selector::Tenant(_) => selector.to_string(),
    }
}

#[cfg(test)]
pub(super) use self::glass::{opening, reminder};

/// One notice of each kind, for tests.
#[cfg(test)]
pub(super) fn one_of_each() -> Vec<Notice> {
    let operator: OperatorName = "ann".parse().unwrap();
    let who = Enrolled::Operator(operator.clone());
    let selector = Selector::Tenant("acme".parse().unwrap());
    let agent = "spiffe://td/tenant/acme/agent/buyer".parse().unwrap();
    vec![
        Notice::Asked {
            agent,
            id: ApprovalId::new(crate::domain::time::Timestamp::from_millis(1), &[7; 10]),
        },
        Notice::BreakGlass(Box::new(glass::closed())),
        Notice::Emergency(Emergency { causes: vec![crate::domain::emergency::Cause::Store] }),
        Notice::EmergencyMerged { count: 3, first: 7 },
        Notice::Enrolled { operator: operator.clone(), who: who.clone() },
        Notice::LedgerStopped { problem: "no space left".to_owned() },
        Notice::LoadFailed { problems: 2 },
        Notice::Loaded { operator: None, registry: Digest::of(b"x") },
        Notice::Locked { operator: operator.clone(), selector: selector.clone() },
        Notice::Reminder(glass::reminder(5, false, GoingOn::Open)),
        Notice::Removed { operator: operator.clone(), who },
        Notice::Revoked { operator: operator.clone(), selector },
        Notice::Rotated { operator: operator.clone(), kid: "k".to_owned() },
        Notice::Started { dev: false, version: "0.1.0".to_owned() },
        Notice::Test { operator: operator.clone() },
        Notice::Unlocked { operator, lock: 7 },
    ]
}

#[cfg(test)]
mod tests;
