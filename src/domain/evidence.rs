//! What attestation established about a caller: selectors, and their digest for the record.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest::Digest;
use super::limits::{SELECTOR_VALUE_BYTES_MAX, SELECTORS_MAX};
use super::name::{BadName, name};
use super::time::Timestamp;

name!(
    /// A selector's kind: the attestor's word and the fact's, such as `unix.uid` or `systemd.unit`.
    SelectorKind, is_kind, "two or three lowercase words joined by dots, such as `unix.uid`"
);

fn is_kind(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.len() <= 64 && (2..=3).contains(&text.split('.').count()) && text.split('.').all(word)
}

/// One established fact: a kind and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// What the fact is about.
    pub kind: SelectorKind,
    /// The fact: printable, without control characters, 1 to 4096 bytes.
    pub value: Arc<str>,
}

impl Selector {
    /// A selector from its parts.
    ///
    /// # Errors
    /// When the kind or the value has the wrong form.
    pub fn new(kind: &str, value: &str) -> Result<Self, BadName> {
        let sized = !value.is_empty() && value.len() <= SELECTOR_VALUE_BYTES_MAX;
        if !sized || value.chars().any(char::is_control) {
            return Err(BadName { expected: "a selector value without control characters, 1 to 4096 bytes" });
        }
        Ok(Self { kind: kind.parse()?, value: Arc::from(value) })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

impl FromStr for Selector {
    type Err = BadName;

    /// Reads the form that `Display` writes.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let (kind, value) = text.split_once(':').ok_or(BadName { expected: "`kind:value`" })?;
        Self::new(kind, value)
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The kinds that a record keeps, because credentials are revoked and locked by them: few, and such as an
/// incident names.
const KEPT: [&str; 10] = [
    "container.id",
    "container.image",
    "systemd.unit",
    "systemd.user_unit",
    "unix.sha256",
    "unix.uid",
    "x509.issuer_sha256",
    "x509.spiffe_id",
    "x509.spki_sha256",
    "x509.trust_domain",
];

impl SelectorKind {
    /// Whether a record keeps facts of this kind, so that they can be revoked and locked by.
    pub fn is_kept(&self) -> bool {
        KEPT.contains(&self.as_str())
    }
}

/// All that one attestation established, in canonical order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    selectors: BTreeSet<Selector>,
    expires: Option<Timestamp>,
    digest: Digest,
}

/// More facts than [`SELECTORS_MAX`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("more than {SELECTORS_MAX} selectors")]
pub struct TooManySelectors;

impl Evidence {
    /// Evidence of these facts. `expires` is when the evidence itself ends (a token's `exp`, a
    /// certificate's `notAfter`); no credential outlives it. Evidence of the kernel has no end.
    ///
    /// # Errors
    /// When there are more than [`SELECTORS_MAX`] facts.
    pub fn new(
        selectors: impl IntoIterator<Item = Selector>,
        expires: Option<Timestamp>,
    ) -> Result<Self, TooManySelectors> {
        let selectors: BTreeSet<Selector> = selectors.into_iter().collect();
        if selectors.len() > SELECTORS_MAX {
            return Err(TooManySelectors);
        }
        // A value holds no control character, so a line break delimits without ambiguity.
        let lines: String = selectors.iter().map(|selector| format!("{selector}\n")).collect();
        Ok(Self { selectors, expires, digest: Digest::of(lines.as_bytes()) })
    }

    /// The facts, sorted.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.selectors.iter()
    }

    /// The facts that a record keeps, sorted: one of a kind, as the kinds are.
    pub fn kept(&self) -> Vec<Selector> {
        self.selectors.iter().filter(|fact| fact.kind.is_kept()).cloned().collect()
    }

    /// The values of one kind, sorted.
    pub fn values<'a>(&'a self, kind: &'a SelectorKind) -> impl Iterator<Item = &'a str> {
        self.selectors.iter().filter(move |s| s.kind == *kind).map(|s| &*s.value)
    }

    /// Whether the fact was established.
    pub fn has(&self, selector: &Selector) -> bool {
        self.selectors.contains(selector)
    }

    /// When the evidence itself ends.
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// SHA-256 of the facts, each as `kind:value` and a line feed, sorted.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(kind: &str, value: &str) -> Selector {
        Selector::new(kind, value).unwrap()
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_facts() {
        let (a, b) = (selector("unix.uid", "1"), selector("unix.gid", "2"));
        let one = Evidence::new([a.clone(), b.clone()], None).unwrap();
        let two = Evidence::new([b, a], None).unwrap();
        assert_eq!(one.digest(), two.digest());
    }

    #[test]
    fn a_value_can_not_smuggle_a_second_fact() {
        assert!(Selector::new("unix.exe", "/bin/a\nunix.uid:0").is_err());
        assert!(Selector::new("unix.exe", "").is_err());
        assert!(Selector::new("unix", "x").is_err());
        assert!(Selector::new("unix.exe", &"x".repeat(4097)).is_err());
    }

    #[test]
    fn a_record_keeps_what_an_incident_names_of_a_process_and_of_a_certificate() {
        let facts = ["unix.uid", "unix.gid", "unix.exe", "x509.spiffe_id", "x509.spki_sha256"];
        let facts = facts.into_iter().chain(["x509.issuer_sha256", "x509.trust_domain", "unix.sha256"]);
        let evidence = Evidence::new(facts.map(|kind| selector(kind, "1")), None).unwrap();
        let kept: Vec<String> = evidence.kept().iter().map(|fact| fact.kind.to_string()).collect();
        let expected = [
            "unix.sha256",
            "unix.uid",
            "x509.issuer_sha256",
            "x509.spiffe_id",
            "x509.spki_sha256",
            "x509.trust_domain",
        ];
        assert_eq!(kept, expected);
    }

    #[test]
    fn selectors_are_bounded() {
        let many = |n: usize| (0..n).map(|i| selector("unix.gid", &i.to_string()));
        assert!(Evidence::new(many(SELECTORS_MAX), None).is_ok());
        assert_eq!(Evidence::new(many(SELECTORS_MAX + 1), None), Err(TooManySelectors));
    }
}
