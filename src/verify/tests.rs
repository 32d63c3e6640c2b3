//! Each check with what passes and what does not, and the order of them.

mod possession;

use std::sync::Arc;

use super::*;
use crate::domain::credential::{Issuance, Kind};
use crate::domain::id::Serial;
use crate::domain::name::Issuer;
use crate::domain::request::Confirmation;
use crate::domain::signer::{Algorithm, Signer};
use crate::signer::key::{LocalSigner, VerifyingKey};
use fixture::{Fixed, NOW, amount, bound_to, mint, proof, record, signer};

/// A verifier, the broker's key and the agent's.
struct Scene {
    verifier: Verifier,
    broker: Arc<LocalSigner>,
    agent: Arc<LocalSigner>,
}

fn scene_with(status: Status, settings: Settings) -> Scene {
    let (broker, agent) = (signer(Algorithm::Es256), signer(Algorithm::Ed25519));
    let trust = Trust::new(fixture::issuer(), vec![VerifyingKey::of(&*broker)], None);
    let verifier = Verifier::new(Arc::new(trust), Arc::new(Fixed(status)), settings);
    Scene { verifier, broker, agent }
}

fn scene() -> Scene {
    scene_with(Status::Live, Settings::default())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(NOW.seconds() + seconds)
}

/// What is asked, and changes of it.
struct Wish {
    action: ActionName,
    resource: Resource,
    parameters: Vec<Parameter>,
    audience: Audience,
    args: Option<Digest>,
    known: bool,
    bearer: bool,
}

fn wish() -> Wish {
    Wish {
        action: "repo.pull.open".parse().unwrap(),
        resource: "repo/acme/site".parse().unwrap(),
        parameters: vec![],
        audience: "https://git.example".parse().unwrap(),
        args: None,
        known: true,
        bearer: false,
    }
}

impl Scene {
    fn token(&self) -> String {
        mint(&record(bound_to(&*self.agent)), &*self.broker)
    }

    fn mint(&self, change: impl FnOnce(&mut Issuance)) -> String {
        let mut record = record(bound_to(&*self.agent));
        change(&mut record);
        mint(&record, &*self.broker)
    }

    fn ask(&self, presented: &Presented<'_>, wish: &Wish, now: Timestamp) -> Result<Verified, Refusal> {
        let asked = Asked { action: &wish.action, resource: &wish.resource, parameters: &wish.parameters };
        let call = Call {
            method: "POST",
            url: Some("https://git.example/repos/acme/site/pulls"),
            audience: &wish.audience,
            dangerous_bearer: wish.bearer,
            asked: wish.known.then_some(asked),
            args: wish.args,
        };
        self.verifier.verify(presented, &call, now)
    }

    /// With a fresh proof of the agent's.
    fn show(&self, token: &str, wish: &Wish, now: Timestamp) -> Result<Verified, Refusal> {
        let jti = uuid::Uuid::now_v7().to_string();
        let proof = proof(&*self.agent, token, now.seconds(), &jti, "");
        self.ask(&dpop(token, Some(&proof)), wish, now)
    }
}

fn dpop<'a>(token: &'a str, proof: Option<&'a str>) -> Presented<'a> {
    Presented { token: Some((Scheme::Dpop, token)), proof, certificate: None }
}

fn bearer(token: &str) -> Presented<'_> {
    Presented { token: Some((Scheme::Bearer, token)), proof: None, certificate: None }
}

#[test]
fn a_good_token_with_its_proof_passes_and_a_proof_passes_once() {
    let scene = scene();
    let token = scene.token();
    let proof = proof(&*scene.agent, &token, NOW.seconds(), "1", "");
    let verified = scene.ask(&dpop(&token, Some(&proof)), &wish(), at(0)).unwrap();
    assert_eq!(verified.authority().id, record(Confirmation::default()).id);
    assert!(!verified.must_debit());
    let again = scene.ask(&dpop(&token, Some(&proof)), &wish(), at(1));
    assert_eq!(again, Err(Refusal::Proof(BadProof::Replayed)));
    assert!(scene.show(&token, &wish(), at(1)).is_ok());
}

#[test]
fn a_credential_is_for_one_audience_action_and_resource() {
    let scene = scene();
    let token = scene.token();
    let ask = |wish: Wish| scene.show(&token, &wish, at(0)).map(drop);
    assert_eq!(ask(wish()), Ok(()));
    assert_eq!(
        ask(Wish { audience: "https://pay.example".parse().unwrap(), ..wish() }),
        Err(Refusal::Audience)
    );
    assert_eq!(ask(Wish { action: "repo.pull.merge".parse().unwrap(), ..wish() }), Err(Refusal::Action));
    for other in ["repo/acme/payroll", "repo/acme", "repo/acme/site/x", "repo/acme/Site"] {
        assert_eq!(
            ask(Wish { resource: other.parse().unwrap(), ..wish() }),
            Err(Refusal::Resource),
            "{other}"
        );
    }
    assert_eq!(ask(Wish { known: false, ..wish() }), Err(Refusal::Unmapped));
}

#[test]
fn parameters_and_arguments_are_those_of_the_decision() {
    let scene = scene();
    let token = scene.mint(|record| record.parameters = vec![amount(100)]);
    let ask = |token: &str, parameters| scene.show(token, &Wish { parameters, ..wish() }, at(0)).map(drop);
    assert_eq!(ask(&token, vec![amount(100)]), Ok(()));
    assert_eq!(ask(&token, vec![amount(1)]), Ok(()));
    assert_eq!(ask(&token, vec![amount(101)]), Err(Refusal::Parameter));
    assert_eq!(ask(&token, vec![]), Err(Refusal::Parameter));
    // A parameter that the decision did not see.
    assert_eq!(ask(&scene.token(), vec![amount(1)]), Err(Refusal::Parameter));
    let bound = scene.mint(|record| record.args = Some(Digest::of(b"arguments")));
    let with = |args| scene.show(&bound, &Wish { args, ..wish() }, at(0)).map(drop);
    assert_eq!(with(Some(Digest::of(b"arguments"))), Ok(()));
    assert_eq!(with(Some(Digest::of(b"other"))), Err(Refusal::Arguments));
    assert_eq!(with(None), Err(Refusal::Arguments));
}

#[test]
fn single_use_needs_somebody_who_counts() {
    let refuses = scene();
    let once = |scene: &Scene| scene.mint(|record| record.single_use = true);
    assert_eq!(refuses.show(&once(&refuses), &wish(), at(0)), Err(Refusal::Debit));
    let counts = scene_with(Status::Live, Settings { calls: Calls::CountedByCaller, ..Settings::default() });
    assert!(counts.show(&once(&counts), &wish(), at(0)).unwrap().must_debit());
}

#[test]
fn no_number_of_calls_passes_where_nobody_counts() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let scene = scene();
    let once = scene.mint(|record| record.single_use = true);
    let (input, _) = once.rsplit_once('.').unwrap();
    let (head, body) = input.split_once('.').unwrap();
    let body = String::from_utf8(URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
    for calls in [0, 2, 1_000_000] {
        let more = body.replace(r#""max_lifetime":1"#, &format!(r#""max_lifetime":{calls}"#));
        assert_ne!(more, body);
        let input = format!("{head}.{}", URL_SAFE_NO_PAD.encode(more));
        let signature = URL_SAFE_NO_PAD.encode(scene.broker.sign(input.as_bytes()).unwrap());
        assert!(scene.show(&format!("{input}.{signature}"), &wish(), at(0)).is_err(), "{calls}");
    }
}

#[test]
fn what_was_ended_or_is_not_known_is_refused() {
    for (status, why) in [(Status::Ended, Refusal::Ended), (Status::Unknown, Refusal::StatusUnknown)] {
        let scene = scene_with(status, Settings::default());
        assert_eq!(scene.show(&scene.token(), &wish(), at(0)), Err(why));
    }
}

#[test]
fn a_known_token_expires_and_loses_its_trust_all_the_same() {
    let scene = scene();
    let token = scene.token();
    let expired = Err(Refusal::Credential(NotVerified::Expired));
    assert!(scene.show(&token, &wish(), at(119)).is_ok());
    assert_eq!(scene.show(&token, &wish(), at(120)), expired);
    assert_eq!(scene.show(&token, &wish(), at(-6)), Err(Refusal::Credential(NotVerified::NotYet)));
    let other = signer(Algorithm::Es256);
    scene.verifier.trust(&Arc::new(Trust::new(fixture::issuer(), vec![VerifyingKey::of(&*other)], None)));
    assert_eq!(scene.show(&token, &wish(), at(0)), Err(Refusal::Credential(NotVerified::Key)));
    let issuer: Issuer = "https://other.example".parse().unwrap();
    let theirs = Trust::new(issuer, vec![VerifyingKey::of(&*scene.broker)], None);
    scene.verifier.trust(&Arc::new(theirs));
    assert_eq!(scene.show(&token, &wish(), at(0)), Err(Refusal::Credential(NotVerified::Issuer)));
}

/// Each step's failure hides all later ones and is hidden by all earlier ones.
#[test]
fn the_order_is_that_of_the_profile() {
    let scene = scene_with(Status::Ended, Settings::default());
    let mut token = scene.mint(|record| {
        record.parameters = vec![amount(1)];
        record.single_use = true;
    });
    let mut wrong = Wish {
        audience: "https://pay.example".parse().unwrap(),
        action: "repo.pull.merge".parse().unwrap(),
        resource: "repo/acme/payroll".parse().unwrap(),
        parameters: vec![amount(2)],
        ..wish()
    };
    // All is wrong: the token is too old, without proof, ended, for another audience, action and resource.
    assert_eq!(
        scene.ask(&bearer(&format!("{token}x")), &wrong, at(500)),
        Err(Refusal::Credential(NotVerified::Form))
    );
    let (input, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{input}.{}", "A".repeat(86));
    assert_eq!(
        scene.ask(&bearer(&forged), &wrong, at(500)),
        Err(Refusal::Credential(NotVerified::Signature))
    );
    assert_eq!(scene.ask(&bearer(&token), &wrong, at(500)), Err(Refusal::Credential(NotVerified::Expired)));
    assert_eq!(scene.ask(&bearer(&token), &wrong, at(0)), Err(Refusal::Proof(BadProof::Missing)));
    assert_eq!(scene.show(&token, &wrong, at(0)), Err(Refusal::Ended));
    let scene = Scene { verifier: self::scene().verifier, ..scene };
    let trust = Trust::new(fixture::issuer(), vec![VerifyingKey::of(&*scene.broker)], None);
    scene.verifier.trust(&Arc::new(trust));
    assert_eq!(scene.show(&token, &wrong, at(0)), Err(Refusal::Audience));
    wrong.audience = wish().audience;
    assert_eq!(scene.show(&token, &wrong, at(0)), Err(Refusal::Action));
    wrong.action = wish().action;
    assert_eq!(scene.show(&token, &wrong, at(0)), Err(Refusal::Resource));
    wrong.resource = wish().resource;
    assert_eq!(scene.show(&token, &wrong, at(0)), Err(Refusal::Parameter));
    wrong.parameters = vec![amount(1)];
    assert_eq!(scene.show(&token, &wrong, at(0)), Err(Refusal::Debit));
    token.clear();
    assert!(scene.show(&token, &wrong, at(0)).is_err());
}

#[test]
fn a_state_that_follows_revocations_ends_what_was_minted_before_and_not_after() {
    let (broker, agent) = (signer(Algorithm::Es256), signer(Algorithm::Ed25519));
    let trust = Arc::new(Trust::new(fixture::issuer(), vec![VerifyingKey::of(&*broker)], None));
    let followed = Arc::new(Followed::new(5, WhenLost::Strict));
    let verifier = Verifier::new(trust, Arc::clone(&followed) as Arc<dyn Standing>, Settings::default());
    let scene = Scene { verifier, broker, agent };
    let before = scene.token();
    assert_eq!(scene.show(&before, &wish(), at(0)), Err(Refusal::StatusUnknown));
    followed.begin(Ends::default(), 0, at(0));
    assert!(scene.show(&before, &wish(), at(0)).is_ok());
    let time = NOW.plus_millis(10);
    let subject = Subject::Agent(record(Confirmation::default()).agent);
    followed.hear([End { subject, tenants: vec![], until: Some(time), time, forget: None }], 10, at(1));
    assert_eq!(scene.show(&before, &wish(), at(1)), Err(Refusal::Ended));
    // Minted in the same second, after the revocation.
    let after = scene.mint(|record| {
        record.issued = NOW.plus_millis(11);
        record.id = crate::domain::id::CredentialId::new(record.issued, &[5; 10]);
    });
    assert!(scene.show(&after, &wish(), at(1)).is_ok());
}

#[test]
fn what_passed_is_held_to_its_end_and_to_what_was_ended_since() {
    let (broker, agent) = (signer(Algorithm::Es256), signer(Algorithm::Ed25519));
    let trust = Arc::new(Trust::new(fixture::issuer(), vec![VerifyingKey::of(&*broker)], None));
    let followed = Arc::new(Followed::new(500, WhenLost::Strict));
    let settings = Settings { leeway_seconds: 2, ..Settings::default() };
    let verifier = Verifier::new(trust, Arc::clone(&followed) as Arc<dyn Standing>, settings);
    let scene = Scene { verifier, broker, agent };
    followed.begin(Ends::default(), 0, at(0));
    let verified = scene.show(&scene.token(), &wish(), at(0)).unwrap();
    let still = |seconds| scene.verifier.still(&verified, at(seconds));
    // It expires after 120 s and is forgiven two.
    assert_eq!((still(0), still(121)), (Ok(()), Ok(())));
    assert_eq!(still(122), Err(Refusal::Credential(NotVerified::Expired)));
    assert_eq!(still(501), Err(Refusal::Credential(NotVerified::Expired)), "the first reason in the order");
    let time = NOW.plus_millis(10);
    let other = Subject::Agent("spiffe://example.org/tenant/acme/agent/other".parse().unwrap());
    let own = Subject::Agent(verified.authority().agent.clone());
    for (subject, expected) in [(other, Ok(())), (own, Err(Refusal::Ended))] {
        followed.hear([End { subject, tenants: vec![], until: Some(time), time, forget: None }], 10, at(1));
        assert_eq!(still(1), expected);
    }
    // A feed that is silent says nothing of it any more, and what was ended stays so.
    let silent = scene_with(Status::Unknown, Settings::default());
    assert_eq!(silent.verifier.still(&verified, at(1)), Err(Refusal::StatusUnknown));
}

/// An action certificate of a new authority with this record, and a verifier that trusts it.
fn certified(change: impl FnOnce(&mut Issuance)) -> (Verifier, Vec<u8>) {
    use crate::signer::certificate::{self, CertificateProfile};
    use crate::signer::extension::OidArc;
    use crate::signer::keystore::{Identity, KeyStore};
    let dir = tempfile::tempdir().unwrap();
    let trust_domain: crate::domain::name::TrustDomain = "example.org".parse().unwrap();
    let identity = Identity { trust_domain: trust_domain.clone(), token_algorithm: Algorithm::Es256 };
    KeyStore::create(dir.path(), &identity, None, NOW).unwrap();
    let keys = KeyStore::open(dir.path(), &trust_domain, None).unwrap();
    let oid_arc: OidArc = OidArc::EXAMPLE.parse().unwrap();
    let profile =
        CertificateProfile { oid_arc: oid_arc.clone(), common_name: Default::default(), crl_url: None };
    let mut record = record(Confirmation::default());
    record.kind = Kind::Certificate;
    record.serial = Some(Serial::new([3; 16]));
    record.status = None;
    change(&mut record);
    let (subject, _) = crate::signer::csr::generate().unwrap();
    let ca = keys.action_ca();
    let linted = certificate::unsigned(&record, &subject, ca, &profile).unwrap().lint().unwrap();
    let der = linted.sign(ca.signer()).unwrap().der().to_vec();
    let trust = Trust::new(fixture::issuer(), vec![], Some((ca.certificate_der().to_vec(), oid_arc)));
    (Verifier::new(Arc::new(trust), Arc::new(Fixed(Status::Live)), Settings::default()), der)
}

#[test]
fn an_action_certificate_alone_passes_when_it_says_all_that_it_is_held_to() {
    let ask = |verifier: Verifier, der: &[u8], proof| {
        let scene = Scene { verifier, ..scene() };
        let presented = Presented { token: None, proof, certificate: Some(der) };
        scene.ask(&presented, &wish(), at(0)).map(drop)
    };
    let (verifier, der) = certified(|_| {});
    let known = Scene { verifier, ..scene() };
    let presented = Presented { token: None, proof: None, certificate: Some(&*der) };
    assert!(known.ask(&presented, &wish(), at(0)).is_ok());
    // Known or not, it expires.
    let expired = known.ask(&presented, &wish(), at(120));
    assert_eq!(expired, Err(Refusal::Credential(NotVerified::Expired)));
    let (verifier, der) = certified(|record| record.resource = "repo/acme/payroll".parse().unwrap());
    assert_eq!(ask(verifier, &der, None), Err(Refusal::Resource));
    // Its digest covers a ceiling that it can't tell: only the token can.
    let (verifier, der) = certified(|record| record.parameters = vec![amount(5)]);
    assert_eq!(ask(verifier, &der, None), Err(Refusal::ConstraintUnknown));
    let (verifier, der) = certified(|record| record.single_use = true);
    assert_eq!(ask(verifier, &der, None), Err(Refusal::ConstraintUnknown));
    let (verifier, der) = certified(|_| {});
    assert_eq!(ask(verifier, &der, Some("proof")), Err(Refusal::Malformed));
    let (_, other) = certified(|_| {});
    let (verifier, _) = certified(|_| {});
    assert!(matches!(ask(verifier, &other, None), Err(Refusal::Credential(_))));
    assert_eq!(ask(scene().verifier, &der, None), Err(Refusal::Credential(NotVerified::Issuer)));
}
