//! Selectors of revocations and locks, how long to wait and to lock, and what verifiers say of themselves.

use std::time::Duration;

use crate::broker::lock::LockTerms;
use crate::broker::revoke::Revoke;
use crate::domain::evidence;
use crate::domain::limits::{LOCK_SECONDS_DEFAULT, LOCK_SECONDS_MAX, WAIT_SECONDS_MAX};
use crate::domain::name::{Reason, VerifierLabel};
use crate::domain::revocation::Selector;
use crate::domain::time::Timestamp;
use crate::proto::v1;

use super::{BadField, optional, parsed};

/// A revocation as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What ends, why, and what goes with it.
    pub revoke: Revoke,
    /// Whether to count only.
    pub dry_run: bool,
    /// How long to wait for those who follow the feed; zero does not.
    pub wait: Duration,
}

/// Parses a request to revoke.
///
/// # Errors
/// The first bad field. A dry run needs a reason too, so that taking `dry_run` away is the whole difference.
pub fn revocation(message: &v1::RevokeRequest) -> Result<Revocation, BadField> {
    let selector = selector("selector", message.selector.as_ref())?;
    let reason: Reason = parsed("reason", &message.reason)?;
    let issued_before = message.issued_before.as_ref().map(issued_before).transpose()?;
    if issued_before.is_some() && matches!(selector, Selector::Credential(_)) {
        return Err(BadField::new("issued_before", "none with `selector.credential_id`"));
    }
    let lock = message.lock.as_ref().map(|terms| lock_terms("lock", terms, Some(&reason))).transpose()?;
    if lock.is_some() && (issued_before.is_some() || selector.is_single()) {
        let expected = "none with `selector.credential_id`, `selector.serial` or `issued_before`";
        return Err(BadField::new("lock", expected));
    }
    let wait = message.wait.as_ref().map_or(Ok(Duration::ZERO), wait)?;
    let revoke = Revoke { selector, issued_before, reason, lock };
    Ok(Revocation { revoke, dry_run: message.dry_run, wait })
}

/// Parses a request to lock.
///
/// # Errors
/// The first bad field.
pub fn lock(message: &v1::LockRequest) -> Result<(Selector, LockTerms), BadField> {
    let selector = selector("selector", message.selector.as_ref())?;
    if selector.is_single() {
        return Err(BadField::new("selector", "what can come again, got one credential; revoke it"));
    }
    let terms = message.terms.as_ref().ok_or_else(|| BadField::new("terms", "how long, and a message"))?;
    Ok((selector, lock_terms("terms", terms, None)?))
}

/// Parses a verifier's label.
///
/// # Errors
/// When it has the wrong form.
pub fn label(text: &str) -> Result<Option<VerifierLabel>, BadField> {
    optional("label", text)
}

fn selector(field: &'static str, message: Option<&v1::RevocationSelector>) -> Result<Selector, BadField> {
    use v1::revocation_selector::Selector as Wire;
    let Some(wire) = message.and_then(|message| message.selector.as_ref()) else {
        return Err(BadField::new(field, "one of `credential_id`, `agent`, `all` and the others, got none"));
    };
    match wire {
        Wire::Action(text) => parsed("selector.action", text).map(Selector::Action),
        Wire::Agent(id) => parsed("selector.agent", id).map(Selector::Agent),
        Wire::All(true) => Ok(Selector::All),
        Wire::All(false) => Err(BadField::new("selector.all", "`true`, or another selector")),
        Wire::Api(text) => parsed("selector.api", text).map(Selector::Api),
        Wire::Attested(fact) => attested(fact).map(Selector::Attested),
        Wire::CredentialId(id) => parsed("selector.credential_id", id).map(Selector::Credential),
        Wire::KeyId(text) => parsed("selector.key_id", text).map(Selector::Key),
        Wire::Lineage(id) => parsed("selector.lineage", id).map(Selector::Lineage),
        Wire::Owner(text) => parsed("selector.owner", text).map(Selector::Owner),
        Wire::Principal(text) => parsed("selector.principal", text).map(Selector::Principal),
        Wire::ResourcePrefix(text) => parsed("selector.resource_prefix", text).map(Selector::Resource),
        Wire::Serial(text) => {
            let expected = "32 lowercase hex digits that begin with 4 to 7";
            text.parse().map(Selector::Serial).map_err(|_| BadField::new("selector.serial", expected))
        }
        Wire::Tenant(text) => parsed("selector.tenant", text).map(Selector::Tenant),
    }
}

fn attested(fact: &v1::AttestedFact) -> Result<evidence::Selector, BadField> {
    let kind: evidence::SelectorKind = parsed("selector.attested.kind", &fact.kind)?;
    if !kind.is_kept() {
        let expected = "`container.id`, `container.image`, `systemd.unit`, `systemd.user_unit`, `unix.sha256`, `unix.uid` or one of \
             `x509`: records keep no other";
        return Err(BadField::new("selector.attested.kind", expected));
    }
    evidence::Selector::new(kind.as_str(), &fact.value)
        .map_err(|error| BadField::from_error("selector.attested.value", &error))
}

fn issued_before(time: &prost_types::Timestamp) -> Result<Timestamp, BadField> {
    let bad = || BadField::new("issued_before", "a time since 1970 with at most nine digits of a second");
    let nanos = i64::from(time.nanos);
    if !(0..1_000_000_000).contains(&nanos) || time.seconds < 0 {
        return Err(bad());
    }
    // Rounded up: what was minted in the same millisecond before that moment is meant.
    let millis = time.seconds.checked_mul(1000).ok_or_else(bad)?;
    Ok(Timestamp::from_millis(millis.saturating_add((nanos + 999_999) / 1_000_000)))
}

fn lock_terms(
    field: &'static str,
    terms: &v1::LockTerms,
    default: Option<&Reason>,
) -> Result<LockTerms, BadField> {
    let message = match (terms.message.as_str(), default) {
        ("", Some(reason)) => reason.clone(),
        (text, _) => {
            text.parse().map_err(|error| BadField::from_error(format!("{field}.message"), &error))?
        }
    };
    let ttl_seconds = terms.ttl.as_ref().map_or(Some(LOCK_SECONDS_DEFAULT), whole_seconds);
    let ttl_seconds = ttl_seconds.filter(|seconds| (1..=LOCK_SECONDS_MAX).contains(seconds));
    let expected = || BadField::new(format!("{field}.ttl"), "1 s to 7 days in whole seconds");
    Ok(LockTerms { ttl_seconds: ttl_seconds.ok_or_else(expected)?, message })
}

fn whole_seconds(duration: &prost_types::Duration) -> Option<u32> {
    u32::try_from(duration.seconds).ok().filter(|_| duration.nanos == 0)
}

/// By hand: the conversion of prost-types takes mixed signs and more than a second of nanoseconds, and panics on
/// the smallest number of seconds.
fn wait(given: &prost_types::Duration) -> Result<Duration, BadField> {
    let nanos = u32::try_from(given.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let wait =
        u64::try_from(given.seconds).ok().zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos));
    let wait = wait.filter(|wait| *wait <= Duration::from_secs(WAIT_SECONDS_MAX));
    wait.ok_or_else(|| BadField::new("wait", format!("0 to {WAIT_SECONDS_MAX} s")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::revocation_selector::Selector as Wire;

    const ID: &str = "0193a6a0-0000-7000-8000-000000000000";

    fn request(selector: Option<Wire>) -> v1::RevokeRequest {
        v1::RevokeRequest {
            selector: Some(v1::RevocationSelector { selector }),
            reason: "leaked".into(),
            ..Default::default()
        }
    }

    fn bad(message: &v1::RevokeRequest) -> String {
        revocation(message).unwrap_err().field.into_owned()
    }

    fn fact(kind: &str, value: &str) -> Wire {
        Wire::Attested(v1::AttestedFact { kind: kind.into(), value: value.into() })
    }

    #[test]
    fn each_selector_is_read() {
        for wire in [
            Wire::CredentialId(ID.into()),
            Wire::Agent("spiffe://td/tenant/t/agent/a".into()),
            Wire::All(true),
            Wire::Serial(format!("4{}", "0".repeat(31))),
            Wire::Lineage(ID.into()),
            Wire::Owner("team <a@b.example>".into()),
            Wire::Principal("user:7".into()),
            Wire::Tenant("acme".into()),
            Wire::Api("demo".into()),
            Wire::Action("demo.read".into()),
            Wire::ResourcePrefix("repo/acme".into()),
            fact("unix.sha256", "ab"),
            Wire::KeyId("abc_-".into()),
        ] {
            assert!(revocation(&request(Some(wire.clone()))).is_ok(), "{wire:?}");
        }
    }

    #[test]
    fn a_bad_selector_is_named() {
        for (wire, field) in [
            (None, "selector"),
            (Some(Wire::All(false)), "selector.all"),
            (Some(Wire::Agent(String::new())), "selector.agent"),
            (Some(Wire::Agent("a".into())), "selector.agent"),
            (Some(Wire::Agent("spiffe://td/tenant/t/agent/*".into())), "selector.agent"),
            (Some(Wire::CredentialId(String::new())), "selector.credential_id"),
            (Some(Wire::Serial("00".repeat(16))), "selector.serial"),
            (Some(Wire::Serial("4".into())), "selector.serial"),
            (Some(Wire::Lineage("x".into())), "selector.lineage"),
            (Some(Wire::Owner(String::new())), "selector.owner"),
            (Some(Wire::Owner("a\nb".into())), "selector.owner"),
            (Some(Wire::Principal("x".repeat(2049))), "selector.principal"),
            (Some(Wire::Tenant("A".into())), "selector.tenant"),
            (Some(Wire::Api("a.b".into())), "selector.api"),
            (Some(Wire::Action("demo".into())), "selector.action"),
            (Some(Wire::ResourcePrefix("repo/".into())), "selector.resource_prefix"),
            (Some(Wire::ResourcePrefix("repo/*".into())), "selector.resource_prefix"),
            (Some(fact("unix.gid", "1")), "selector.attested.kind"),
            (Some(fact("unix", "1")), "selector.attested.kind"),
            (Some(fact("unix.uid", "")), "selector.attested.value"),
            (Some(Wire::KeyId("a b".into())), "selector.key_id"),
        ] {
            assert_eq!(bad(&request(wire)), field);
        }
        assert_eq!(bad(&v1::RevokeRequest::default()), "selector");
    }

    #[test]
    fn a_reason_is_one_printable_line() {
        let long = "x".repeat(201);
        for reason in ["", " ", "two\nlines", "\u{1b}[2J", &long] {
            let message = v1::RevokeRequest { reason: reason.into(), ..request(Some(Wire::All(true))) };
            assert_eq!(bad(&message), "reason");
        }
    }

    #[test]
    fn what_goes_with_a_revocation_is_held_to_its_bounds() {
        let all = || request(Some(Wire::All(true)));
        let duration = |seconds, nanos| prost_types::Duration { seconds, nanos };
        let time = |seconds, nanos| prost_types::Timestamp { seconds, nanos };
        let most = i64::try_from(WAIT_SECONDS_MAX).unwrap();
        for (wait, good) in [
            ((most, 0), true),
            ((0, 999_999_999), true),
            ((most, 1), false),
            ((-1, 0), false),
            ((0, -1), false),
            ((1, -1), false),
            ((0, 1_000_000_000), false),
            ((i64::MIN, 0), false),
            ((i64::MIN, i32::MIN), false),
            ((i64::MAX, i32::MAX), false),
        ] {
            let message = v1::RevokeRequest { wait: Some(duration(wait.0, wait.1)), ..all() };
            assert_eq!(
                revocation(&message).map_err(|error| error.field.into_owned()).is_ok(),
                good,
                "{wait:?}"
            );
        }
        for at in [time(-1, 0), time(0, -1), time(0, 1_000_000_000), time(i64::MAX, 0)] {
            assert_eq!(bad(&v1::RevokeRequest { issued_before: Some(at), ..all() }), "issued_before");
        }
        let before = v1::RevokeRequest { issued_before: Some(time(1, 1)), ..all() };
        let read = revocation(&before).unwrap().revoke.issued_before;
        assert_eq!(read, Some(Timestamp::from_millis(1001)), "rounded up");
        let one = v1::RevokeRequest {
            issued_before: Some(time(1, 0)),
            ..request(Some(Wire::CredentialId(ID.into())))
        };
        assert_eq!(bad(&one), "issued_before");
        let terms = |seconds, nanos, message: &str| v1::LockTerms {
            ttl: Some(duration(seconds, nanos)),
            message: message.into(),
        };
        let week = i64::from(LOCK_SECONDS_MAX);
        for (lock, field) in [
            (terms(0, 0, ""), "lock.ttl"),
            (terms(week + 1, 0, ""), "lock.ttl"),
            (terms(1, 5, ""), "lock.ttl"),
            (terms(-1, 0, ""), "lock.ttl"),
            (terms(1, 0, "a\nb"), "lock.message"),
        ] {
            assert_eq!(bad(&v1::RevokeRequest { lock: Some(lock), ..all() }), field);
        }
        let good = v1::RevokeRequest { lock: Some(terms(week, 0, "")), ..all() };
        let lock = revocation(&good).unwrap().revoke.lock.unwrap();
        assert_eq!((lock.ttl_seconds, lock.message.as_str()), (LOCK_SECONDS_MAX, "leaked"));
        let single = request(Some(Wire::CredentialId(ID.into())));
        assert_eq!(bad(&v1::RevokeRequest { lock: Some(terms(1, 0, "")), ..single }), "lock");
        assert_eq!(bad(&v1::RevokeRequest { lock: Some(terms(1, 0, "")), ..before }), "lock");
    }

    #[test]
    fn a_lock_names_what_can_come_and_says_why() {
        let ask = |selector, terms| {
            let message = v1::LockRequest {
                selector: Some(v1::RevocationSelector { selector: Some(selector) }),
                terms,
            };
            lock(&message).map_err(|error| error.field.into_owned())
        };
        let said = |message: &str| Some(v1::LockTerms { ttl: None, message: message.into() });
        assert_eq!(ask(Wire::All(true), said("frozen")).unwrap().1.ttl_seconds, LOCK_SECONDS_DEFAULT);
        assert_eq!(ask(Wire::All(true), said("")).unwrap_err(), "terms.message");
        assert_eq!(ask(Wire::All(true), None).unwrap_err(), "terms");
        assert_eq!(ask(Wire::CredentialId(ID.into()), said("x")).unwrap_err(), "selector");
    }

    #[test]
    fn a_label_is_a_name_or_nothing() {
        assert_eq!(label(""), Ok(None));
        assert!(label("envoy-1").is_ok());
        for bad in ["a b", "a/b", "..", &"x".repeat(64)] {
            assert_eq!(label(bad).unwrap_err().field, "label");
        }
    }
}
