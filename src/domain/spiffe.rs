//! SPIFFE IDs of others: read in their one canonical spelling, or not at all (SPIFFE-ID section 2).

use std::fmt;
use std::str::FromStr;

use super::limits::SPIFFE_ID_BYTES_MAX;
use super::name::{BadName, TrustDomain};

/// `spiffe://TRUST-DOMAIN/path`, with a path that is not the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeId {
    text: String,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path without its leading slash.
    pub fn path(&self) -> &str {
        let rest = self.text.strip_prefix("spiffe://").unwrap_or_default();
        rest.split_once('/').map_or("", |(_, path)| path)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName { expected: "a SPIFFE ID, `spiffe://TRUST-DOMAIN/PATH`" };
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(BAD);
        }
        let (trust_domain, path) =
            text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).ok_or(BAD)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let segment =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed);
        if !path.split('/').all(segment) {
            return Err(BAD);
        }
        Ok(Self { trust_domain: trust_domain.parse().map_err(|_| BAD)?, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id: SpiffeId = "spiffe://prod.example/ns/a/sa/B_1.x".parse().unwrap();
        assert_eq!((id.trust_domain().as_str(), id.path()), ("prod.example", "ns/a/sa/B_1.x"));
        let long = format!("spiffe://td/{}", "x".repeat(2048 - 12));
        assert!(long.parse::<SpiffeId>().is_ok());
        for bad in [
            &*format!("{long}x"),
            "",
            "spiffe://td",
            "spiffe://td/",
            "spiffe:///a",
            "spiffe://td//a",
            "spiffe://td/a/",
            "spiffe://td/./a",
            "spiffe://td/../a",
            "spiffe://TD/a",
            "Spiffe://td/a",
            "spiffe://td:1/a",
            "spiffe://u@td/a",
            "spiffe://td/a?b",
            "spiffe://td/a#b",
            "spiffe://td/%61",
            "spiffe://td/é",
            "https://td/a",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }
}
