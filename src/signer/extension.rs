//! The extensions that rcgen does not know: the action binding, and forms the linter expects.
//!
//! ```text
//! ActionBinding ::= SEQUENCE {
//!     version   INTEGER (1),
//!     jti       UTF8String,              -- the credential's id
//!     action    UTF8String,
//!     resource  UTF8String,
//!     audience  UTF8String,
//!     details   OCTET STRING (SIZE 32),  -- SHA-256 of the canonical authorization_details, the whole array
//!     depth     INTEGER,                 -- of delegation; 0 for what the broker issues to an agent
//!     tier      UTF8String,              -- auto, approval, break_glass
//!     txn       UTF8String,              -- the lineage: a break-glass session, a request that was approved
//!     principal OCTET STRING (SIZE 32) } -- SHA-256 of the accountable party, as tokens name it in `sub`
//! ```
//! With the last two a verifier that follows the revocations can tell whether one of a lineage or a principal names this
//! certificate. The principal is a digest, because certificates pass through proxies and logs in the clear.
//!
//! It is not critical, because verifiers refuse a critical extension that they don't know; so a server that
//! can't read it sees an identity only.

use std::str::FromStr;

use super::der::{BadDer, Reader, element, tag, unsigned};
use super::mint::MintError;
use super::token;
use crate::domain::catalogue::Tier;
use crate::domain::credential::Issuance;
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, Lineage};
use crate::domain::name::{ActionName, Audience};
use crate::domain::resource::Resource;

/// The version of the binding's structure.
const VERSION: u8 = 1;
/// The last number of the binding's identifier, below the arc.
const BINDING: u64 = 1;
/// Most numbers of an arc, and the largest: what common parsers take.
const ARC_NUMBERS_MAX: usize = 16;

/// The arc of our private object identifiers, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidArc {
    numbers: Vec<u64>,
    binding: Vec<u8>,
}

/// The text is no arc.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 3 to {ARC_NUMBERS_MAX} numbers joined by dots, such as `1.3.6.1.4.1.32473.1`")]
pub struct NotAnArc;

impl OidArc {
    /// The arc of examples (RFC 5612). A deployment that others verify sets its own.
    pub const EXAMPLE: &'static str = "1.3.6.1.4.1.32473.1";

    /// The numbers of the binding's identifier.
    pub(super) fn binding_numbers(&self) -> Vec<u64> {
        self.numbers.iter().copied().chain([BINDING]).collect()
    }

    /// The binding's identifier as the content octets of DER.
    pub(super) fn binding(&self) -> &[u8] {
        &self.binding
    }
}

impl FromStr for OidArc {
    type Err = NotAnArc;

    fn from_str(text: &str) -> Result<Self, NotAnArc> {
        let number = |part: &str| {
            let canonical = part == "0" || !part.starts_with(['0', '+']);
            part.parse::<u32>().ok().filter(|_| canonical).map(u64::from).ok_or(NotAnArc)
        };
        let numbers = text.split('.').map(number).collect::<Result<Vec<u64>, _>>()?;
        let [first, second, rest @ ..] = &*numbers else { return Err(NotAnArc) };
        let rooted = *first <= 2 && (*first == 2 || *second < 40);
        if !rooted || rest.is_empty() || numbers.len() > ARC_NUMBERS_MAX {
            return Err(NotAnArc);
        }
        let mut binding = Vec::new();
        for number in std::iter::once(first * 40 + second).chain(rest.iter().copied()).chain([BINDING]) {
            put_base_128(&mut binding, number);
        }
        Ok(Self { numbers, binding })
    }
}

/// Seven bits an octet, all but the last with the first bit set (X.690 section 8.19.2).
fn put_base_128(out: &mut Vec<u8>, number: u64) {
    let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let seven = u8::try_from((number >> (group * 7)) & 0x7f).unwrap_or(0);
        out.push(if group == 0 { seven } else { seven | 0x80 });
    }
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionBinding {
    /// The credential.
    pub id: CredentialId,
    /// The one action.
    pub action: ActionName,
    /// The one resource.
    pub resource: Resource,
    /// The API's audience.
    pub audience: Audience,
    /// SHA-256 of the canonical `authorization_details`.
    pub details: Digest,
    /// Of delegation.
    pub depth: u8,
    /// How it was allowed.
    pub tier: Tier,
    /// What joins it to its request.
    pub lineage: Lineage,
    /// SHA-256 of the accountable party.
    pub principal: Digest,
}

impl ActionBinding {
    /// The binding of a record.
    ///
    /// # Errors
    /// When the details can't be written as JSON.
    pub(super) fn of(record: &Issuance) -> Result<Self, MintError> {
        Ok(Self {
            id: record.id,
            action: record.action.clone(),
            resource: record.resource.clone(),
            audience: record.audience.clone(),
            details: token::authorization_details_digest(record)?,
            depth: 0,
            tier: record.tier,
            lineage: record.lineage,
            principal: Digest::of(record.principal.as_bytes()),
        })
    }

    /// The extension's value.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let text = |text: &str| element(tag::UTF8_STRING, &[text.as_bytes()]);
        element(
            tag::SEQUENCE,
            &[
                &unsigned(&[VERSION]),
                &text(&self.id.to_string()),
                &text(self.action.as_str()),
                &text(self.resource.as_str()),
                &text(self.audience.as_str()),
                &element(tag::OCTET_STRING, &[self.details.as_bytes()]),
                &unsigned(&[self.depth]),
                &text(self.tier.as_str()),
                &text(&self.lineage.to_string()),
                &element(tag::OCTET_STRING, &[self.principal.as_bytes()]),
            ],
        )
    }

    /// Reads the extension's value, strictly.
    pub(super) fn from_der(value: &[u8]) -> Result<Self, BadDer> {
        let mut outer = Reader::new(value);
        let mut fields = outer.enter(tag::SEQUENCE)?;
        outer.finish()?;
        if fields.expect(tag::INTEGER)? != [VERSION] {
            return Err(BadDer);
        }
        let binding = Self {
            id: parsed(fields.utf8()?)?,
            action: parsed(fields.utf8()?)?,
            resource: parsed(fields.utf8()?)?,
            audience: parsed(fields.utf8()?)?,
            details: digest(&mut fields)?,
            depth: match fields.expect(tag::INTEGER)? {
                [depth @ 0..0x80] => *depth,
                _ => return Err(BadDer),
            },
            tier: tier(fields.utf8()?).ok_or(BadDer)?,
            lineage: parsed(fields.utf8()?)?,
            principal: digest(&mut fields)?,
        };
        fields.finish()?;
        Ok(binding)
    }
}

fn digest(fields: &mut Reader<'_>) -> Result<Digest, BadDer> {
    Ok(Digest::from_bytes(fields.expect(tag::OCTET_STRING)?.try_into().map_err(|_| BadDer)?))
}

fn parsed<T: FromStr>(text: &str) -> Result<T, BadDer> {
    text.parse().map_err(|_| BadDer)
}

/// The tier of this name.
pub(super) fn tier(text: &str) -> Option<Tier> {
    [Tier::Approval, Tier::Auto, Tier::BreakGlass].into_iter().find(|tier| tier.as_str() == text)
}

/// The value of a CRL distribution points extension with one URL.
pub(super) fn crl_distribution_points(url: &str) -> Vec<u8> {
    // DistributionPointName and fullName are both `[0]` inside the point's own `[0]`.
    let full_name = element(tag::CONTEXT_0, &[&element(tag::URI, &[url.as_bytes()])]);
    let point = element(tag::SEQUENCE, &[&element(tag::CONTEXT_0, &[&full_name])]);
    element(tag::SEQUENCE, &[&point])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arc_is_encoded_as_x_690_says() {
        let arc: OidArc = "2.999.3".parse().unwrap();
        assert_eq!(arc.binding(), [0x88, 0x37, 0x03, 0x01]);
        let example: OidArc = OidArc::EXAMPLE.parse().unwrap();
        assert_eq!(hex::encode(example.binding()), "2b0601040181fd590101");
    }

    #[test]
    fn what_is_no_arc_is_refused() {
        for bad in ["", "1", "1.2", "3.1.1", "1.40.1", "1.2.03", "1.2.+3", "1..2", "1.2.x", "1.2.4294967296"]
        {
            assert_eq!(bad.parse::<OidArc>(), Err(NotAnArc), "{bad}");
        }
        let long = |n: usize| vec!["1"; n].join(".");
        assert!(long(ARC_NUMBERS_MAX).parse::<OidArc>().is_ok());
        assert!(long(ARC_NUMBERS_MAX + 1).parse::<OidArc>().is_err());
    }
}
