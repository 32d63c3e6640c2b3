//! Verifies what we minted, from public keys alone: for introspection and for the command line.
//!
//! The order is that of PROFILES 1, as far as a broker can go: size, strict parse, type, algorithm bound to
//! the key, signature, depth and principal, times. Proof of possession, status, audience and constraints
//! are the caller's, who knows the request.

mod certificates;
mod proofs;
mod trust;

pub use certificates::{CertificateClaims, certificate};
pub use proofs::{Proof, proof};
pub use trust::Trust;

use super::claims::{RawClaims, RawConstraint, RawHeader, Rule, Scalar, part};
use super::extension::tier;
use super::key::VerifyingKey;
use super::token::{DELEGATION_DEPTH_MAX, DETAILS_TYPE, TYPE};
use crate::domain::catalogue::Tier;
use crate::domain::constraint::{Bound, Constraint};
use crate::domain::digest::Digest;
use crate::domain::id::{CredentialId, Lineage};
use crate::domain::limits::{
    CONSTRAINT_VALUES_MAX, PARAMETERS_MAX, TOKEN_BYTES_MAX, TTL_SECONDS_MAX, VERIFY_LEEWAY_SECONDS_MAX,
};
use crate::domain::name::{ActionName, AgentId, Audience, Issuer};
use crate::domain::parameter::Value;
use crate::domain::request::Confirmation;
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;

/// Why a credential is refused. The first reason in the order of checks.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotVerified {
    /// The algorithm is not the one that the key is for.
    #[error("the algorithm is not that of the key")]
    Algorithm,
    /// It has ended.
    #[error("it has expired")]
    Expired,
    /// It is not of the strict form.
    #[error("it is not of the form that this broker issues")]
    Form,
    /// Another issuer's.
    #[error("it is of another issuer")]
    Issuer,
    /// No key of that id.
    #[error("no trusted key has its key id")]
    Key,
    /// It has not begun.
    #[error("it is not valid yet")]
    NotYet,
    /// The signature is not the key's.
    #[error("its signature does not verify")]
    Signature,
    /// It is longer than any of ours.
    #[error("it is too long")]
    TooLong,
    /// It is a token of another type.
    #[error("it is not an access token")]
    Type,
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The credential's id.
    pub id: CredentialId,
    /// The accountable party.
    pub subject: String,
    /// Who holds it.
    pub agent: AgentId,
    /// Whom it is for.
    pub audience: Audience,
    /// When it was minted.
    pub issued: Timestamp,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// What joins it to its request.
    pub lineage: Lineage,
    /// The one action.
    pub action: ActionName,
    /// The one resource.
    pub resource: Resource,
    /// What the call's parameters are held to, each name once.
    pub constraints: Vec<Constraint>,
    /// Digest of the call's arguments, when it is bound to them.
    pub args: Option<Digest>,
    /// Whether it is good for one call only.
    pub single_use: bool,
    /// How many calls it is good for, when they are counted.
    pub calls_max: Option<u32>,
    /// Its place in a status list, and the list's URI.
    pub status: Option<(u32, String)>,
    /// The holder's key.
    pub cnf: Confirmation,
    /// How it was allowed.
    pub tier: Tier,
    /// The key that signed it.
    pub kid: String,
    /// SHA-256 of what was signed, as the record has it.
    pub content: Digest,
}

/// When it is, and how far two clocks may be apart: at most [`VERIFY_LEEWAY_SECONDS_MAX`] counts.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The verifier's time.
    pub now: Timestamp,
    /// Forgiven at both ends, in seconds.
    pub leeway_seconds: u32,
}

impl Moment {
    /// Whether it is within a lifetime, in seconds: from `not_before` up to but not at `expires`.
    ///
    /// # Errors
    /// [`NotVerified::NotYet`] or [`NotVerified::Expired`].
    pub fn within(self, not_before: i64, expires: i64) -> Result<(), NotVerified> {
        let leeway = i64::from(self.leeway_seconds.min(VERIFY_LEEWAY_SECONDS_MAX));
        let now = self.now.seconds();
        if now.saturating_add(leeway) < not_before {
            return Err(NotVerified::NotYet);
        }
        if now.saturating_sub(leeway) >= expires { Err(NotVerified::Expired) } else { Ok(()) }
    }
}

/// Verifies a token of `issuer` with one of the trusted keys.
///
/// # Errors
/// The first reason to refuse it.
pub fn token(
    text: &str,
    keys: &[VerifyingKey],
    issuer: &Issuer,
    moment: Moment,
) -> Result<Claims, NotVerified> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err(NotVerified::TooLong);
    }
    let (input, signature) = text.rsplit_once('.').ok_or(NotVerified::Form)?;
    let (head, body) = input.split_once('.').ok_or(NotVerified::Form)?;
    let decode = |text: &str| part(text.as_bytes()).ok_or(NotVerified::Form);
    let (header, payload, signature) = (decode(head)?, decode(body)?, decode(signature)?);
    let header: RawHeader<'_> = serde_json::from_slice(&header).map_err(|_| NotVerified::Form)?;
    let claims: RawClaims<'_> = serde_json::from_slice(&payload).map_err(|_| NotVerified::Form)?;
    if header.typ != TYPE {
        return Err(NotVerified::Type);
    }
    let key = keys.iter().find(|key| key.kid() == header.kid).ok_or(NotVerified::Key)?;
    if header.alg != key.algorithm().jose() {
        return Err(NotVerified::Algorithm);
    }
    key.verify(input.as_bytes(), &signature).map_err(|_| NotVerified::Signature)?;
    if claims.iss != issuer.as_str() {
        return Err(NotVerified::Issuer);
    }
    let content = Digest::of(input.as_bytes());
    let read = read(&claims, key.kid(), content).ok_or(NotVerified::Form)?;
    let life = claims.exp.saturating_sub(claims.iat);
    if !(1..=i64::from(TTL_SECONDS_MAX)).contains(&life) || claims.nbf > claims.iat {
        return Err(NotVerified::Form);
    }
    moment.within(claims.nbf, claims.exp)?;
    Ok(read)
}

/// The claims as words of the trade; `None` when one has not its form, or two disagree.
fn read(claims: &RawClaims<'_>, kid: &str, content: Digest) -> Option<Claims> {
    let [details] = &claims.authorization_details;
    let [scope] = &details.scopes;
    let actor = claims.act.as_ref().map(|act| &act.sub);
    let delegated = claims.sub != claims.client_id;
    let acts = if delegated { actor == Some(&claims.client_id) } else { actor.is_none() };
    let depth = claims.del_depth == 0 && claims.del_max_depth == DELEGATION_DEPTH_MAX;
    if !acts || !depth || details.kind != DETAILS_TYPE || *scope != claims.scope {
        return None;
    }
    let constraints = constraints(&details.constraints)?;
    Some(Claims {
        content,
        id: claims.jti.parse().ok()?,
        subject: claims.sub.to_string(),
        agent: claims.client_id.parse().ok()?,
        audience: claims.aud.parse().ok()?,
        issued: Timestamp::from_seconds(claims.iat),
        not_before: Timestamp::from_seconds(claims.nbf),
        expires: Timestamp::from_seconds(claims.exp),
        lineage: claims.txn.parse().ok()?,
        action: scope.parse().ok()?,
        resource: constraints.resource?,
        constraints: constraints.parameters,
        args: constraints.args,
        single_use: constraints.calls_max == Some(1),
        calls_max: constraints.calls_max,
        status: claims
            .status
            .as_ref()
            .map(|status| (status.status_list.idx, status.status_list.uri.to_string())),
        cnf: claims.cnf.clone(),
        tier: tier(&claims.hotwork_tier)?,
        kid: kid.to_owned(),
    })
}

#[derive(Default)]
struct Constraints {
    resource: Option<Resource>,
    parameters: Vec<Constraint>,
    args: Option<Digest>,
    calls_max: Option<u32>,
}

/// An unknown constraint denies, and so does one that stands twice.
fn constraints(list: &[RawConstraint<'_>]) -> Option<Constraints> {
    let mut read = Constraints::default();
    if list.len() > PARAMETERS_MAX + 3 {
        return None;
    }
    for (at, constraint) in list.iter().enumerate() {
        let earlier = list.get(..at)?;
        if earlier.iter().any(|earlier| earlier.key == constraint.key) {
            return None;
        }
        match (&*constraint.key, constraint.rule()?) {
            ("resource", Rule::OneOf([Scalar::Text(text)])) => read.resource = Some(text.parse().ok()?),
            ("args_sha256", Rule::OneOf([Scalar::Text(text)])) => read.args = Some(text.parse().ok()?),
            ("max_calls", Rule::MaxLifetime(calls @ 1..)) => read.calls_max = Some(calls.try_into().ok()?),
            ("resource" | "args_sha256" | "max_calls", _) => return None,
            (name, rule) => {
                read.parameters.push(Constraint { name: name.parse().ok()?, bound: bound(&rule)? });
            }
        }
    }
    Some(read)
}

fn bound(rule: &Rule<'_>) -> Option<Bound> {
    match rule {
        Rule::Max(max) => (*max).try_into().ok().map(Bound::Max),
        // A count of calls bounds the credential and not a parameter.
        Rule::MaxLifetime(_) => None,
        Rule::Min(min) => (*min).try_into().ok().map(Bound::Min),
        Rule::NotOneOf(list) => values(list).map(Bound::NotOneOf),
        Rule::OneOf(list) => values(list).map(Bound::OneOf),
        Rule::Prefix(text) => text.parse().ok().map(Bound::Prefix),
    }
}

fn values(list: &[Scalar<'_>]) -> Option<Vec<Value>> {
    if list.is_empty() || list.len() > CONSTRAINT_VALUES_MAX {
        return None;
    }
    let value = |scalar: &Scalar<'_>| match scalar {
        Scalar::Flag(flag) => Some(Value::Flag(*flag)),
        Scalar::Integer(integer) => (*integer).try_into().ok().map(Value::Integer),
        Scalar::Text(text) => text.parse().ok().map(Value::Text),
    };
    list.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::credential::Kind;
    use crate::domain::signer::{Algorithm, Signer};
    use crate::signer::fixture::{NOW, issuer, record, signer};

    fn at(seconds: i64) -> Moment {
        Moment { now: Timestamp::from_seconds(NOW.seconds() + seconds), leeway_seconds: 0 }
    }

    fn minted(key: &dyn Signer) -> String {
        let record = record(Kind::Token);
        let linted = crate::signer::token::unsigned(&record, &issuer(), key).unwrap().lint().unwrap();
        linted.sign(key).unwrap().expose().to_owned()
    }

    /// Signs whatever text, as a broker gone wrong would.
    fn forged(key: &dyn Signer, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap());
        format!("{input}.{signature}")
    }

    fn parts(text: &str) -> (String, String) {
        let mut parts = text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let mut next = || String::from_utf8(parts.next().unwrap()).unwrap();
        (next(), next())
    }

    fn check(text: &str, key: &dyn Signer) -> Result<Claims, NotVerified> {
        token(text, &[VerifyingKey::of(key)], &issuer(), at(0))
    }

    #[test]
    fn what_was_minted_verifies_and_reads_back() {
        for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
            let key = signer(algorithm);
            let claims = check(&minted(&*key), &*key).unwrap();
            let record = record(Kind::Token);
            assert_eq!((claims.id, claims.lineage), (record.id, record.lineage));
            assert_eq!((claims.action, claims.resource), (record.action, record.resource));
            assert_eq!((claims.agent, claims.audience), (record.agent, record.audience));
            let asked: Vec<Constraint> = record.parameters.iter().map(Constraint::of).collect();
            assert_eq!((claims.constraints, claims.args), (asked, record.args));
            assert_eq!(claims.kid, key.kid());
            assert_eq!((claims.expires, claims.single_use), (record.expires, true));
        }
    }

    #[test]
    fn a_token_lives_from_nbf_up_to_but_not_at_exp() {
        let key = signer(Algorithm::Es256);
        let text = minted(&*key);
        let at = |seconds, leeway_seconds| {
            let moment = Moment { leeway_seconds, ..at(seconds) };
            token(&text, &[VerifyingKey::of(&*key)], &issuer(), moment).map(drop)
        };
        assert_eq!(at(-5, 0), Ok(()));
        assert_eq!(at(-6, 0), Err(NotVerified::NotYet));
        assert_eq!(at(119, 0), Ok(()));
        assert_eq!(at(120, 0), Err(NotVerified::Expired));
        assert_eq!(at(149, 30), Ok(()));
        // More leeway than the profile allows does not count.
        assert_eq!(at(150, 10_000), Err(NotVerified::Expired));
        assert_eq!(at(-36, 10_000), Err(NotVerified::NotYet));
    }

    #[test]
    fn the_key_decides_the_algorithm_and_not_the_token() {
        let (key, other) = (signer(Algorithm::Es256), signer(Algorithm::Ed25519));
        let text = minted(&*key);
        assert_eq!(check(&text, &*other), Err(NotVerified::Key));
        let (header, payload) = parts(&text);
        let named = header.replace(key.kid(), other.kid());
        assert_eq!(check(&forged(&*key, &named, &payload), &*other), Err(NotVerified::Algorithm));
        for alg in ["none", "HS256", "EdDSA", "ES384"] {
            let text = forged(&*key, &header.replace("ES256", alg), &payload);
            assert_eq!(check(&text, &*key), Err(NotVerified::Algorithm), "{alg}");
        }
        let unsigned = text.rsplit_once('.').map(|(input, _)| format!("{input}.")).unwrap();
        assert_eq!(check(&unsigned, &*key), Err(NotVerified::Signature));
    }

    #[test]
    fn members_that_are_unknown_or_stand_twice_are_refused_though_signed() {
        let key = signer(Algorithm::Es256);
        let (header, payload) = parts(&minted(&*key));
        let form = |header: &str, payload: &str| check(&forged(&*key, header, payload), &*key);
        assert!(form(&header, &payload).is_ok());
        let add = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
        for member in ["\"jwk\":{}", "\"crit\":[]", "\"jku\":\"https://x\"", "\"alg\":\"ES256\""] {
            assert_eq!(form(&add(&header, member), &payload), Err(NotVerified::Form), "{member}");
        }
        for member in ["\"aud\":\"https://evil.example\"", "\"admin\":true", "\"exp\":9999999999"] {
            assert_eq!(form(&header, &add(&payload, member)), Err(NotVerified::Form), "{member}");
        }
        assert_eq!(form(&header.replace("at+jwt", "JWT"), &payload), Err(NotVerified::Type));
        let other = payload.replace("https://broker.example.org", "https://other.example.org");
        assert_eq!(form(&header, &other), Err(NotVerified::Issuer));
    }

    #[test]
    fn claims_that_disagree_or_constrain_in_unknown_ways_are_refused() {
        let key = signer(Algorithm::Es256);
        let (header, payload) = parts(&minted(&*key));
        for (from, to) in [
            ("\"scope\":\"pay.invoice.settle\"", "\"scope\":\"pay.invoice.read\""),
            ("\"del_depth\":0", "\"del_depth\":1"),
            ("{\"key\":\"resource\",\"one_of\":[\"invoice/2026-0042\"]},", ""),
            ("\"one_of\":[\"EUR\"]", "\"max_subtree\":3"),
            ("\"one_of\":[\"EUR\"]", "\"rank\":3"),
            ("\"one_of\":[\"EUR\"]", "\"one_of\":[]"),
            ("\"one_of\":[\"EUR\"]", "\"one_of\":[\"EUR\"],\"prefix\":\"E\""),
            ("\"one_of\":[\"EUR\"]", "\"one_of\":[{}]"),
            ("\"key\":\"urgent\"", "\"key\":\"amount\""),
            ("\"max_lifetime\":1", "\"max_lifetime\":0"),
            ("\"max_lifetime\":1", "\"max\":1"),
            ("\"exp\":1795435320", "\"exp\":1795436101"),
            ("\"hotwork_tier\":\"auto\"", "\"hotwork_tier\":\"root\""),
            ("\"sub\":\"spiffe://example.org/tenant/acme/agent/buyer\"", "\"sub\":\"somebody\""),
        ] {
            let changed = payload.replacen(from, to, 1);
            assert_ne!(changed, payload, "{from}");
            assert_eq!(check(&forged(&*key, &header, &changed), &*key), Err(NotVerified::Form), "{to}");
        }
    }

    #[test]
    fn every_changed_character_of_a_token_is_noticed() {
        let key = signer(Algorithm::Ed25519);
        let text = minted(&*key);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(check(&String::from_utf8(bytes).unwrap(), &*key).is_err(), "character {at}");
        }
        assert_eq!(check(&"a".repeat(TOKEN_BYTES_MAX + 1), &*key), Err(NotVerified::TooLong));
        assert_eq!(check(&"a".repeat(TOKEN_BYTES_MAX), &*key), Err(NotVerified::Form));
    }

    proptest! {
        /// No input, however malformed, panics or verifies.
        #[test]
        fn random_texts_are_refused(
            text in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}",
        ) {
            let key = VerifyingKey::new(Algorithm::Ed25519, vec![7; 32]);
            prop_assert!(token(&text, &[key], &issuer(), at(0)).is_err());
        }
    }
}
