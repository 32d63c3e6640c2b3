//! Approvals: what an agent asked for that operators have to decide, and what they decided.
//!
//! A request is bound to its [`Terms`]: what operators read and sign is made from these typed fields, and what is
//! issued must be covered by them. An agent's own words are no part of them. [`Approvals`] has the rules.

mod book;
mod said;

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::book::{ApprovalRefusal, Approvals};
pub use self::said::{Said, read};
use super::catalogue::Access;
use super::credential::{Issuance, Kind};
use super::digest::Digest;
use super::evidence::Selector;
use super::id::{ApprovalId, CredentialId, Lineage};
use super::name::{ActionName, AgentId, Audience, OperatorName, PolicyName, Purpose, Reason, TrustDomain};
use super::operator::Operator;
use super::parameter::{Parameter, Value};
use super::request::Confirmation;
use super::resource::Resource;
use super::ssh_key::Fingerprint;
use super::statement::{Draft, Namespace, Nonce, NotAStatement, Statement, Window};
use super::time::{Timestamp, Ttl};

/// Everything that an approval is bound to. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The one action.
    pub action: ActionName,
    /// Who asks.
    pub agent: AgentId,
    /// Digest of the call's arguments, when it is bound to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Digest>,
    /// The API's audience.
    pub audience: Audience,
    /// How many calls it is good for, when they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<NonZeroU32>,
    /// The holder's key of a token.
    pub cnf: Confirmation,
    /// SHA-256 of the holder's key: of a certificate the SubjectPublicKeyInfo.
    pub holder: Digest,
    /// Token or certificate.
    pub kind: Kind,
    /// The parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// The accountable party.
    pub principal: Arc<str>,
    /// Why, as the caller's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// The one resource.
    pub resource: Resource,
    /// How long the credential lives.
    pub ttl: Ttl,
}

/// The record of one request for approval. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What the action can do to the resource.
    pub access: Access,
    /// How many distinct operators have to approve.
    pub approvals: NonZeroU8,
    /// What attestation established, of the kinds that records keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attested: Vec<Selector>,
    /// SHA-256 of the attestation evidence.
    pub evidence: Digest,
    /// When it ends, decided or not. Whole seconds.
    pub expires: Timestamp,
    /// Its id.
    pub id: ApprovalId,
    /// SHA-256 of the agent's own words, when there are any. The log has no free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<Digest>,
    /// What joins it to the credential.
    pub lineage: Lineage,
    /// What makes its statements unlike all others.
    pub nonce: Nonce,
    /// Who answers for the agent.
    pub owner: Arc<str>,
    /// The policies that let it ask.
    pub policies: Vec<PolicyName>,
    /// SHA-256 of the registry that it was decided on.
    pub registry: Digest,
    /// [`Terms::digest`].
    pub request: Digest,
    /// What it is bound to.
    pub terms: Terms,
}

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No: one is enough.
    Deny,
}

impl Verdict {
    /// The word in statements and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// The record of one operator's decision. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// On which request.
    pub approval: ApprovalId,
    /// When the request ends.
    pub expires: Timestamp,
    /// The fingerprint of the key that signed.
    pub fingerprint: Fingerprint,
    /// Who. People are counted, not keys.
    pub operator: OperatorName,
    /// Whether they answer for the agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owner: bool,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The signature in base64: with the statement, which is made from these records, anybody can check it again.
    pub signature: Arc<str>,
    /// SHA-256 of the statement that was signed.
    pub statement: Digest,
    /// What.
    pub verdict: Verdict,
}

/// The approval that a credential was issued on, in its record. Fields in alphabetical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// When it would have ended.
    pub expires: Timestamp,
    /// Which.
    pub id: ApprovalId,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Enough operators approved; it can be used once.
    Approved,
    /// An operator denied it.
    Denied,
    /// Nobody decided in time, or nobody used it in time.
    Expired,
    /// It waits for operators.
    Pending,
    /// A credential was issued on it.
    Used,
}

/// What an operator is to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Neither of the others.
    Independent,
    /// They answer for the agent.
    Owner,
    /// They asked: the agent's process is theirs, or it acts for them.
    Requester,
}

/// A request with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// What was asked.
    pub asked: Arc<Asked>,
    /// Its entry in the log.
    pub index: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// What operators decided, oldest first.
    pub votes: Vec<Vote>,
    /// The credential that was issued on it.
    pub used: Option<CredentialId>,
}

impl Approval {
    /// Where it is at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        if self.used.is_some() {
            State::Used
        } else if self.votes.iter().any(|vote| vote.verdict == Verdict::Deny) {
            State::Denied
        } else if now >= self.asked.expires {
            State::Expired
        } else if self.asked.is_enough(self.votes.iter()) {
            State::Approved
        } else {
            State::Pending
        }
    }

    /// How many people have approved.
    pub fn given(&self) -> usize {
        people(self.votes.iter())
    }
}

/// How many people approved. Nobody is counted twice, whatever keys they have.
fn people<'a>(votes: impl Iterator<Item = &'a Vote>) -> usize {
    let mut names: Vec<&OperatorName> =
        votes.filter(|vote| vote.verdict == Verdict::Approve).map(|vote| &vote.operator).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

impl Asked {
    /// Whether these votes are enough. For what can't be put back, the agent's owner alone is not.
    pub fn is_enough<'a>(&self, votes: impl Iterator<Item = &'a Vote>) -> bool {
        let yes: Vec<&Vote> = votes.filter(|vote| vote.verdict == Verdict::Approve).collect();
        let alone = match self.access {
            Access::Destructive => yes.iter().all(|vote| vote.owner),
            Access::Read | Access::Write => false,
        };
        people(yes.into_iter()) >= usize::from(self.approvals.get()) && !alone
    }

    /// What `operator` is to this request. A requester's word does not count, whatever roles they have.
    pub fn part_of(&self, operator: &Operator) -> Part {
        if self.attested.iter().any(|fact| operator.runs(fact)) || operator.goes_by(&self.terms.principal) {
            Part::Requester
        } else if operator.goes_by(&self.owner) {
            Part::Owner
        } else {
            Part::Independent
        }
    }

    /// The text that `operator` signs to decide it.
    ///
    /// # Errors
    /// When it would not be a statement.
    pub fn statement(
        &self,
        trust_domain: &TrustDomain,
        verdict: Verdict,
        operator: &OperatorName,
        reason: Option<&Reason>,
    ) -> Result<Statement, NotAStatement> {
        let window = Window { from: Timestamp::from_seconds(self.id.time().seconds()), until: self.expires };
        let mut draft = Draft::new(Namespace::Approval, trust_domain, self.nonce, window)
            .line("decision", verdict.as_str())
            .line("operator", operator)
            .line("request", self.id)
            .line("approvals-needed", self.approvals)
            .line("access", self.access.as_str())
            .line("owner", plain(&self.owner));
        for (key, value) in self.terms.lines() {
            draft = draft.line(key, value);
        }
        draft = draft.line("request-sha256", self.request);
        if let Some(reason) = reason {
            draft = draft.line("reason", reason);
        }
        draft.finish()
    }
}

impl Terms {
    /// Each of them as a line, in a fixed order: what people read, and what the digest is of.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![
            ("agent".to_owned(), self.agent.to_string()),
            ("principal".to_owned(), plain(&self.principal)),
            ("action".to_owned(), self.action.to_string()),
            ("resource".to_owned(), self.resource.to_string()),
        ];
        lines.extend(self.parameters.iter().map(|Parameter { name, value }| {
            let value = match value {
                Value::Flag(flag) => flag.to_string(),
                Value::Integer(integer) => i64::from(*integer).to_string(),
                Value::Text(text) => format!("{:?}", text.as_str()),
            };
            (format!("parameter.{name}"), value)
        }));
        lines.extend(self.args.map(|args| ("args-sha256".to_owned(), args.to_string())));
        lines.extend(self.purpose.as_ref().map(|purpose| ("purpose".to_owned(), purpose.to_string())));
        let calls = self.calls.map_or_else(|| "not counted".to_owned(), |calls| calls.to_string());
        lines.extend([
            ("audience".to_owned(), self.audience.to_string()),
            ("credential".to_owned(), kind(self.kind).to_owned()),
            ("lifetime".to_owned(), self.ttl.to_string()),
            ("calls".to_owned(), calls),
            ("holder".to_owned(), self.holder()),
        ]);
        lines
    }

    /// SHA-256 of all of them. The values are printable and on lines of their own, so no two terms have the same.
    pub fn digest(&self) -> Digest {
        let text: String = self.lines().into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        Digest::of(text.as_bytes())
    }

    /// Whether the holder's key is all that makes `other` another request.
    pub fn differs_in_key_only(&self, other: &Self) -> bool {
        let own = Self { cnf: other.cnf.clone(), holder: other.holder, ..self.clone() };
        own == *other
    }

    /// Whether a credential of this record is what was approved, and no more.
    pub fn cover(&self, issuance: &Issuance) -> bool {
        let lifetime = issuance.expires.seconds().saturating_sub(issuance.issued.seconds());
        self.action == issuance.action
            && self.agent == issuance.agent
            && self.args == issuance.args
            && self.audience == issuance.audience
            && self.calls.map(NonZeroU32::get) == issuance.calls_max()
            && self.cnf == issuance.cnf
            && self.kind == issuance.kind
            && self.parameters == issuance.parameters
            && self.principal == issuance.principal
            && self.purpose == issuance.purpose
            && self.resource == issuance.resource
            && lifetime <= i64::from(self.ttl.seconds())
    }

    fn holder(&self) -> String {
        match (self.kind, &self.cnf.jkt, &self.cnf.x5t_s256) {
            (Kind::Certificate, ..) => format!("spki-sha256 {}", self.holder),
            (Kind::Token, Some(jkt), _) => format!("jkt {jkt}"),
            (Kind::Token, None, Some(x5t)) => format!("x5t {x5t}"),
            (Kind::Token, None, None) => "whoever has the token".to_owned(),
        }
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Certificate => "certificate",
        Kind::Token => "token",
    }
}

/// A text of the registry as printable ASCII: what else there is, is escaped, so that nothing looks like something
/// else and every text can be signed.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c == ' ' || (c.is_ascii_graphic() && c != '\\') {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests;
