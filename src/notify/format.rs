//! The forms that receivers expect: our own signed JSON, PagerDuty's events (v2), Slack's incoming webhooks.

use ring::hmac;
use serde_json::{Value, json};

use super::document::Document;
use super::notice::Severity;

/// The header that shows that a body is ours.
pub(super) const SIGNATURE_HEADER: &str = "hotwork-signature";
/// Longest summary of a PagerDuty event, in characters (Events API v2).
const PAGERDUTY_SUMMARY_MAX: usize = 1024;

/// The signature of `body` at `seconds` since the epoch: `t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 over
/// `SECONDS.BODY`. The time is signed, so that a receiver can refuse what is old.
pub(super) fn signature(secret: &str, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    format!("t={seconds},v1={}", hex::encode(context.sign()))
}

/// A PagerDuty event (Events API v2). The same notice again joins the same incident, and so does all that is told of
/// one break-glass session.
pub(super) fn pagerduty(document: &Document, routing_key: &str) -> Value {
    let severity = match document.notice.severity() {
        Severity::Critical => "critical",
        Severity::Info => "info",
        Severity::Warning => "warning",
    };
    let summary = format!("hotwork {}: {}", document.trust_domain, document.notice.summary());
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": document.incident(),
        "payload": {
            "summary": summary.chars().take(PAGERDUTY_SUMMARY_MAX).collect::<String>(),
            "source": document.trust_domain.as_str(),
            "severity": severity,
            "timestamp": document.time_text(),
            "component": "hotworkd",
            "class": document.notice.kind().as_str(),
            "custom_details": document.to_json(),
        },
    })
}

/// A message for a Slack incoming webhook. What Slack would read as markup is escaped.
pub(super) fn slack(document: &Document) -> Value {
    let text = format!(
        "[{}] hotwork {}: {} ({}, {})",
        document.notice.severity().as_str(),
        document.trust_domain,
        document.notice.summary(),
        document.time_text(),
        document.id,
    );
    json!({"text": text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::revocation::Selector;
    use crate::domain::time::Timestamp;
    use crate::notify::Notice;

    fn document(notice: Notice) -> Document {
        Document::direct(&"a.example".parse().unwrap(), Timestamp::from_millis(1_700_000_000_000), notice, 0)
    }

    #[test]
    fn the_signature_is_the_documented_one() {
        // python3: hmac.new(b"correct-horse-battery", b"1700000000.{}", "sha256").hexdigest()
        let made = signature("correct-horse-battery", 1_700_000_000, b"{}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"correct-horse-battery");
        let expected = hex::encode(hmac::sign(&key, b"1700000000.{}"));
        assert_eq!(made, format!("t=1700000000,v1={expected}"));
        assert_ne!(made, signature("correct-horse-battery", 1_700_000_001, b"{}"));
        assert_ne!(made, signature("correct-horse-batterx", 1_700_000_000, b"{}"));
        assert_ne!(made, signature("correct-horse-battery", 1_700_000_000, b"[]"));
    }

    #[test]
    fn pagerduty_gets_an_event_that_joins_itself() {
        let locked = Notice::Locked { operator: "ann".parse().unwrap(), selector: Selector::All };
        let event = pagerduty(&document(locked.clone()), "R0UT1NG");
        assert_eq!(
            (event["event_action"].as_str(), event["routing_key"].as_str()),
            (Some("trigger"), Some("R0UT1NG"))
        );
        assert_eq!(event["dedup_key"], pagerduty(&document(locked), "R0UT1NG")["dedup_key"]);
        let payload = &event["payload"];
        assert_eq!(
            (payload["severity"].as_str(), payload["source"].as_str()),
            (Some("critical"), Some("a.example"))
        );
        assert!(payload["summary"].as_str().unwrap().contains("ann locked everything"));
    }

    #[test]
    fn nothing_in_a_text_is_markup_for_slack() {
        let party = "<!channel> & <https://evil.example|ok>".parse().unwrap();
        let notice = Notice::Revoked { operator: "ann".parse().unwrap(), selector: Selector::Owner(party) };
        let text = slack(&document(notice))["text"].as_str().unwrap().to_owned();
        assert!(!text.contains('<') && !text.contains('>'), "{text}");
        assert!(text.contains("&lt;!channel&gt; &amp; "), "{text}");
    }
}
