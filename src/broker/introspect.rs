//! Introspect: is this credential live? Answered from memory: signature, lifetime, revocations.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::domain::credential::Credential;
use crate::domain::name::Audience;
use crate::store::ReadError;

use super::Broker;
use super::publish::PublishError;

/// What a verifier shows.
#[derive(Debug)]
pub enum Shown {
    /// A leaf certificate in DER.
    Certificate(Vec<u8>),
    /// A token.
    Token(String),
}

impl Broker {
    /// The record of the credential, only when it is ours, in its lifetime, and not ended. Everything
    /// else is one answer: `None` (RFC 7662 section 2.2).
    ///
    /// # Errors
    /// When the index can't be read: unknown is not live and not dead.
    pub async fn introspect(&self, shown: &Shown) -> Result<Option<Credential>, ReadError> {
        let Ok(now) = self.clock.now() else { return Ok(None) };
        let found = self.live_record_of(shown, now).await?;
        Ok(found.map(|credential| (*credential).clone()))
    }

    /// What a live token says, with what RFC 7662 section 2.2 adds, for the resource server `audience`. `None`
    /// for everything that is not live, and for tokens of another audience.
    ///
    /// # Errors
    /// When the index can't be read.
    pub async fn introspect_claims(
        &self,
        token: String,
        audience: &Audience,
    ) -> Result<Option<Value>, ReadError> {
        let shown = Shown::Token(token);
        let Some(credential) = self.introspect(&shown).await? else { return Ok(None) };
        let Shown::Token(token) = &shown else { return Ok(None) };
        if credential.issuance.audience != *audience {
            return Ok(None);
        }
        let Some(Value::Object(mut claims)) = claims_of(token) else { return Ok(None) };
        // RFC 9449 section 6.2: a token that is bound to a key is used with a proof.
        let kind = if credential.issuance.cnf.jkt.is_some() { "DPoP" } else { "Bearer" };
        claims.insert("active".to_owned(), Value::Bool(true));
        claims.insert("token_type".to_owned(), Value::String(kind.to_owned()));
        Ok(Some(Value::Object(claims)))
    }

    /// An answer to introspection as a signed document (RFC 9701) for `audience`.
    ///
    /// # Errors
    /// When the clock can't be trusted, or the key fails.
    pub fn sign_introspection(&self, claims: &Value, audience: &Audience) -> Result<String, PublishError> {
        let now = self.believed_time()?;
        Ok(self.minter.introspection(claims, audience, now)?)
    }
}

/// The claims of a token of ours, whose signature was verified.
fn claims_of(token: &str) -> Option<Value> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}
