//! What responders send: what is to be signed, signatures, ends and reviews.

use crate::broker::break_glass::{Prepare, SignGlass};
use crate::domain::break_glass::text;
use crate::domain::id::Lineage;
use crate::domain::limits::{BREAK_GLASS_SECONDS_MAX, SSH_SIGNATURE_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::domain::name::Reason;
use crate::domain::statement::Statement;
use crate::proto::v1;
use crate::proto::v1::prepare_request::Asks;

use super::{BadField, parsed};

/// What a signature begins and ends with (OpenSSH PROTOCOL.sshsig).
const ARMOR: (&str, &str) = ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----");

/// Parses what is to be signed.
///
/// # Errors
/// The first bad field.
pub fn prepare(message: v1::PrepareRequest) -> Result<Prepare, BadField> {
    match message.asks {
        Some(Asks::Opening(opening)) => Ok(Prepare::Open {
            drill: opening.drill,
            playbook: parsed("opening.playbook", &opening.playbook)?,
            reason: line("opening.reason", &opening.reason)?,
            seconds: opening.duration.map(|given| seconds("opening.duration", &given)).transpose()?,
            ticket: parsed("opening.ticket", &opening.ticket)?,
        }),
        Some(Asks::Extension(extension)) => Ok(Prepare::Extend {
            reason: line("extension.reason", &extension.reason)?,
            seconds: extension.duration.map(|given| seconds("extension.duration", &given)).transpose()?,
            session: parsed("extension.session", &extension.session)?,
        }),
        None => Err(BadField::new("asks", "`opening` or `extension`, got none")),
    }
}

/// A reason that can stand in a signed line: without spaces at its ends, which nobody sees.
fn line(field: &'static str, text: &str) -> Result<Reason, BadField> {
    if text.trim() != text {
        return Err(BadField::new(field, "one line without spaces at its ends"));
    }
    parsed(field, text)
}

fn seconds(field: &'static str, given: &prost_types::Duration) -> Result<u32, BadField> {
    let seconds = u32::try_from(given.seconds).ok().filter(|_| given.nanos == 0);
    seconds.filter(|seconds| (1..=BREAK_GLASS_SECONDS_MAX).contains(seconds)).ok_or_else(|| {
        BadField::new(
            field,
            format!("whole seconds, 1 s to {BREAK_GLASS_SECONDS_MAX} s, got `{} s`", given.seconds),
        )
    })
}

/// Parses a text with its signature. Whether they are this broker's and somebody's is found out later.
///
/// # Errors
/// When one is missing, too long or of another form.
pub fn signed(message: Option<v1::SignedStatement>) -> Result<SignGlass, BadField> {
    let message = message.ok_or(BadField::new("signed", "a statement and a signature, got no message"))?;
    let sized = |field: &'static str, text: &str, most: usize| {
        if (1..=most).contains(&text.len()) {
            Ok(())
        } else {
            Err(BadField::new(field, format!("1 to {most} bytes, got `{}`", text.len())))
        }
    };
    sized("signed.statement", &message.statement, STATEMENT_BYTES_MAX)?;
    sized("signed.signature", &message.signature, SSH_SIGNATURE_BYTES_MAX)?;
    let statement: Statement = parsed("signed.statement", &message.statement)?;
    if text::read(&statement).is_none() {
        return Err(BadField::new("signed.statement", "a text of break-glass, as `Prepare` wrote it"));
    }
    let armored = message.signature.trim_end();
    if !(armored.starts_with(ARMOR.0) && armored.ends_with(ARMOR.1) && armored.is_ascii()) {
        return Err(BadField::new("signed.signature", "what `ssh-keygen -Y sign` wrote"));
    }
    Ok(SignGlass { text: message.statement, signature: message.signature })
}

/// Parses an early end.
///
/// # Errors
/// The first bad field.
pub fn close(message: &v1::CloseRequest) -> Result<(Lineage, Reason), BadField> {
    Ok((parsed("session", &message.session)?, parsed("reason", &message.reason)?))
}

/// Parses a review.
///
/// # Errors
/// The first bad field.
pub fn review(message: &v1::ReviewRequest) -> Result<(Lineage, Reason), BadField> {
    Ok((parsed("session", &message.session)?, parsed("finding", &message.finding)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(change: impl FnOnce(&mut v1::PrepareOpening)) -> Result<Prepare, String> {
        let mut opening = v1::PrepareOpening {
            playbook: "repair".into(),
            reason: "down".into(),
            ticket: "INC-1".into(),
            duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            drill: false,
        };
        change(&mut opening);
        prepare(v1::PrepareRequest { asks: Some(Asks::Opening(opening)) })
            .map_err(|bad| bad.field.into_owned())
    }

    #[test]
    fn each_field_of_an_opening_is_held_to_its_form() {
        assert!(matches!(opening(|_| {}), Ok(Prepare::Open { seconds: Some(60), drill: false, .. })));
        assert!(matches!(
            opening(|message| message.duration = None),
            Ok(Prepare::Open { seconds: None, .. })
        ));
        let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        assert_eq!(opening(|message| message.playbook.clear()).unwrap_err(), "opening.playbook");
        assert_eq!(opening(|message| message.ticket = "INC 1".into()).unwrap_err(), "opening.ticket");
        assert_eq!(opening(|message| message.reason.clear()).unwrap_err(), "opening.reason");
        assert_eq!(opening(|message| message.reason = "a\nb".into()).unwrap_err(), "opening.reason");
        assert_eq!(opening(|message| message.reason = " a".into()).unwrap_err(), "opening.reason");
        for bad in [duration(0, 0), duration(-1, 0), duration(14_401, 0), duration(1, 1)] {
            assert_eq!(opening(|message| message.duration = bad).unwrap_err(), "opening.duration");
        }
        assert!(opening(|message| message.duration = duration(14_400, 0)).is_ok());
        assert_eq!(prepare(v1::PrepareRequest { asks: None }).unwrap_err().field, "asks");
    }

    #[test]
    fn a_statement_and_a_signature_are_there_and_have_their_forms() {
        let text = "hotwork break-glass v1\ntrust-domain: td\nnonce: abababababababababababababababab\n\
                    not-before: 2026-01-01T00:00:00Z\nnot-after: 2026-01-01T00:15:00Z\nlog: l\nasks: open\n\
                    playbook: repair\nticket: INC-1\nreason: down\nseconds: 60\nsigners: 2\nactions: demo.read\n\
                    agents: spiffe://td/tenant/t/agent/a\nresources: demo\n";
        let armored = format!("{}\nAAAA\n{}\n", ARMOR.0, ARMOR.1);
        let given = |statement: &str, signature: &str| {
            let (statement, signature) = (statement.to_owned(), signature.to_owned());
            signed(Some(v1::SignedStatement { statement, signature })).map_err(|bad| bad.field.into_owned())
        };
        assert!(given(text, &armored).is_ok());
        let long = "x".repeat(STATEMENT_BYTES_MAX + 1);
        for bad in ["", &long, "text", "hotwork approval v1\na: b\n", &text.replace("open", "shut")] {
            assert_eq!(given(bad, &armored).unwrap_err(), "signed.statement");
        }
        let long = "y".repeat(SSH_SIGNATURE_BYTES_MAX + 1);
        for bad in ["", &long, "none", ARMOR.0, armored.trim_end_matches("-\n")] {
            assert_eq!(given(text, bad).unwrap_err(), "signed.signature", "{bad}");
        }
        assert_eq!(signed(None).unwrap_err().field, "signed");
    }
}
