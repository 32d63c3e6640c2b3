//! A request over HTTP as a credential and a call: the headers that count, read strictly.

use std::sync::Arc;

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;

use super::{Asked, Call, Presented, Refusal, Scheme, Verified, Verifier};
use crate::domain::catalogue::{Api, Binding};
use crate::domain::digest::Digest;
use crate::domain::name::{ActionName, Audience};
use crate::domain::route::Enforcement;
use crate::domain::time::Timestamp;

/// The header of DPoP proofs (RFC 9449 section 4.1).
const PROOF: &str = "dpop";

/// Headers by which a client tells some servers to take the request for another. What stands behind us may
/// honour one, so a request with one is no action that we know.
const OVERRIDES: [&str; 5] =
    ["x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];

/// An API as a verifier protects it.
#[derive(Clone, Debug)]
pub struct Protected {
    /// The `aud` of its credentials.
    pub audience: Audience,
    /// Whether a token that is bound to no key will do.
    pub dangerous_bearer: bool,
    /// Its origin and routes.
    pub enforcement: Arc<Enforcement>,
}

impl Protected {
    /// As the registry declares it.
    pub fn of(api: &Api) -> Self {
        Self {
            audience: api.audience.clone(),
            dangerous_bearer: api.binding == Binding::DangerousBearer,
            enforcement: Arc::clone(&api.enforcement),
        }
    }
}

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The client's certificate (DER), of which the transport proved that the client has the key.
    pub certificate: Option<&'a [u8]>,
    /// Digest of the call's arguments, when the server has read them.
    pub args: Option<Digest>,
}

/// A refusal, with the action that was asked for when it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The reason.
    pub refusal: Refusal,
    /// What a credential would have to be for.
    pub action: Option<ActionName>,
}

impl Denied {
    /// The challenge for `WWW-Authenticate`. To a stranger it does not say which actions there are.
    pub fn challenge(&self) -> String {
        let stranger = self.refusal == Refusal::Missing;
        self.refusal
            .challenge(self.action.as_ref().filter(|_| !stranger && self.refusal.http_status() == 403))
    }
}

/// Checks a request to `api`.
///
/// # Errors
/// The first reason to refuse it.
pub fn check(
    verifier: &Verifier,
    api: &Protected,
    arrived: &Arrived<'_>,
    now: Timestamp,
) -> Result<Verified, Denied> {
    let overridden = OVERRIDES.iter().any(|name| arrived.headers.contains_key(*name));
    let mapped = api.enforcement.map(arrived.method, arrived.target).ok().filter(|_| !overridden);
    let denied = |refusal| Denied { refusal, action: mapped.as_ref().map(|mapped| mapped.action.clone()) };
    let presented = presented(arrived).map_err(denied)?;
    let url = api.enforcement.url(arrived.target);
    let call = Call {
        method: arrived.method,
        url: url.as_deref(),
        audience: &api.audience,
        dangerous_bearer: api.dangerous_bearer,
        asked: mapped.as_ref().map(|mapped| Asked {
            action: &mapped.action,
            resource: &mapped.resource,
            parameters: &mapped.parameters,
        }),
        args: arrived.args,
    };
    verifier.verify(&presented, &call, now).map_err(denied)
}

/// The token that the headers present, if they present one, for a debit after [`check`].
pub fn token_of(headers: &HeaderMap) -> Option<&str> {
    once(headers, AUTHORIZATION.as_str()).ok()?.and_then(|value| token(value).ok()).map(|(_, token)| token)
}

/// The credential that the headers and the transport present, each part once.
fn presented<'a>(arrived: &Arrived<'a>) -> Result<Presented<'a>, Refusal> {
    let token = once(arrived.headers, AUTHORIZATION.as_str())?.map(token).transpose()?;
    let proof = once(arrived.headers, PROOF)?;
    Ok(Presented { token, proof, certificate: arrived.certificate })
}

/// The value of a header that may stand once. Two of them are read differently by different servers.
fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map_err(|_| Refusal::Malformed)).transpose()?;
    if values.next().is_some() { Err(Refusal::Malformed) } else { Ok(value) }
}

/// `SCHEME TOKEN`: one space, and a token without spaces and commas (RFC 9110 section 11.4).
fn token(value: &str) -> Result<(Scheme, &str), Refusal> {
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::Malformed)?;
    let scheme = match scheme {
        scheme if scheme.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        scheme if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        _ => return Err(Refusal::Malformed),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if token.is_empty() || !token.bytes().all(allowed) {
        return Err(Refusal::Malformed);
    }
    Ok((scheme, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn read(lines: &[(&'static str, &'static str)]) -> Result<Option<(Scheme, String)>, Refusal> {
        let headers = headers(lines);
        let arrived =
            Arrived { method: "GET", target: "/", headers: &headers, certificate: None, args: None };
        presented(&arrived).map(|presented| presented.token.map(|(scheme, token)| (scheme, token.to_owned())))
    }

    #[test]
    fn a_credential_is_presented_once_and_in_one_form() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("authorization", "DPoP a.b-_c")]), Ok(Some((Scheme::Dpop, "a.b-_c".into()))));
        assert_eq!(read(&[("authorization", "bearer x")]), Ok(Some((Scheme::Bearer, "x".into()))));
        for bad in [
            "",
            "DPoP",
            "DPoP ",
            "DPoP  x",
            "Basic x",
            "DPoP x y",
            "Bearer a, Bearer b",
            "Bearer a,b",
            "DPoPx y",
        ] {
            assert_eq!(read(&[("authorization", bad)]), Err(Refusal::Malformed), "{bad}");
        }
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        assert_eq!(read(&twice), Err(Refusal::Malformed));
        assert_eq!(read(&[("dpop", "a"), ("dpop", "b")]), Err(Refusal::Malformed));
    }
}
