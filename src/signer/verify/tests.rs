//! What was minted verifies, and what differs from it in anything does not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;
use crate::domain::constraint::Bound;
use crate::domain::credential::Kind;
use crate::domain::parameter::Value;
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
        ("\"one_of\":[\"EUR\"]", "\"rank\":\"EUR\""),
        ("\"one_of\":[\"EUR\"]", "\"one_of\":[\"EUR\"],\"order\":[\"EUR\",\"USD\"]"),
        ("\"one_of\":[\"EUR\"]", "\"order\":[\"EUR\",\"USD\"],\"rank\":\"GBP\""),
        ("\"one_of\":[\"EUR\"]", "\"order\":[\"EUR\"],\"rank\":\"EUR\""),
        ("\"one_of\":[\"EUR\"]", "\"order\":[\"EUR\",\"USD\",\"EUR\"],\"rank\":\"EUR\""),
        ("\"one_of\":[\"EUR\"]", "\"order\":[1,\"EUR\"],\"rank\":\"EUR\""),
        ("\"one_of\":[\"EUR\"]", "\"one_of\":[]"),
        ("\"one_of\":[\"EUR\"]", "\"one_of\":[\"EUR\"],\"prefix\":\"E\""),
        ("\"one_of\":[\"EUR\"]", "\"one_of\":[{}]"),
        ("\"key\":\"urgent\"", "\"key\":\"amount\""),
        ("\"max_lifetime\":1", "\"max_lifetime\":0"),
        ("\"max_lifetime\":1", "\"max\":1"),
        ("\"exp\":1795435320", "\"exp\":1795436101"),
        ("\"hotwork_tier\":\"auto\"", "\"hotwork_tier\":\"root\""),
        (
            "\"hotwork_tier\":",
            "\"hotwork_approval\":\"0190163d-8694-739b-aea5-966c26f8ad91\",\"hotwork_tier\":",
        ),
        (
            "\"hotwork_tier\":",
            "\"hotwork_session\":\"0190163d-8694-739b-aea5-966c26f8ad91\",\"hotwork_tier\":",
        ),
        ("\"hotwork_tier\":\"auto\"", "\"hotwork_approval\":\"x\",\"hotwork_tier\":\"approval\""),
        (
            "\"hotwork_tier\":\"auto\"",
            "\"hotwork_session\":\"0190163d-8694-739b-aea5-966c26f8ad91\",\"hotwork_tier\":\"break_glass\"",
        ),
        ("\"sub\":\"spiffe://example.org/tenant/acme/agent/buyer\"", "\"sub\":\"somebody\""),
    ] {
        let changed = payload.replacen(from, to, 1);
        assert_ne!(changed, payload, "{from}");
        assert_eq!(check(&forged(&*key, &header, &changed), &*key), Err(NotVerified::Form), "{to}");
    }
}

#[test]
fn a_rank_admits_what_its_order_puts_no_higher() {
    let key = signer(Algorithm::Es256);
    let (header, payload) = parts(&minted(&*key));
    let rank = "\"order\":[\"none\",\"internal\",\"any\"],\"rank\":\"internal\"";
    let changed = payload.replacen("\"one_of\":[\"EUR\"]", rank, 1);
    let claims = check(&forged(&*key, &header, &changed), &*key).unwrap();
    let ranked = claims.constraints.iter().find(|one| matches!(one.bound, Bound::Rank(_))).unwrap();
    let admits = |value: &str| ranked.bound.admits(&Value::Text(value.parse().unwrap()));
    assert_eq!(["none", "internal", "any", "Internal"].map(admits), [true, true, false, false]);
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
