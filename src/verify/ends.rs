//! What ended, as a verifier that follows the feed remembers it: by the names that a credential tells.
//!
//! The time of minting is that in the credential's id. What a credential does not tell (its agent's owner, the
//! evidence behind it) can't be judged here: for what was minted at that watermark or before the answer is
//! [`Status::Unknown`]. The agent asks for a new credential, which the watermark does not cover.

use std::collections::HashMap;

use super::authority::Authority;
use super::standing::Status;
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, Lineage, Serial};
use crate::domain::limits::ENDS_REMEMBERED_MAX;
use crate::domain::name::{ActionName, AgentId, ApiName, TenantName};
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;

/// What an end is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An action.
    Action(ActionName),
    /// An agent.
    Agent(AgentId),
    /// Everything.
    All,
    /// An API's actions.
    Api(ApiName),
    /// One credential.
    Credential(CredentialId),
    /// What one key signed.
    Key(String),
    /// A lineage.
    Lineage(Lineage),
    /// An accountable party, by SHA-256: certificates tell no more.
    Principal(Digest),
    /// A resource and what is below it.
    Resource(Resource),
    /// One certificate.
    Serial(Serial),
    /// A tenant's agents.
    Tenant(TenantName),
    /// Something that no credential tells, or that this verifier does not know.
    Untold,
}

/// One end: what `subject` names of the agents of `tenants` and was minted at `until` or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// What it is about.
    pub subject: Subject,
    /// Only agents of these tenants; all when empty.
    pub tenants: Vec<TenantName>,
    /// The watermark; `None` ends whatever was or will be minted.
    pub until: Option<Timestamp>,
    /// When it was durable.
    pub time: Timestamp,
    /// From then on it may be forgotten; `None` is never.
    pub forget: Option<Timestamp>,
}

/// Everything that ended, as far as it still matters.
#[derive(Debug, Default)]
pub struct Ends {
    by_subject: HashMap<Subject, Vec<Mark>>,
    held: usize,
    left_out: Option<LeftOut>,
}

/// What there was no room for: nothing is known to be live while it matters.
#[derive(Clone, Copy, Debug)]
struct LeftOut {
    /// From then on all of it may be forgotten; `None` is never.
    until: Option<Timestamp>,
}

impl LeftOut {
    fn with(known: Option<Self>, forget: Option<Timestamp>) -> Self {
        let both = |known: Self| Some(known.until?.max(forget?));
        Self { until: known.map_or(forget, both) }
    }

    fn matters(self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[derive(Debug)]
struct Mark {
    tenants: Vec<TenantName>,
    until: Option<Timestamp>,
    time: Timestamp,
    forget: Option<Timestamp>,
}

impl Mark {
    fn is_for(&self, credential: &Authority) -> bool {
        self.tenants.is_empty() || self.tenants.contains(credential.agent.tenant())
    }

    fn covers(&self, credential: &Authority) -> bool {
        self.is_for(credential) && self.until.is_none_or(|until| credential.issued <= until)
    }

    /// Whether it may cover a credential of which it can't be told. What was minted after the end was
    /// durable was minted by a broker that knew of it.
    fn may_cover(&self, credential: &Authority) -> bool {
        self.is_for(credential)
            && credential.issued <= self.until.map_or(self.time, |until| until.min(self.time))
    }
}

impl Ends {
    /// Adds one.
    pub fn add(&mut self, end: End) {
        if self.held >= ENDS_REMEMBERED_MAX {
            self.left_out = Some(LeftOut::with(self.left_out, end.forget));
            return;
        }
        let End { subject, tenants, until, time, forget } = end;
        let marks = self.by_subject.entry(subject).or_default();
        // The feed tells an end again after a gap; and a later watermark covers all that an earlier one did.
        let before = marks.len();
        marks.retain(|mark| {
            let earlier = match (mark.until, until) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(old), Some(new)) => old <= new,
            };
            !(earlier && mark.tenants == tenants && mark.time <= time)
        });
        let dropped = before.saturating_sub(marks.len());
        marks.push(Mark { tenants, until, time, forget });
        self.held = self.held.saturating_sub(dropped).saturating_add(1);
    }

    /// Drops what no longer matters at `now`.
    pub fn forget(&mut self, now: Timestamp) {
        for marks in self.by_subject.values_mut() {
            marks.retain(|mark| mark.forget.is_none_or(|forget| now < forget));
        }
        self.by_subject.retain(|_, marks| !marks.is_empty());
        self.held = self.by_subject.values().map(Vec::len).sum();
        self.left_out = self.left_out.filter(|left_out| left_out.matters(now));
    }

    /// What is known of the credential.
    pub fn status(&self, credential: &Authority) -> Status {
        let covered = |subject: &Subject| {
            let marks = self.by_subject.get(subject);
            marks.is_some_and(|marks| marks.iter().any(|mark| mark.covers(credential)))
        };
        // Nothing ended is the common case.
        if !self.by_subject.is_empty() && subjects(credential).iter().any(covered) {
            return Status::Ended;
        }
        if self.left_out.is_some() || self.may_be_covered(credential) {
            Status::Unknown
        } else {
            Status::Live
        }
    }

    /// Whether an end covers it by something that it does not tell.
    fn may_be_covered(&self, credential: &Authority) -> bool {
        let marks = self.by_subject.get(&Subject::Untold);
        marks.is_some_and(|marks| marks.iter().any(|mark| mark.may_cover(credential)))
    }
}

/// Everything that the credential tells of itself, as ends name it.
fn subjects(credential: &Authority) -> Vec<Subject> {
    let above = credential.resource.ancestors().filter_map(|above| above.parse().ok()).map(Subject::Resource);
    let told = [
        Some(Subject::Credential(credential.id)),
        Some(Subject::Agent(credential.agent.clone())),
        Some(Subject::All),
        Some(Subject::Action(credential.action.clone())),
        credential.action.api().parse().ok().map(Subject::Api),
        Some(Subject::Tenant(credential.agent.tenant().clone())),
        Some(Subject::Resource(credential.resource.clone())),
        Some(Subject::Key(credential.kid.clone())),
        Some(Subject::Lineage(credential.lineage)),
        Some(Subject::Principal(credential.principal)),
        credential.serial.map(Subject::Serial),
    ];
    told.into_iter().flatten().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture::{NOW, authority};

    fn end(subject: Subject) -> End {
        let time = NOW.plus_millis(10);
        End { subject, tenants: vec![], until: Some(time), time, forget: Some(time.plus_millis(1_000)) }
    }

    fn after(ends: impl IntoIterator<Item = End>) -> Ends {
        let mut all = Ends::default();
        ends.into_iter().for_each(|end| all.add(end));
        all
    }

    /// The same as a certificate says it.
    fn as_certificate(own: &Authority) -> Authority {
        Authority { serial: Some(Serial::new([3; 16])), subject: None, ..own.clone() }
    }

    #[test]
    fn each_subject_ends_what_it_names_and_nothing_else() {
        let own = authority();
        assert_eq!(Ends::default().status(&own), Status::Live);
        for (subject, other) in [
            (Subject::All, None),
            (Subject::Credential(own.id), Some(Subject::Credential(CredentialId::new(NOW, &[7; 10])))),
            (
                Subject::Agent(own.agent.clone()),
                "spiffe://example.org/tenant/acme/agent/x".parse().ok().map(Subject::Agent),
            ),
            (Subject::Action(own.action.clone()), "repo.pull.merge".parse().ok().map(Subject::Action)),
            (Subject::Api("repo".parse().unwrap()), "rep".parse().ok().map(Subject::Api)),
            (Subject::Tenant("acme".parse().unwrap()), "globex".parse().ok().map(Subject::Tenant)),
            (
                Subject::Resource("repo/acme/site".parse().unwrap()),
                "repo/acme/sit".parse().ok().map(Subject::Resource),
            ),
            (Subject::Resource("repo/acme".parse().unwrap()), "acme".parse().ok().map(Subject::Resource)),
            (Subject::Key(own.kid.clone()), Some(Subject::Key("x".into()))),
            (Subject::Lineage(own.lineage), Some(Subject::Lineage(Lineage::new(NOW, &[7; 10])))),
            (Subject::Principal(own.principal), Some(Subject::Principal(Digest::of(b"x")))),
        ] {
            // A certificate tells all of it, too: nothing of another makes it unknown.
            for own in [&own, &as_certificate(&own)] {
                assert_eq!(after([end(subject.clone())]).status(own), Status::Ended, "{subject:?}");
                if let Some(other) = &other {
                    assert_eq!(after([end(other.clone())]).status(own), Status::Live, "{other:?}");
                }
            }
        }
        let serial = end(Subject::Serial(Serial::new([3; 16])));
        assert_eq!(after([serial.clone()]).status(&as_certificate(&own)), Status::Ended);
        assert_eq!(after([serial]).status(&own), Status::Live);
    }

    #[test]
    fn a_watermark_covers_its_time_and_its_tenants() {
        let minted = |millis: i64| Authority { issued: NOW.plus_millis(millis), ..authority() };
        let ends = after([end(Subject::All)]);
        assert_eq!((ends.status(&minted(10)), ends.status(&minted(11))), (Status::Ended, Status::Live));
        let of = |tenant: &str| after([End { tenants: vec![tenant.parse().unwrap()], ..end(Subject::All) }]);
        assert_eq!(of("acme").status(&minted(0)), Status::Ended);
        assert_eq!(of("globex").status(&minted(0)), Status::Live);
        let for_good = after([End { until: None, ..end(Subject::All) }]);
        assert_eq!(for_good.status(&minted(1_000_000)), Status::Ended);
    }

    #[test]
    fn what_a_credential_does_not_tell_is_unknown_up_to_the_watermark() {
        let minted = |own: Authority, millis| Authority { issued: NOW.plus_millis(millis), ..own };
        let untold = after([end(Subject::Untold)]);
        assert_eq!(untold.status(&minted(authority(), 10)), Status::Unknown);
        assert_eq!(untold.status(&minted(authority(), 11)), Status::Live);
        assert_eq!(untold.status(&minted(as_certificate(&authority()), 10)), Status::Unknown);
        assert_eq!(untold.status(&minted(as_certificate(&authority()), 11)), Status::Live);
        // An operator of some tenants has it refused of theirs only.
        let of = |tenant: &str| End { tenants: vec![tenant.parse().unwrap()], ..end(Subject::Untold) };
        assert_eq!(after([of("acme")]).status(&minted(authority(), 10)), Status::Unknown);
        assert_eq!(after([of("globex")]).status(&minted(authority(), 10)), Status::Live);
    }

    #[test]
    fn a_later_watermark_takes_the_place_of_an_earlier_one_and_never_the_other_way() {
        let at = |millis: i64| {
            let time = NOW.plus_millis(millis);
            End { until: Some(time), time, forget: None, ..end(Subject::All) }
        };
        let minted = Authority { issued: NOW.plus_millis(15), ..authority() };
        for order in [[at(10), at(20)], [at(20), at(10)]] {
            assert_eq!(after(order).status(&minted), Status::Ended);
        }
        let repeated = after((0..1_000).map(|_| at(10)));
        assert_eq!(repeated.held, 1);
    }

    #[test]
    fn what_there_was_no_room_for_is_unknown_for_as_long_as_it_matters() {
        let full = || Ends { held: ENDS_REMEMBERED_MAX, ..Ends::default() };
        let until = |millis| End { forget: Some(NOW.plus_millis(millis)), ..end(Subject::Key("x".into())) };
        let mut ends = full();
        [until(1_000), until(3_000), until(2_000)].into_iter().for_each(|one| ends.add(one));
        ends.forget(NOW.plus_millis(2_999));
        assert_eq!(ends.status(&authority()), Status::Unknown);
        ends.forget(NOW.plus_millis(3_000));
        assert_eq!(ends.status(&authority()), Status::Live, "nothing of it matters any more");
        let mut ends = full();
        [End { forget: None, ..until(1_000) }, until(3_000)].into_iter().for_each(|one| ends.add(one));
        ends.forget(NOW.plus_millis(1_000_000));
        assert_eq!(ends.status(&authority()), Status::Unknown, "one of them matters for good");
    }

    #[test]
    fn what_no_longer_matters_is_forgotten() {
        let mut ends = after([end(Subject::All), End { forget: None, ..end(Subject::Key("x".into())) }]);
        ends.forget(NOW.plus_millis(1_009));
        assert_eq!(ends.held, 2);
        ends.forget(NOW.plus_millis(1_010));
        assert_eq!(ends.held, 1);
        assert_eq!(ends.status(&authority()), Status::Live);
    }
}
