//! The rules of a subscription: what is sent again, what is heard, and how large an answer is.

use super::*;
use crate::proto::sds::discovery_request::ErrorDetail;

const ACTION: &str = "hotwork-action";

fn request(names: &[&str], nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        type_url: SECRET_TYPE.to_owned(),
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    }
}

fn version(version: &str) -> Snapshot {
    Snapshot { version: version.to_owned(), resources: Vec::new() }
}

fn subscribed() -> Subscription {
    let mut subscription = Subscription::default();
    assert_eq!(subscription.take(&request(&[ACTION], "")).unwrap(), Meant::Asked);
    assert_eq!(subscription.answer(version("a")).unwrap().unwrap().nonce, "1");
    subscription
}

#[test]
fn what_was_taken_or_refused_is_not_sent_again_until_it_changes() {
    let mut subscription = subscribed();
    assert_eq!(subscription.take(&request(&[ACTION], "1")).unwrap(), Meant::Took);
    assert!(subscription.answer(version("a")).unwrap().is_none());
    assert_eq!(subscription.answer(version("b")).unwrap().unwrap().nonce, "2");
    let error_detail = Some(ErrorDetail { code: 13, message: "no\u{1b}[2J".to_owned() + &"x".repeat(900) });
    let refusal = DiscoveryRequest { error_detail, ..request(&[ACTION], "2") };
    let Meant::Refused(words) = subscription.take(&refusal).unwrap() else { panic!("not refused") };
    assert!(words.starts_with("no[2J") && words.chars().count() == WORDS_MAX, "{words}");
    // Said once for each answer: a subscriber could say it for ever.
    assert_eq!(subscription.take(&refusal).unwrap(), Meant::Took);
    assert!(subscription.answer(version("b")).unwrap().is_none());
    assert!(subscription.answer(version("c")).unwrap().is_some());
    let refusal = DiscoveryRequest { response_nonce: "3".to_owned(), ..refusal };
    assert!(matches!(subscription.take(&refusal), Ok(Meant::Refused(_))));
}

#[test]
fn a_word_about_an_older_answer_changes_nothing() {
    let mut subscription = subscribed();
    assert!(subscription.answer(version("b")).unwrap().is_some());
    for nonce in ["1", "", "3", "x"] {
        assert_eq!(subscription.take(&request(&["hotwork-identity"], nonce)).unwrap(), Meant::Took);
        assert!(subscription.answer(version("b")).unwrap().is_none(), "{nonce}");
    }
    assert_eq!(subscription.wanted, [Context::Action]);
}

#[test]
fn other_names_are_another_subscription_and_are_answered_at_once() {
    let mut subscription = subscribed();
    let both = request(&["hotwork-identity", ACTION, ACTION, "other"], "1");
    assert_eq!(subscription.take(&both).unwrap(), Meant::Asked);
    assert_eq!(subscription.wanted, [Context::Action, Context::Identity]);
    assert!(subscription.answer(version("a")).unwrap().is_some());
    assert_eq!(subscription.take(&request(&[], "2")).unwrap(), Meant::Asked);
    assert!(subscription.wanted.is_empty());
}

#[test]
fn names_are_bounded_and_of_one_kind() {
    let names = |count| request(&vec![ACTION; count], "");
    assert!(wanted(&names(SECRET_NAMES_MAX)).is_ok());
    assert!(wanted(&names(SECRET_NAMES_MAX + 1)).is_err());
    let other = "type.googleapis.com/envoy.config.listener.v3.Listener".to_owned();
    assert!(wanted(&DiscoveryRequest { type_url: other, ..names(1) }).is_err());
    assert!(wanted(&DiscoveryRequest { type_url: String::new(), ..names(1) }).is_ok());
}

#[test]
fn an_answer_has_as_many_bytes_as_the_transport_sends_and_no_more() {
    let mut subscription = subscribed();
    let sized = |bytes: usize| {
        let value = vec![0; bytes];
        let resources = vec![prost_types::Any { type_url: String::new(), value }];
        Snapshot { version: "b".to_owned(), resources }
    };
    let rest = {
        let mut other = subscribed();
        other.answer(sized(SECRETS_BYTES_MAX / 2)).unwrap().unwrap().encoded_len() - SECRETS_BYTES_MAX / 2
    };
    let most = SECRETS_BYTES_MAX - rest;
    assert_eq!(subscription.answer(sized(most + 1)), Err(TooLarge { bytes: SECRETS_BYTES_MAX + 1 }));
    // It was not sent, and what the subscriber says next is about what was.
    assert_eq!(subscription.take(&request(&[ACTION], "1")).unwrap(), Meant::Took);
    let answer = subscription.answer(sized(most)).unwrap().unwrap();
    assert_eq!((answer.encoded_len(), &*answer.nonce), (SECRETS_BYTES_MAX, "2"));
}
