//! Break-glass: a time-boxed activation of a declared playbook, signed by several people.
//!
//! ```text
//! proposed --quorum--> open --close or its end--> over --review--> reviewed
//!    \--its end--> gone   \--extension, quorum again--> open
//! ```
//! Values here, the rules in [`Sessions`]. A session's credentials are of one lineage, which is its id.

mod held;
mod sessions;
#[cfg(test)]
mod tests;
pub mod text;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::held::{Closed, Held, Pending, Phase};
pub use self::sessions::Sessions;
use super::digest::Digest;
use super::id::Lineage;
use super::limits::{
    BREAK_GLASS_SECONDS_MAX, BREAK_GLASS_SESSIONS_MAX, PROPOSAL_SECONDS_MAX, PROPOSALS_PER_SIGNER_MAX,
};
use super::name::{OperatorName, PlaybookName, Reason, Ticket};
use super::playbook::{Quorum, Restriction, Scope};
use super::statement::Nonce;
use super::time::Timestamp;

/// What is signed: the text, and what it says as the rules know it. The log has both, so that whoever has it can check
/// who signed what with `ssh-keygen` alone. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// What is to happen.
    pub asks: Asks,
    /// It can be signed from here. Whole seconds.
    pub from: Timestamp,
    /// What makes the text unlike every other.
    pub nonce: Nonce,
    /// How many different people must sign.
    pub quorum: Quorum,
    /// SHA-256 of the text that is signed: the proposal's id.
    pub statement: Digest,
    /// The text that is signed.
    pub text: Arc<str>,
    /// It can be signed before here, [`super::limits::PROPOSAL_SECONDS_MAX`] later.
    pub until: Timestamp,
}

impl Proposal {
    /// The opening that it asks for; none when it asks for an extension.
    pub const fn opening(&self) -> Option<&Opening> {
        match &self.asks {
            Asks::Extend(_) => None,
            Asks::Open(opening) => Some(opening),
        }
    }
}

/// What a proposal asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asks {
    /// A later end for an open session.
    Extend(Extension),
    /// A session.
    Open(Opening),
}

/// An opening. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Whether nothing that is minted under it is worth anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
    /// The playbook.
    pub playbook: PlaybookName,
    /// Why.
    pub reason: Reason,
    /// What it may do, as declared when it was signed.
    pub scope: Scope,
    /// How long it lasts from its opening, in seconds, 1 to [`BREAK_GLASS_SECONDS_MAX`].
    pub seconds: u32,
    /// The incident.
    pub ticket: Ticket,
}

/// An extension. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Why.
    pub reason: Reason,
    /// The open session.
    pub session: Lineage,
    /// Its new end.
    pub until: Timestamp,
}

/// One person's signature. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The fingerprint of the key that made it, `SHA256:...`.
    pub key: String,
    /// The person.
    pub operator: OperatorName,
    /// The signature without its armor, in base64: with the text, anybody can check it again.
    pub signature: Arc<str>,
}

/// One step, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A session was ended before its time.
    Close(Closing),
    /// A session got a later end.
    Extend(Extended),
    /// A session was opened: its quorum is here.
    Open(Opened),
    /// Somebody signed first, and others must.
    Propose(Proposed),
    /// What a session shuts and ends was shut and ended.
    Restrict(Restricted),
    /// What was done was looked at by somebody else.
    Review(Review),
    /// Somebody signed, and others must.
    Sign(Signed),
}

/// The record of an opening: all that a session is. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// What was signed.
    pub proposal: Proposal,
    /// Its id, and the lineage of all that is minted under it.
    pub session: Lineage,
    /// By whom, in their order.
    pub signatures: Vec<Signature>,
    /// Its end.
    pub until: Timestamp,
}

/// The record of a first signature that was not enough. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposed {
    /// What was signed.
    pub proposal: Proposal,
    /// By whom.
    pub signature: Signature,
}

/// The record of a further signature that was not enough. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// By whom.
    pub signature: Signature,
    /// What was signed.
    pub statement: Digest,
    /// The proposal's end: later this no longer matters.
    pub until: Timestamp,
}

/// The record of an extension. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extended {
    /// Whether the session is a drill.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
    /// The session's playbook; absent in entries that were made before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<PlaybookName>,
    /// What was signed.
    pub proposal: Proposal,
    /// The session.
    pub session: Lineage,
    /// By whom, in their order.
    pub signatures: Vec<Signature>,
    /// Its new end.
    pub until: Timestamp,
}

/// The record of what a session has shut and ended: what of it is left to do. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restricted {
    /// What could not be done, and is tried again.
    pub left: Restriction,
    /// The session.
    pub session: Lineage,
    /// The end that it had, and that its locks have. After an extension this says nothing.
    pub until: Timestamp,
}

/// The record of an early end. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// Whether it was a drill; filled in by the rules.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
    /// Who closed.
    pub operator: OperatorName,
    /// The session's playbook; filled in by the rules, and absent in entries that were made before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<PlaybookName>,
    /// Why.
    pub reason: Reason,
    /// The session.
    pub session: Lineage,
}

/// The record of a review. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Whether it was a drill; filled in by the rules.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
    /// What the reviewer found.
    pub finding: Reason,
    /// Who reviewed.
    pub operator: OperatorName,
    /// The session's playbook; filled in by the rules, and absent in entries that were made before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<PlaybookName>,
    /// The session.
    pub session: Lineage,
}

impl Step {
    /// When the entry no longer matters to any decision; `None` when that is not known beforehand.
    pub const fn matters_until(&self) -> Option<Timestamp> {
        match self {
            Self::Close(_) | Self::Extend(_) | Self::Open(_) | Self::Restrict(_) | Self::Review(_) => None,
            // It counts for its signer from its record on, which was before its end.
            Self::Propose(proposed) => {
                Some(proposed.proposal.until.plus_millis(PROPOSAL_SECONDS_MAX.saturating_mul(1000)))
            }
            Self::Sign(signed) => Some(signed.until),
        }
    }

    /// The person of this step: who closed, reviewed, or signed last.
    pub fn operator(&self) -> Option<&OperatorName> {
        match self {
            Self::Close(closing) => Some(&closing.operator),
            Self::Extend(Extended { signatures, .. }) | Self::Open(Opened { signatures, .. }) => {
                signatures.last().map(|signature| &signature.operator)
            }
            Self::Propose(proposed) => Some(&proposed.signature.operator),
            Self::Restrict(_) => None,
            Self::Review(review) => Some(&review.operator),
            Self::Sign(signed) => Some(&signed.signature.operator),
        }
    }

    /// The playbook that it is about, as far as the entry tells: a further signature names its text alone.
    pub fn playbook(&self) -> Option<&PlaybookName> {
        match self {
            Self::Close(closing) => closing.playbook.as_ref(),
            Self::Extend(extended) => extended.playbook.as_ref(),
            Self::Open(Opened { proposal, .. }) | Self::Propose(Proposed { proposal, .. }) => {
                proposal.opening().map(|opening| &opening.playbook)
            }
            Self::Review(review) => review.playbook.as_ref(),
            // Its session tells.
            Self::Restrict(_) | Self::Sign(_) => None,
        }
    }

    /// Whether nothing of what it is about is worth anything, as far as the entry tells.
    pub fn is_drill(&self) -> bool {
        match self {
            Self::Close(closing) => closing.drill,
            Self::Extend(extended) => extended.drill,
            Self::Open(Opened { proposal, .. }) | Self::Propose(Proposed { proposal, .. }) => {
                proposal.opening().is_some_and(|opening| opening.drill)
            }
            Self::Review(review) => review.drill,
            // A drill shuts nothing.
            Self::Restrict(_) | Self::Sign(_) => false,
        }
    }

    /// The session that it is about, once there is one.
    pub const fn session(&self) -> Option<Lineage> {
        match self {
            Self::Close(closing) => Some(closing.session),
            Self::Extend(extended) => Some(extended.session),
            Self::Open(opened) => Some(opened.session),
            Self::Restrict(restricted) => Some(restricted.session),
            Self::Review(review) => Some(review.session),
            Self::Propose(proposed) => match &proposed.proposal.asks {
                Asks::Extend(extension) => Some(extension.session),
                Asks::Open(_) => None,
            },
            Self::Sign(_) => None,
        }
    }
}

/// What is asked of the rules.
#[derive(Clone, Debug)]
pub enum Ask {
    /// End a session before its time.
    Close(Closing),
    /// Note what a session has shut and ended.
    Restrict(Restricted),
    /// Note a review.
    Review(Review),
    /// Add a signature, and do what is asked when it completes the quorum.
    Sign(Box<Sign>),
}

/// A verified signature of a responder on a proposal.
#[derive(Clone, Debug)]
pub struct Sign {
    /// What was signed.
    pub proposal: Proposal,
    /// By whom.
    pub signature: Signature,
    /// All whose signatures count, by the registry in force: neither who has left it meanwhile is among them, nor a key
    /// that has.
    pub responders: Vec<Responder>,
    /// The id of the session, should one open.
    pub session: Lineage,
}

/// A person whose signature counts, made with one of these keys. Fields in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    /// The fingerprints of their keys, `SHA256:...`.
    pub keys: Vec<String>,
    /// The person.
    pub name: OperatorName,
}

impl Responder {
    /// Those of the signatures that count: of one of these people, with a key that is still theirs.
    pub fn counted(responders: &[Self], signatures: &[Signature]) -> Vec<Signature> {
        let counts = |one: &&Signature| {
            responders.iter().any(|person| person.name == one.operator && person.keys.contains(&one.key))
        };
        signatures.iter().filter(counts).cloned().collect()
    }
}

impl GlassRefusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadySigned(_) => "already-signed",
            Self::BadEnd => "session-end-refused",
            Self::Expired => "statement-expired",
            Self::NotOpen => "session-not-open",
            Self::NotResponder(_) => "not-a-responder",
            Self::OwnReview(_) => "own-review",
            Self::SessionsExhausted => "sessions-exhausted",
            Self::Spent => "statement-spent",
            Self::StillOpen => "session-open",
            Self::TooManyProposals(_) => "proposals-exhausted",
            Self::Unknown => "not-found",
            Self::WeakerQuorum => "session-quorum-lowered",
        }
    }
}

/// Why a step changes nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum GlassRefusal {
    /// The same person has signed it already; people are counted, not keys.
    #[error("`{0}` has signed this already; another person must")]
    AlreadySigned(OperatorName),
    /// The extension does not make it longer, or makes it longer than a session may be.
    #[error("the new end is not after the session's, or more than {BREAK_GLASS_SECONDS_MAX} s from now")]
    BadEnd,
    /// The statement can't be signed yet or any more.
    #[error("the statement is good only between its two times; prepare a new one")]
    Expired,
    /// The session has ended already.
    #[error("the session is not open")]
    NotOpen,
    /// The signer may not sign for this playbook.
    #[error("`{0}` is no responder of this playbook")]
    NotResponder(OperatorName),
    /// Who signed does not review.
    #[error("`{0}` signed for this session; somebody else must review it")]
    OwnReview(OperatorName),
    /// There are too many sessions of the playbook without a review.
    #[error("{BREAK_GLASS_SESSIONS_MAX} sessions of this playbook are open or wait for their review")]
    SessionsExhausted,
    /// The statement has done its work.
    #[error("the statement was used; prepare a new one")]
    Spent,
    /// A session is reviewed when it is over.
    #[error("the session is open; close it first")]
    StillOpen,
    /// The signer has too many proposals that can be signed.
    #[error(
        "more than {PROPOSALS_PER_SIGNER_MAX} proposals of `{0}` can be signed; others can still propose"
    )]
    TooManyProposals(OperatorName),
    /// There is no such session.
    #[error("there is no such session that waits for anything")]
    Unknown,
    /// The extension asks for fewer signers than the opening did: the playbook was changed since.
    #[error("the playbook asks for fewer signers than when the session opened; open another session")]
    WeakerQuorum,
}
