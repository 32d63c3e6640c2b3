//! A request as parsed at the edge: every field has its form, nothing is decided yet.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest::Digest;
use super::id::{ApprovalId, Lineage};
use super::limits::{IDEMPOTENCY_KEY_BYTES_MAX, JUSTIFICATION_BYTES_MAX};
use super::name::{ActionName, BadName, Purpose, name};
use super::parameter::Parameter;
use super::resource::Resource;
use super::time::Ttl;

/// What an agent asks: one action on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionRequest {
    /// The action.
    pub action: ActionName,
    /// The resource.
    pub resource: Resource,
    /// Parameters, sorted by name, each name once, at most [`super::limits::PARAMETERS_MAX`].
    pub parameters: Vec<Parameter>,
    /// The lifetime asked for.
    pub ttl: Option<Ttl>,
    /// Digest of the arguments of the call that it is for.
    pub args: Option<Digest>,
    /// Why, as a code.
    pub purpose: Option<Purpose>,
    /// Makes a retry safe.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The approval that it is to be issued on.
    pub approval: Option<ApprovalId>,
    /// The break-glass session that it is asked under, instead of the policies.
    pub session: Option<Lineage>,
}

name!(
    /// A caller's name for one request, so that its retry is not a second request.
    IdempotencyKey, is_key, "printable ASCII without spaces, 1 to 64 bytes"
);

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= IDEMPOTENCY_KEY_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The agent's own words on why it asks. They are shown to operators, set apart, and decide nothing: no type that a
/// decision is made from holds them (promise P13). They are not in the log, only their digest is.
#[derive(Clone, PartialEq, Eq)]
pub struct Justification(Arc<str>);

impl Justification {
    /// The words, which can be anything.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the words.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl FromStr for Justification {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.is_empty() || text.len() > JUSTIFICATION_BYTES_MAX {
            return Err(BadName { expected: "a text of 1 to 1024 bytes" });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Justification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

/// The holder's key that a credential is bound to (RFC 7800).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// RFC 7638 thumbprint of the DPoP key (RFC 9449 section 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<Thumbprint>,
    /// Thumbprint of the holder's certificate (RFC 8705 section 3.1).
    #[serde(default, rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<Thumbprint>,
}

impl Confirmation {
    /// Whether there is no key: a bearer token.
    pub const fn is_bearer(&self) -> bool {
        self.jkt.is_none() && self.x5t_s256.is_none()
    }
}

name!(
    /// A SHA-256 thumbprint in base64url without padding.
    Thumbprint, is_thumbprint, "a SHA-256 in base64url without padding, 43 characters"
);

fn is_thumbprint(text: &str) -> bool {
    use base64::Engine as _;
    // Decoding is strict about trailing bits, so each digest has one spelling.
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
    text.len() == 43 && decoded.is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_has_one_spelling() {
        assert!("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse::<Thumbprint>().is_ok());
        for bad in [
            "",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I=",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J",
            "0ZcOCORZNYy+DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4",
        ] {
            assert!(bad.parse::<Thumbprint>().is_err(), "{bad}");
        }
    }
}
