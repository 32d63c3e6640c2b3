//! A notice with its id, its time and where it stands in the log: what is delivered.
//!
//! The id is a function of the log and the entry, so that it is the same whenever and however often the notice
//! is delivered: receivers drop what they have seen.

use serde_json::{Value, json};

use super::notice::{Notice, Severity};
use crate::domain::digest::Digest;
use crate::domain::id::Lineage;
use crate::domain::name::TrustDomain;
use crate::domain::time::Timestamp;

/// The version of the document's form.
const VERSION: u8 = 1;

/// A notice that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The same for every delivery of this notice.
    pub id: String,
    /// The index of its entry; `None` when it stands in no log.
    pub index: Option<u64>,
    /// When it happened.
    pub time: Timestamp,
    /// Whose broker.
    pub trust_domain: TrustDomain,
    /// What happened.
    pub notice: Notice,
}

impl Document {
    /// The document of the entry whose canonical bytes are `entry`.
    pub fn recorded(
        trust_domain: &TrustDomain,
        index: u64,
        time: Timestamp,
        notice: Notice,
        entry: &[u8],
    ) -> Self {
        let id = id(trust_domain, b"entry", entry);
        Self { id, index: Some(index), time, trust_domain: trust_domain.clone(), notice }
    }

    /// The document of what stands in no log. `salt` tells apart what is otherwise alike.
    pub fn direct(trust_domain: &TrustDomain, time: Timestamp, notice: Notice, salt: u64) -> Self {
        let what = format!("{} {} {} {salt}", notice.kind(), time.millis(), notice.details());
        let id = id(trust_domain, b"direct", what.as_bytes());
        Self { id, index: None, time, trust_domain: trust_domain.clone(), notice }
    }

    /// Whether it is an emergency.
    pub fn is_emergency(&self) -> bool {
        matches!(self.notice.severity(), Severity::Critical)
    }

    /// The session whose opening or extension it tells of, or of which something was not shut: what nobody may keep from
    /// anybody. None for everything else, and for drills.
    pub fn opens(&self) -> Option<Lineage> {
        let Notice::BreakGlass(step) = &self.notice else { return None };
        step.session().filter(|_| self.is_emergency() && self.index.is_some())
    }

    /// The session that it reminds of; none when it tells of something that happened.
    pub const fn reminds_of(&self) -> Option<Lineage> {
        if let Notice::Reminder(reminder) = &self.notice { Some(reminder.session) } else { None }
    }

    /// What notices of one incident have in common, for receivers that join them: the session of break-glass, or the
    /// notice's own id.
    pub fn incident(&self) -> String {
        let session =
            if let Notice::BreakGlass(step) = &self.notice { step.session() } else { self.reminds_of() };
        session.map_or_else(|| self.id.clone(), |session| format!("break-glass-{session}"))
    }

    /// The time in RFC 3339.
    pub fn time_text(&self) -> String {
        self.time.to_rfc3339()
    }

    /// The JSON object that webhooks and programs get.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "details": self.notice.details(),
            "id": self.id,
            "kind": self.notice.kind().as_str(),
            "severity": self.notice.severity().as_str(),
            "summary": self.notice.summary(),
            "time": self.time_text(),
            "trust_domain": self.trust_domain.as_str(),
            "version": VERSION,
        });
        if let (Some(index), Some(object)) = (self.index, value.as_object_mut()) {
            object.insert("log_index".to_owned(), json!(index));
        }
        value
    }
}

fn id(trust_domain: &TrustDomain, kind: &[u8], what: &[u8]) -> String {
    let digest =
        Digest::of_parts(&[b"hotwork-notice\n", trust_domain.as_str().as_bytes(), b"\n", kind, b"\n", what]);
    digest.to_string().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_the_entry_alone_and_of_no_other_log() {
        let document = |td: &str, index, entry: &[u8]| {
            let notice = Notice::LoadFailed { problems: 1 };
            let td: TrustDomain = td.parse().unwrap();
            Document::recorded(&td, index, Timestamp::from_millis(5), notice, entry)
        };
        let one = document("a.example", 3, b"x");
        assert_eq!(one.id, document("a.example", 9, b"x").id, "merged elsewhere, it is the same");
        assert_eq!(one.id.len(), 32);
        for other in [document("a.example", 3, b"y"), document("b.example", 3, b"x")] {
            assert_ne!(one.id, other.id);
        }
    }

    #[test]
    fn the_json_has_what_a_receiver_needs() {
        let td: TrustDomain = "a.example".parse().unwrap();
        let notice = Notice::Locked {
            operator: "ann".parse().unwrap(),
            selector: crate::domain::revocation::Selector::All,
        };
        let json =
            Document::recorded(&td, 3, Timestamp::from_millis(1_700_000_000_123), notice, b"x").to_json();
        assert_eq!((json["severity"].as_str(), json["log_index"].as_u64()), (Some("critical"), Some(3)));
        assert_eq!(json["time"].as_str(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(json["details"]["selector"].as_str(), Some("everything"));
        let direct = Document::direct(&td, Timestamp::from_millis(1), Notice::LoadFailed { problems: 1 }, 0);
        assert_eq!(direct.to_json().get("log_index"), None);
    }
}
