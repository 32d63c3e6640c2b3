//! What is minted: the profile's claims, byte for byte, and nothing that breaks a rule.

use super::*;
use crate::domain::approval::Used;
use crate::domain::id::Serial;
use crate::domain::time::Timestamp;
use crate::signer::claims::part;
use crate::signer::double::FailingSigner;
use crate::signer::fixture::{NOW, issuer, record, signer};

fn payload_text(record: &Issuance) -> String {
    let key = signer(Algorithm::Es256);
    let unsigned = unsigned(record, &issuer(), &*key).unwrap();
    let text = String::from_utf8(unsigned.message().to_vec()).unwrap();
    String::from_utf8(part(text.split_once('.').unwrap().1.as_bytes()).unwrap()).unwrap()
}

#[test]
fn the_digest_of_plain_details_is_that_of_a_record_without_constraints() {
    let mut record = record(Kind::Token);
    let plain = plain_details_digest(&record.action, &record.resource);
    assert_ne!(authorization_details_digest(&record).unwrap(), plain);
    (record.parameters, record.args, record.single_use) = (Vec::new(), None, false);
    assert_eq!(authorization_details_digest(&record).unwrap(), plain);
}

#[test]
fn the_payload_is_exactly_that_of_the_profile() {
    let digest = Digest::of(b"arguments");
    let expected = format!(
        "{{\"aud\":\"https://pay.example\",\"authorization_details\":[{{\"constraints\":[\
         {{\"key\":\"resource\",\"one_of\":[\"invoice/2026-0042\"]}},\
         {{\"key\":\"amount\",\"max\":250}},\
         {{\"key\":\"currency\",\"one_of\":[\"EUR\"]}},\
         {{\"key\":\"urgent\",\"one_of\":[false]}},\
         {{\"key\":\"args_sha256\",\"one_of\":[\"{digest}\"]}},\
         {{\"key\":\"max_calls\",\"max_lifetime\":1}}],\
         \"scopes\":[\"pay.invoice.settle\"],\"type\":\"agent_delegation\"}}],\
         \"client_id\":\"spiffe://example.org/tenant/acme/agent/buyer\",\
         \"del_depth\":0,\"del_max_depth\":1,\"exp\":1795435320,\"hotwork_tier\":\"auto\",\
         \"iat\":1795435200,\"iss\":\"https://broker.example.org\",\
         \"jti\":\"{}\",\"nbf\":1795435195,\"scope\":\"pay.invoice.settle\",\
         \"status\":{{\"status_list\":{{\"idx\":7,\"uri\":\"https://broker.example.org/status/498732/1\"}}}},\
         \"sub\":\"spiffe://example.org/tenant/acme/agent/buyer\",\"txn\":\"{}\"}}",
        CredentialId::new(NOW, &[1; 10]),
        Lineage::new(NOW, &[2; 10]),
    );
    assert_eq!(payload_text(&record(Kind::Token)), expected);
}

#[test]
fn what_allowed_it_beside_policy_is_named() {
    let mut record = record(Kind::Token);
    let id = ApprovalId::new(NOW, &[9; 10]);
    (record.tier, record.approval) = (Tier::Approval, Some(Used { expires: NOW, id }));
    let text = payload_text(&record);
    assert!(text.contains(&format!("\"hotwork_approval\":\"{id}\",\"hotwork_tier\":\"approval\"")), "{text}");
    (record.tier, record.approval) = (Tier::BreakGlass, None);
    let text = payload_text(&record);
    let session = format!("\"hotwork_session\":\"{}\",\"hotwork_tier\":\"break_glass\"", record.lineage);
    assert!(text.contains(&session), "{text}");
}

#[test]
fn an_agent_that_acts_for_somebody_is_named_as_the_actor() {
    let mut record = record(Kind::Token);
    record.principal = "Zoë \"Z\" \u{1}".into();
    record.cnf.jkt = Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap());
    let text = payload_text(&record);
    let actor = "{\"act\":{\"sub\":\"spiffe://example.org/tenant/acme/agent/buyer\"},\"aud\":";
    assert!(text.starts_with(actor), "{text}");
    assert!(text.contains("\"cnf\":{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"},\"del_depth\""));
    // RFC 8785 section 3.2.2.2: as it is, but for quotes and controls.
    assert!(text.contains("\"sub\":\"Zoë \\\"Z\\\" \\u0001\""), "{text}");
}

/// Every object's member names in the order in which they stand.
fn assert_sorted(text: &str) {
    let mut open: Vec<Vec<String>> = Vec::new();
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap().len(), text.len(), "no white space");
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '{' => open.push(Vec::new()),
            '}' => {
                let names = open.pop().unwrap();
                assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
            }
            '"' => {
                let end = loop {
                    match chars.next().unwrap() {
                        (_, '\\') => drop(chars.next()),
                        (end, '"') => break end,
                        _ => {}
                    }
                };
                if chars.peek().map(|(_, c)| *c) == Some(':') {
                    open.last_mut().unwrap().push(text.get(at + 1..end).unwrap().to_owned());
                }
            }
            _ => {}
        }
    }
}

#[test]
fn header_and_payload_are_canonical_json() {
    let mut record = record(Kind::Token);
    record.principal = "user@example.org".into();
    record.cnf.jkt = Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".parse().unwrap());
    record.cnf.x5t_s256 = record.cnf.jkt.clone();
    assert_sorted(&payload_text(&record));
    let header = Header { alg: "ES256", kid: "k", typ: TYPE };
    assert_sorted(&serde_json::to_string(&header).unwrap());
}

#[test]
fn minting_again_gives_the_same_bytes_whatever_the_content_says() {
    let key = signer(Algorithm::Es256);
    let (one, mut two) = (record(Kind::Token), record(Kind::Token));
    two.content = Digest::of(b"other");
    two.evidence = Digest::of(b"other");
    let message = |record| unsigned(record, &issuer(), &*key).unwrap().message().to_vec();
    assert_eq!(message(&one), message(&two));
}

#[test]
fn a_record_that_breaks_a_rule_is_not_signed() {
    let key = signer(Algorithm::Es256);
    let lint = |change: &dyn Fn(&mut Issuance)| {
        let mut record = record(Kind::Token);
        change(&mut record);
        unsigned(&record, &issuer(), &*key).unwrap().lint().map(drop)
    };
    assert_eq!(lint(&|_| ()), Ok(()));
    assert_eq!(lint(&|record| record.expires = Timestamp::from_seconds(NOW.seconds() + 900)), Ok(()));
    let rules: [&dyn Fn(&mut Issuance); 7] = [
        &|record| record.expires = Timestamp::from_seconds(NOW.seconds() + 901),
        &|record| record.expires = Timestamp::from_seconds(NOW.seconds()),
        &|record| record.expires = record.expires.plus_millis(1),
        &|record| record.parameters.reverse(),
        &|record| record.parameters.push(record.parameters[2].clone()),
        &|record| record.parameters[2].name = "resource".parse().unwrap(),
        &|record| record.principal = "".into(),
    ];
    for (at, rule) in rules.iter().enumerate() {
        assert!(matches!(lint(*rule), Err(LintError::Rule(_))), "{at}");
    }
    let mut certificate = record(Kind::Certificate);
    certificate.serial = Some(Serial::new([0; 16]));
    assert_eq!(unsigned(&certificate, &issuer(), &*key).err(), Some(MintError::WrongKind));
}

#[test]
fn no_changed_byte_gets_past_the_linter() {
    let key = signer(Algorithm::Es256);
    let record = record(Kind::Token);
    let length = unsigned(&record, &issuer(), &*key).unwrap().message().len();
    for at in 0..length {
        for bit in [0x01, 0x04, 0x20] {
            let unsigned = unsigned(&record, &issuer(), &*key).unwrap();
            let linted = unsigned.tampered(|message| message[at] ^= bit).lint();
            assert!(linted.is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn only_the_key_that_the_token_names_can_sign_it() {
    let (key, other) = (signer(Algorithm::Es256), signer(Algorithm::Es256));
    let record = record(Kind::Token);
    let linted = || unsigned(&record, &issuer(), &*key).unwrap().lint().unwrap();
    assert!(linted().sign(&*key).is_ok());
    assert!(linted().sign(&*other).is_err());
    let failing = FailingSigner::new(key.clone());
    assert!(linted().sign(&failing).is_err());
    failing.fail(false);
    assert!(linted().sign(&failing).is_ok());
}
