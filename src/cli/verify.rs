//! `hotwork credential verify`: what this machine can see, then what the broker says.

use std::path::Path;

use super::client::Context;
use super::credential::record_table;
use super::duration::{now, seconds};
use super::failure::{Exit, Failure};
use super::inspect::{self, Decoded};
use super::table;
use crate::domain::request::IdempotencyKey;
use crate::proto::v1;
use crate::proto::v1::introspect_request::Credential as Asked;

/// How far this machine's clock may be off, in seconds (PROFILES 1).
const LEEWAY: i64 = 30;

/// Reads the credential in `file`. What is none is not live; a file that can't be read says nothing of it.
fn read(file: &Path) -> Result<Decoded, Failure> {
    inspect::read(file).map_err(|failure| {
        let none = failure.reason == "malformed";
        if none { Failure { exit: Exit::NegativeVerdict, ..failure } } else { failure }
    })
}

/// Verifies the token or certificate in `file`.
///
/// # Errors
/// With exit code 6 when it is not live, and 1 when the file can't be read.
pub async fn run(context: &Context, file: &Path) -> Result<(), Failure> {
    let decoded = read(file)?;
    in_time(&decoded, now())?;
    let credential = Some(match decoded {
        Decoded::Certificate { der, .. } => Asked::CertificateDer(der),
        Decoded::Token { text, .. } => Asked::Token(text.to_string()),
    });
    let mut client = context.verification().await?;
    let answer =
        context.call(client.introspect(context.request(v1::IntrospectRequest { credential }))).await?;
    if !answer.active {
        return Err(Failure::new(Exit::NegativeVerdict, "not-active", "the broker says that it is not live")
            .hint("it was revoked, released or never issued here; its holder can ask for a new one"));
    }
    let record = answer.credential.clone().unwrap_or_default();
    context.screen.show(&answer, || vec![record.id.clone()], |screen| record_table(screen, &record))
}

/// Debits one call of the token or certificate in `file`.
///
/// # Errors
/// With exit code 6 when no call is left or the credential is not live, and 1 when the file can't be read.
pub async fn consume(context: &Context, file: &Path, key: &IdempotencyKey) -> Result<(), Failure> {
    use v1::consume_request::Credential;
    let decoded = read(file)?;
    let credential = Some(match decoded {
        Decoded::Certificate { der, .. } => Credential::CertificateDer(der),
        Decoded::Token { text, .. } => Credential::Token(text.to_string()),
    });
    let message = v1::ConsumeRequest { credential, idempotency_key: key.to_string() };
    let mut client = context.verification().await?;
    let answer = context.call(client.consume(context.request(message))).await?;
    let id = answer.credential.as_ref().map(|record| record.id.clone()).unwrap_or_default();
    let fields = [
        ("credential", id.clone()),
        ("calls left", answer.calls_left.to_string()),
        ("log entry", answer.log_index.to_string()),
    ];
    context.screen.show(&answer, || vec![id.clone()], |screen| table::fields(screen, &fields))
}

/// Whether it is in its lifetime by this machine's clock. The broker's clock has the last word.
fn in_time(decoded: &Decoded, now: i64) -> Result<(), Failure> {
    let (from, until) = decoded.lifetime();
    let hint = "ask for a new one with `hotwork issue`";
    if let Some(until) = until.filter(|until| now >= until.saturating_add(LEEWAY)) {
        let message = format!("it ended at {}", seconds(until));
        return Err(Failure::new(Exit::NegativeVerdict, "expired", message).hint(hint));
    }
    if let Some(from) = from.filter(|from| now < from.saturating_sub(LEEWAY)) {
        let message = format!("it begins only at {}", seconds(from));
        return Err(Failure::new(Exit::NegativeVerdict, "not-yet-valid", message)
            .hint("compare this machine's clock with the broker's"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_judged_with_a_little_leeway() {
        let token = |from, until| Decoded::Token {
            text: String::new().into(),
            header: serde_json::json!({}),
            claims: serde_json::json!({"nbf": from, "exp": until}),
        };
        let reason = |now| in_time(&token(1000, 1120), now).err().map(|failure| failure.reason);
        assert_eq!(reason(1149), None);
        assert_eq!(reason(1150).as_deref(), Some("expired"));
        assert_eq!(reason(970), None);
        assert_eq!(reason(969).as_deref(), Some("not-yet-valid"));
    }
}
