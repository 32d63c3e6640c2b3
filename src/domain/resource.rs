//! Resources and the patterns that actions declare for them.
//!
//! Comparison is byte for byte after one strict parse. There are no wildcards, no escapes and no second
//! spelling, so two parties can't read one name two ways.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::{RESOURCE_BYTES_MAX, RESOURCE_SEGMENTS_MAX};
use super::name::{BadName, TenantName};

const EXPECTED: &str = "1 to 16 segments joined by `/`, each of letters, digits, `.`, `_`, `-`, `@`, `:`, `+`, `=` \
                        or `~` and not `.` or `..`, 512 bytes at most";

/// One resource: a relative path in canonical form, such as `repo/acme/site`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource(Arc<str>);

impl Resource {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path prefixes above it, longest first: `a/b` and `a` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.char_indices().rev().filter(|(_, c)| *c == '/').filter_map(|(at, _)| self.0.get(..at))
    }
}

impl Borrow<str> for Resource {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Resource {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let sized = text.len() <= RESOURCE_BYTES_MAX && text.split('/').count() <= RESOURCE_SEGMENTS_MAX;
        if sized && text.split('/').all(is_segment) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(BadName { expected: EXPECTED })
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether `text` can be one segment of a resource.
pub(super) fn is_segment(text: &str) -> bool {
    let allowed = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b':' | b'+' | b'=' | b'~')
    };
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(allowed)
}

/// The shape of an action's resources: fixed segments, captures `{name}`, and `{tenant}`, which only the
/// agent's own tenant fills. Example: `tenant/{tenant}/account/{account}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcePattern {
    text: Arc<str>,
    segments: Vec<Segment>,
}

/// One segment of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Any text, under this name.
    Capture(&'a str),
    /// This text.
    Fixed(&'a str),
    /// The tenant's name.
    Tenant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Any,
    Fixed(Arc<str>),
    Tenant,
}

impl ResourcePattern {
    /// The text as declared.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments as declared.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.text.split('/').map(|part| {
            let inner = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match inner {
                Some("tenant") => Piece::Tenant,
                Some(name) => Piece::Capture(name),
                None => Piece::Fixed(part),
            }
        })
    }

    /// Whether `resource` has this shape, with `tenant` in the place of `{tenant}`.
    pub fn matches(&self, resource: &Resource, tenant: &TenantName) -> bool {
        let mut parts = resource.as_str().split('/');
        let fits = self.segments.iter().all(|segment| {
            parts.next().is_some_and(|part| match segment {
                Segment::Any => true,
                Segment::Fixed(text) => **text == *part,
                Segment::Tenant => tenant.as_str() == part,
            })
        });
        fits && parts.next().is_none()
    }
}

impl FromStr for ResourcePattern {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName =
            BadName { expected: "a resource path whose segments are fixed texts, `{name}` or `{tenant}`" };
        if text.len() > RESOURCE_BYTES_MAX || text.split('/').count() > RESOURCE_SEGMENTS_MAX {
            return Err(BAD);
        }
        let segments = text.split('/').map(|part| segment(part).ok_or(BAD)).collect::<Result<_, _>>()?;
        Ok(Self { text: Arc::from(text), segments })
    }
}

fn segment(part: &str) -> Option<Segment> {
    let inner = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some("tenant") => Some(Segment::Tenant),
        Some(name) => {
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            (!name.is_empty() && name.bytes().all(good)).then_some(Segment::Any)
        }
        None => is_segment(part).then(|| Segment::Fixed(Arc::from(part))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_a_resource() {
        for good in ["a", "repo/acme/site", "demo/hello", "x/2026-11-23T00:00", &"a".repeat(512)] {
            assert!(good.parse::<Resource>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            ".",
            "..",
            "a/.",
            "a/*",
            "a%2fb",
            "a b",
            "a\\b",
            "a\u{0}b",
            "раypal/x",
            "a/\u{2025}",
            "ａ",
            "a?b",
            "a#b",
            &"a".repeat(513),
            &["a"; 17].join("/"),
        ] {
            assert!(bad.parse::<Resource>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ancestors_are_the_prefixes_at_slashes() {
        let resource: Resource = "a/b/c".parse().unwrap();
        assert_eq!(resource.ancestors().collect::<Vec<_>>(), ["a/b", "a"]);
    }

    #[test]
    fn a_pattern_fixes_length_words_and_tenant() {
        let pattern: ResourcePattern = "tenant/{tenant}/account/{account}".parse().unwrap();
        let acme: TenantName = "acme".parse().unwrap();
        let fits = |text: &str| pattern.matches(&text.parse().unwrap(), &acme);
        assert!(fits("tenant/acme/account/7"));
        for bad in [
            "tenant/other/account/7",
            "tenant/acme/account",
            "tenant/acme/account/7/8",
            "Tenant/acme/account/7",
            "tenant/acme/accounts/7",
        ] {
            assert!(!fits(bad), "{bad}");
        }
        for bad in ["", "a//b", "{}", "{A}", "a/{b", "a/*", "{x}y"] {
            assert!(bad.parse::<ResourcePattern>().is_err(), "{bad}");
        }
    }
}
