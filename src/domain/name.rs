//! Names that can't be wrong: each is parsed once at the edge and never checked again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::{
    ACTION_BYTES_MAX, NAME_BYTES_MAX, SPIFFE_ID_BYTES_MAX, TICKET_BYTES_MAX, TRUST_DOMAIN_BYTES_MAX,
    URI_BYTES_MAX,
};

/// A text that does not have the form of the name it should be.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected}")]
pub struct BadName {
    /// What would have been right.
    pub expected: &'static str,
}

/// Declares a validated, cheaply cloned text type with its text and serde forms.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr, $expected:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(Arc::from(text))) } else { Err(BadName { expected: $expected }) }
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use name;

name!(
    /// An API's name, the first word of its actions.
    ApiName, is_label, "a lowercase letter or digit, then lowercase letters, digits or `-`, 63 bytes at most"
);
name!(
    /// A tenant's name.
    TenantName, is_label, "a lowercase letter or digit, then lowercase letters, digits or `-`, 63 bytes at most"
);
name!(
    /// An operator's name.
    OperatorName, is_segment, "letters, digits, `.`, `_` or `-`, 63 bytes at most"
);
name!(
    /// A verifier's name: the resource, proxy or gateway that asks what a credential is worth.
    VerifierName, is_segment, "letters, digits, `.`, `_` or `-`, 63 bytes at most"
);
name!(
    /// A name that clients know a server by, in lowercase (RFC 1123 section 2.1). No address.
    HostName, is_host, "a DNS name in lowercase, 253 bytes at most"
);
name!(
    /// A destination of notices: who is told.
    NotifierName, is_segment, "letters, digits, `.`, `_` or `-`, 63 bytes at most"
);
name!(
    /// A group that agents belong to and policies name.
    GroupName, is_label, "a lowercase letter or digit, then lowercase letters, digits or `-`, 63 bytes at most"
);
name!(
    /// The last segment of an agent's SPIFFE ID.
    AgentName, is_segment, "letters, digits, `.`, `_` or `-`, 63 bytes at most, not `.` or `..`"
);
name!(
    /// An action, `api.noun.verb`: two to five labels joined by dots.
    ActionName, is_action, "two to five lowercase labels joined by dots, such as `repo.pull.open`, 128 bytes at most"
);
name!(
    /// A SPIFFE trust domain (SPIFFE-ID section 2.1).
    TrustDomain, is_trust_domain, "lowercase letters, digits, `.`, `-` or `_`, 255 bytes at most"
);
name!(
    /// An API's audience, the `aud` of its credentials: an absolute URI.
    Audience, is_uri, "an absolute URI such as `https://api.example`, printable ASCII, 256 bytes at most"
);
name!(
    /// The `iss` of our tokens: an https URL without query, fragment or trailing slash (RFC 8414 section 2).
    Issuer, is_issuer, "an https URL without query, fragment or trailing slash, 256 bytes at most"
);
name!(
    /// A policy's id: the file's stem and the policy's own `@id` or position.
    PolicyName, is_policy, "letters, digits, `.`, `_`, `-`, `/` or `#`, 128 bytes at most"
);
name!(
    /// What a verifier calls itself.
    VerifierLabel, is_segment, "letters, digits, `.`, `_` or `-`, 63 bytes at most"
);
name!(
    /// A code of the caller's purpose.
    Purpose, is_purpose, "lowercase letters, digits or `-`, 64 bytes at most"
);
name!(
    /// One line an operator gives as the reason of what they do. It goes into the log, so it is short and printable.
    Reason, is_reason, "one line of printable ASCII, 1 to 200 bytes"
);

name!(
    /// A break-glass playbook's name.
    PlaybookName, is_label, "a lowercase letter or digit, then lowercase letters, digits or `-`, 63 bytes at most"
);
name!(
    /// An incident's ticket, as its tracker calls it: `INC-4711`, or an address.
    Ticket, is_ticket, "printable ASCII without spaces, 1 to 128 bytes"
);

impl ActionName {
    /// The API part, before the first dot.
    pub fn api(&self) -> &str {
        self.0.split_once('.').map_or(&*self.0, |(api, _)| api)
    }
}

/// An agent's identity: `spiffe://TD/tenant/T/agent/NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId {
    text: Arc<str>,
    tenant: TenantName,
    name: AgentName,
}

impl AgentId {
    /// The id of agent `name` of `tenant` in `trust_domain`.
    pub fn new(trust_domain: &TrustDomain, tenant: TenantName, name: AgentName) -> Self {
        let text = format!("spiffe://{trust_domain}/tenant/{tenant}/agent/{name}");
        Self { text: text.into(), tenant, name }
    }

    /// The whole SPIFFE ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The tenant it belongs to.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// Its last segment.
    pub fn name(&self) -> &AgentName {
        &self.name
    }
}

/// An agent as people write it where the trust domain is clear: `TENANT/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPath(TenantName, AgentName);

impl AgentPath {
    /// The agent's identity in `trust_domain`.
    pub fn in_domain(self, trust_domain: &TrustDomain) -> AgentId {
        AgentId::new(trust_domain, self.0, self.1)
    }
}

impl FromStr for AgentPath {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName { expected: "an agent as `TENANT/NAME`" };
        let (tenant, name) = text.split_once('/').ok_or(BAD)?;
        Ok(Self(tenant.parse().map_err(|_| BAD)?, name.parse().map_err(|_| BAD)?))
    }
}

impl FromStr for AgentId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName { expected: "`spiffe://TRUST-DOMAIN/tenant/TENANT/agent/NAME`" };
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(BAD);
        }
        let rest = text.strip_prefix("spiffe://").ok_or(BAD)?;
        let mut parts = rest.split('/');
        let mut next = || parts.next().ok_or(BAD);
        let trust_domain: TrustDomain = next()?.parse().map_err(|_| BAD)?;
        let tenant_word = next()?;
        let tenant = next()?.parse().map_err(|_| BAD)?;
        let agent_word = next()?;
        let name = next()?.parse().map_err(|_| BAD)?;
        if tenant_word != "tenant" || agent_word != "agent" || parts.next().is_some() {
            return Err(BAD);
        }
        Ok(Self::new(&trust_domain, tenant, name))
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for AgentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn is_ticket(text: &str) -> bool {
    (1..=TICKET_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_label(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= NAME_BYTES_MAX && text.bytes().next().is_some_and(|b| b != b'-') && text.bytes().all(rest)
}

fn is_segment(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(allowed)
        && text != "."
        && text != ".."
}

fn is_action(text: &str) -> bool {
    let labels = text.split('.').count();
    let label = |part: &str| is_label(&part.replace('_', "-"));
    text.len() <= ACTION_BYTES_MAX && (2..=5).contains(&labels) && text.split('.').all(label)
}

fn is_trust_domain(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= TRUST_DOMAIN_BYTES_MAX && text.bytes().all(allowed)
}

fn is_uri(text: &str) -> bool {
    let scheme = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= URI_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'`'))
        && text.split_once(':').is_some_and(|(head, tail)| scheme(head) && !tail.is_empty())
}

fn is_issuer(text: &str) -> bool {
    let host = |rest: &str| !rest.is_empty() && !rest.starts_with('/') && !rest.ends_with('/');
    is_uri(text) && text.strip_prefix("https://").is_some_and(host) && !text.contains(['?', '#', '@'])
}

fn is_policy(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'#');
    !text.is_empty() && text.len() <= 128 && text.bytes().all(allowed)
}

fn is_purpose(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= super::limits::PURPOSE_BYTES_MAX && text.bytes().all(allowed)
}

fn is_reason(text: &str) -> bool {
    let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    !text.trim().is_empty() && text.len() <= super::limits::REASON_BYTES_MAX && printable
}

fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends in digits alone is an address to some readers.
    let named = text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_held_to_their_alphabet_and_length() {
        for good in ["a", "0", "a-b", &"x".repeat(63)] {
            assert!(good.parse::<TenantName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a.b", "a/b", "é", "a ", &"x".repeat(64)] {
            assert!(bad.parse::<TenantName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn actions_are_dotted_labels() {
        for good in ["demo.read", "repo.pull.open", "a.b.c.d.e"] {
            assert!(good.parse::<ActionName>().is_ok(), "{good}");
        }
        for bad in ["demo", "demo.", ".read", "a..b", "a.b.c.d.e.f", "Demo.read", "demo.*", "demo read.x"] {
            assert!(bad.parse::<ActionName>().is_err(), "{bad}");
        }
        assert_eq!("repo.pull.open".parse::<ActionName>().map(|a| a.api().to_owned()), Ok("repo".to_owned()));
    }

    #[test]
    fn an_agent_id_has_exactly_one_spelling() {
        let good = "spiffe://example.org/tenant/acme/agent/Bot_1.x";
        assert_eq!(good.parse::<AgentId>().map(|id| id.to_string()), Ok(good.to_owned()));
        for bad in [
            "spiffe://example.org/tenant/acme/agent",
            "spiffe://example.org/tenant/acme/agent/a/b",
            "spiffe://example.org/tenant/acme/agent/..",
            "spiffe://Example.org/tenant/acme/agent/a",
            "SPIFFE://example.org/tenant/acme/agent/a",
            "spiffe://example.org/tenant/acme/agent/a/",
            "spiffe://example.org//acme/agent/a",
            "spiffe://example.org/tenant/acme/agent/a%20b",
            "spiffe://example.org/workload/acme/agent/a",
        ] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn issuers_are_plain_https_urls() {
        for good in ["https://hotwork.example", "https://127.0.0.1:8443/a"] {
            assert!(good.parse::<Issuer>().is_ok(), "{good}");
        }
        for bad in
            ["http://x", "https://", "https://x/", "https://x?y", "https://x#y", "https://u@x", "https:///x"]
        {
            assert!(bad.parse::<Issuer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reason_is_one_printable_line() {
        assert!("leaked in CI, TICKET-7".parse::<Reason>().is_ok());
        for bad in ["", "   ", "a\nb", "a\u{1b}[0m", &"x".repeat(201)] {
            assert!(bad.parse::<Reason>().is_err(), "{bad:?}");
        }
    }
}
