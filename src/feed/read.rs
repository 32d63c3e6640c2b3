//! The feed's messages as ends, and certificates as they are trusted.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::digest::Digest;
use crate::domain::lost_feed::Grace;
use crate::domain::name::Audience;
use crate::domain::time::Timestamp;
use crate::proto::v1;
use crate::proto::v1::revocation_selector::Selector;
use crate::verify::{End, Subject};

/// An end. `None` when it is not of its form; then the feed is not followed any further.
pub(super) fn end(revoked: &v1::Revoked) -> Option<End> {
    let selector = revoked.selector.as_ref().and_then(|selector| selector.selector.as_ref());
    let tenants = revoked.tenants.iter().map(|tenant| tenant.parse().ok()).collect::<Option<_>>()?;
    Some(End {
        subject: subject(selector)?,
        tenants,
        until: optional(revoked.issued_until.as_ref())?,
        time: time(revoked.time.as_ref()?)?,
        forget: optional(revoked.forget_time.as_ref())?,
    })
}

/// What it is about. Owners and evidence stand in no credential, and neither does what is newer than this
/// code.
fn subject(selector: Option<&Selector>) -> Option<Subject> {
    Some(match selector {
        None | Some(Selector::Owner(_) | Selector::Attested(_)) => Subject::Untold,
        Some(Selector::Action(action)) => Subject::Action(action.parse().ok()?),
        Some(Selector::Agent(agent)) => Subject::Agent(agent.parse().ok()?),
        Some(Selector::All(all)) => all.then_some(Subject::All)?,
        Some(Selector::Api(api)) => Subject::Api(api.parse().ok()?),
        Some(Selector::CredentialId(id)) => Subject::Credential(id.parse().ok()?),
        Some(Selector::KeyId(key)) => Subject::Key(key.clone()),
        Some(Selector::Lineage(lineage)) => Subject::Lineage(lineage.parse().ok()?),
        Some(Selector::Principal(principal)) => Subject::Principal(Digest::of(principal.as_bytes())),
        Some(Selector::ResourcePrefix(resource)) => Subject::Resource(resource.parse().ok()?),
        Some(Selector::Serial(serial)) => Subject::Serial(serial.parse().ok()?),
        Some(Selector::Tenant(tenant)) => Subject::Tenant(tenant.parse().ok()?),
    })
}

/// How long to go on without the feed, by audience. `None` when it is not of its form: then nobody knows how long.
pub(super) fn graces(told: &v1::LostFeed) -> Option<HashMap<Audience, Grace>> {
    let one =
        |api: &v1::BestEffort| Some((api.audience.parse().ok()?, Grace::from_seconds(api.seconds_max)?));
    told.best_effort.iter().map(one).collect()
}

/// A time that may be absent: `None` when it is there and is none.
fn optional(wire: Option<&prost_types::Timestamp>) -> Option<Option<Timestamp>> {
    wire.map_or(Some(None), |wire| time(wire).map(Some))
}

/// Rounded up to the millisecond, so that a watermark covers no less than was meant.
fn time(wire: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let millis = wire.seconds.checked_mul(1000)?.checked_add(i64::from(nanos.div_ceil(1_000_000)))?;
    Some(Timestamp::from_millis(millis))
}

/// The first certificate of a PEM text, in DER.
pub(super) fn first_certificate(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok().filter(|der| !der.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::revocation as domain;

    fn revoked(selector: Option<Selector>) -> v1::Revoked {
        v1::Revoked {
            epoch: 7,
            selector: Some(v1::RevocationSelector { selector }),
            tenants: vec!["acme".into()],
            issued_until: Some(prost_types::Timestamp { seconds: 5, nanos: 1 }),
            time: Some(prost_types::Timestamp { seconds: 6, nanos: 2_000_000 }),
            forget_time: None,
            log_index: 6,
        }
    }

    #[test]
    fn an_end_is_read_and_its_watermark_covers_no_less() {
        let read = end(&revoked(Some(Selector::Api("repo".into())))).unwrap();
        assert_eq!(read.subject, Subject::Api("repo".parse().unwrap()));
        assert_eq!((read.until, read.forget), (Some(Timestamp::from_millis(5_001)), None));
        assert_eq!(read.time, Timestamp::from_millis(6_002));
        assert_eq!(read.tenants.len(), 1);
    }

    #[test]
    fn what_no_credential_tells_and_what_is_unknown_is_untold() {
        for selector in
            [None, Some(Selector::Owner("o".into())), Some(Selector::Attested(v1::AttestedFact::default()))]
        {
            assert_eq!(end(&revoked(selector)).unwrap().subject, Subject::Untold);
        }
    }

    /// One of each kind, as the feed has it.
    fn each() -> Vec<(domain::Selector, Selector)> {
        let id = "0193a6a0-0000-7000-8000-000000000000";
        let fact = v1::AttestedFact { kind: "unix.uid".into(), value: "7".into() };
        let agent = "spiffe://td/tenant/t/agent/a";
        let serial = format!("4{}", "0".repeat(31));
        vec![
            (domain::Selector::Action("a.b".parse().unwrap()), Selector::Action("a.b".into())),
            (domain::Selector::Agent(agent.parse().unwrap()), Selector::Agent(agent.into())),
            (domain::Selector::All, Selector::All(true)),
            (domain::Selector::Api("a".parse().unwrap()), Selector::Api("a".into())),
            (domain::Selector::Attested("unix.uid:7".parse().unwrap()), Selector::Attested(fact)),
            (domain::Selector::Credential(id.parse().unwrap()), Selector::CredentialId(id.into())),
            (domain::Selector::Key("k".parse().unwrap()), Selector::KeyId("k".into())),
            (domain::Selector::Lineage(id.parse().unwrap()), Selector::Lineage(id.into())),
            (domain::Selector::Owner("o".parse().unwrap()), Selector::Owner("o".into())),
            (domain::Selector::Principal("p".parse().unwrap()), Selector::Principal("p".into())),
            (domain::Selector::Resource("r".parse().unwrap()), Selector::ResourcePrefix("r".into())),
            (domain::Selector::Serial(serial.parse().unwrap()), Selector::Serial(serial)),
            (domain::Selector::Tenant("t".parse().unwrap()), Selector::Tenant("t".into())),
        ]
    }

    #[test]
    fn what_operators_are_told_that_no_credential_tells_is_what_is_untold_here() {
        for (selector, wire) in each() {
            let subject = end(&revoked(Some(wire))).unwrap().subject;
            assert_eq!(subject != Subject::Untold, selector.is_told(), "{selector}");
        }
    }

    #[test]
    fn a_grace_beyond_the_bound_is_not_believed() {
        let told = |seconds_max| v1::LostFeed {
            best_effort: vec![v1::BestEffort { audience: "https://a.example".into(), seconds_max }],
        };
        let read = graces(&told(300)).unwrap();
        assert_eq!(read.values().map(|grace| grace.seconds()).collect::<Vec<_>>(), [300]);
        assert_eq!((graces(&told(301)), graces(&told(0))), (None, None));
        assert_eq!(graces(&v1::LostFeed::default()), Some(HashMap::new()));
    }

    #[test]
    fn what_is_not_of_its_form_is_no_end() {
        for selector in [
            Selector::Agent("me".into()),
            Selector::All(false),
            Selector::CredentialId("1".into()),
            Selector::Serial("x".into()),
            Selector::ResourcePrefix("../x".into()),
        ] {
            assert_eq!(end(&revoked(Some(selector.clone()))), None, "{selector:?}");
        }
        assert_eq!(end(&v1::Revoked { time: None, ..revoked(None) }), None);
        assert_eq!(end(&v1::Revoked { tenants: vec!["A".into()], ..revoked(None) }), None);
    }
}
