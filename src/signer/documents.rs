//! Signed documents that are no credentials: token status lists and answers to introspection.
//!
//! Each has a `typ` of its own, so that no verifier takes one for a token, or for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;

use crate::domain::limits::{STATUS_LIST_SECONDS, STATUS_LIST_TTL_SECONDS};
use crate::domain::name::{Audience, Issuer};
use crate::domain::signer::{Signer, SigningFailed};
use crate::domain::status_list::{self, ListId, STATUS_BITS, Status};
use crate::domain::time::Timestamp;

/// The media type of a status list (draft-ietf-oauth-status-list section 5.1), without `application/`.
const STATUS_LIST_TYPE: &str = "statuslist+jwt";
/// The media type of a signed answer to introspection (RFC 9701 section 5), without `application/`.
const INTROSPECTION_TYPE: &str = "token-introspection+jwt";
/// How hard the list is compressed: the highest level, as the draft recommends.
const LEVEL: u8 = 9;

/// Fields in alphabetical order, as in tokens.
#[derive(Serialize)]
struct StatusListClaims<'a> {
    exp: i64,
    iat: i64,
    iss: &'a str,
    status_list: StatusListMember,
    sub: String,
    ttl: u32,
}

#[derive(Serialize)]
struct StatusListMember {
    bits: u32,
    lst: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

/// The status list token of `list` (section 5.1), in which all places are valid but these.
///
/// # Errors
/// When the key fails.
pub fn status_list(
    issuer: &Issuer,
    list: ListId,
    statuses: impl IntoIterator<Item = (u32, Status)>,
    now: Timestamp,
    signer: &dyn Signer,
) -> Result<String, SigningFailed> {
    let claims = StatusListClaims {
        exp: now.seconds() + STATUS_LIST_SECONDS,
        iat: now.seconds(),
        iss: issuer.as_str(),
        status_list: StatusListMember { bits: STATUS_BITS, lst: encode(&status_list::bytes(statuses)) },
        sub: list.uri(issuer.as_str()),
        ttl: STATUS_LIST_TTL_SECONDS,
    };
    signed(STATUS_LIST_TYPE, &claims, signer)
}

#[derive(Serialize)]
struct IntrospectionClaims<'a> {
    aud: &'a str,
    iat: i64,
    iss: &'a str,
    token_introspection: &'a Value,
}

/// An answer to introspection for the resource server `audience` (RFC 9701 section 5).
///
/// # Errors
/// When the key fails.
pub fn introspection(
    issuer: &Issuer,
    answer: &Value,
    audience: &Audience,
    now: Timestamp,
    signer: &dyn Signer,
) -> Result<String, SigningFailed> {
    let claims = IntrospectionClaims {
        aud: audience.as_str(),
        iat: now.seconds(),
        iss: issuer.as_str(),
        token_introspection: answer,
    };
    signed(INTROSPECTION_TYPE, &claims, signer)
}

/// A list as the draft's section 4.2 has it: zlib, then base64url.
fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(miniz_oxide::deflate::compress_to_vec_zlib(bytes, LEVEL))
}

/// A compact JWS of these claims.
pub(super) fn signed(
    kind: &str,
    claims: &impl Serialize,
    signer: &dyn Signer,
) -> Result<String, SigningFailed> {
    let failed = |_| SigningFailed { kid: signer.kid().to_owned() };
    let header = Header { alg: signer.algorithm().jose(), kid: signer.kid(), typ: kind };
    let header = serde_json::to_vec(&header).map_err(failed)?;
    let claims = serde_json::to_vec(claims).map_err(failed)?;
    let mut text = URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    let signature = signer.sign(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signer::Algorithm;
    use crate::signer::fixture::{NOW, issuer, signer};
    use crate::signer::key::VerifyingKey;
    use crate::signer::verify::{self, Moment, NotVerified};

    const LIST: ListId = ListId { hour: 498_732, list: 1 };

    fn payload(token: &str) -> serde_json::Value {
        let body = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
    }

    #[test]
    fn a_status_list_token_is_that_of_the_draft() {
        let key = signer(Algorithm::Es256);
        let token = status_list(&issuer(), LIST, [(3, Status::Invalid)], NOW, &*key).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        VerifyingKey::of(&*key).verify(input.as_bytes(), &signature).unwrap();
        let claims = payload(&token);
        assert_eq!(claims["sub"], "https://broker.example.org/status/498732/1");
        assert_eq!((claims["iss"].as_str(), claims["ttl"].as_i64()), (Some(issuer().as_str()), Some(15)));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        assert_eq!(claims["status_list"]["bits"], 2);
        let lst = URL_SAFE_NO_PAD.decode(claims["status_list"]["lst"].as_str().unwrap()).unwrap();
        let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(&lst).unwrap();
        assert_eq!(bytes.len(), 65_536);
        assert_eq!(bytes[0], 0b0100_0000);
        assert!(bytes[1..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_status_list_is_no_token() {
        let key = signer(Algorithm::Es256);
        let token = status_list(&issuer(), LIST, [], NOW, &*key).unwrap();
        let moment = Moment { now: NOW, leeway_seconds: 0 };
        let refused = verify::token(&token, &[VerifyingKey::of(&*key)], &issuer(), moment).map(drop);
        assert!(matches!(refused, Err(NotVerified::Form | NotVerified::Type)), "{refused:?}");
    }
}
