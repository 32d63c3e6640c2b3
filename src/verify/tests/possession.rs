//! Proof of possession: a credential is no use without the key that it is bound to.

use super::*;

#[test]
fn a_stolen_token_is_no_use_without_the_key() {
    let scene = scene();
    let nothing = Presented { token: None, proof: None, certificate: None };
    assert_eq!(scene.ask(&nothing, &wish(), at(0)), Err(Refusal::Missing));
    let (token, thief) = (scene.token(), signer(Algorithm::Ed25519));
    let theirs = proof(&*thief, &token, NOW.seconds(), "1", "");
    assert_eq!(scene.ask(&dpop(&token, Some(&theirs)), &wish(), at(0)), Err(Refusal::Proof(BadProof::Key)));
    assert_eq!(scene.ask(&dpop(&token, None), &wish(), at(0)), Err(Refusal::Proof(BadProof::Missing)));
    assert_eq!(scene.ask(&bearer(&token), &wish(), at(0)), Err(Refusal::Proof(BadProof::Missing)));
    let garbage = scene.ask(&dpop(&token, Some("a.b.c")), &wish(), at(0));
    assert_eq!(garbage, Err(Refusal::Proof(BadProof::Form)));
    // A proof that the agent made for another of its tokens.
    let other = scene.mint(|record| record.id = crate::domain::id::CredentialId::new(NOW, &[9; 10]));
    let for_other = proof(&*scene.agent, &other, NOW.seconds(), "2", "");
    let swapped = scene.ask(&dpop(&token, Some(&for_other)), &wish(), at(0));
    assert_eq!(swapped, Err(Refusal::Proof(BadProof::Ath)));
}

#[test]
fn a_proof_lives_a_minute_and_is_not_of_the_future() {
    for leeway in [0, 5] {
        let scene = scene_with(Status::Live, Settings { leeway_seconds: leeway, ..Settings::default() });
        let (token, leeway) = (scene.token(), i64::from(leeway));
        let made = |age: i64, jti: &str| {
            let proof = proof(&*scene.agent, &token, at(60).seconds() - age, jti, "");
            scene.ask(&dpop(&token, Some(&proof)), &wish(), at(60)).map(drop)
        };
        let late = Err(Refusal::Proof(BadProof::Time));
        assert_eq!((made(60 + leeway, "1"), made(61 + leeway, "2")), (Ok(()), late.clone()));
        assert_eq!((made(-leeway, "3"), made(-leeway - 1, "4")), (Ok(()), late));
    }
}

#[test]
fn a_nonce_is_asked_for_and_repeated() {
    let settings = Settings { nonces: Some(Nonces::new(&[3; 32])), ..Settings::default() };
    let scene = scene_with(Status::Live, settings);
    let token = scene.token();
    let ask = |jti: &str, more: &str| {
        let proof = proof(&*scene.agent, &token, NOW.seconds(), jti, more);
        scene.ask(&dpop(&token, Some(&proof)), &wish(), at(0))
    };
    let Err(Refusal::Nonce(nonce)) = ask("1", "") else { panic!("no nonce was asked for") };
    assert!(matches!(ask("2", r#","nonce":"another""#), Err(Refusal::Nonce(_))));
    // The first proof took no place: what was refused may be made good.
    assert!(ask("1", &format!(r#","nonce":"{}""#, nonce.as_str())).is_ok());
}

#[test]
fn a_token_bound_to_no_key_passes_only_where_the_api_says_so() {
    let scene = scene();
    let token = scene.mint(|record| record.cnf = Confirmation::default());
    assert_eq!(scene.ask(&bearer(&token), &wish(), at(0)), Err(Refusal::Unbound));
    let open = Wish { bearer: true, ..wish() };
    assert!(scene.ask(&bearer(&token), &open, at(0)).is_ok());
    // A bound token stays bound there.
    assert!(scene.ask(&bearer(&scene.token()), &open, at(0)).is_err());
    let proof = proof(&*scene.agent, &token, NOW.seconds(), "1", "");
    assert!(scene.ask(&dpop(&token, Some(&proof)), &open, at(0)).is_err());
}

#[test]
fn a_token_bound_to_a_certificate_needs_that_certificate() {
    use base64::Engine as _;
    let scene = scene();
    let der = b"any certificate".as_slice();
    let x5t = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Digest::of(der).as_bytes());
    let token = scene.mint(|record| {
        record.cnf = Confirmation { jkt: None, x5t_s256: Some(x5t.parse().unwrap()) };
    });
    let with = |certificate| Presented { certificate, ..bearer(&token) };
    assert!(scene.ask(&with(Some(der)), &wish(), at(0)).is_ok());
    let refused = Err(Refusal::Proof(BadProof::Certificate));
    assert_eq!(scene.ask(&with(None), &wish(), at(0)), refused);
    assert_eq!(scene.ask(&with(Some(b"another")), &wish(), at(0)), refused);
    // Bound to both, it needs both.
    let both = scene.mint(|record| record.cnf.x5t_s256 = Some(x5t.parse().unwrap()));
    assert_eq!(scene.show(&both, &wish(), at(0)), refused);
}
