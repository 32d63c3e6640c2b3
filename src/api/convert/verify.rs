//! What verifiers show.

use crate::broker::introspect::Shown;
use crate::broker::verifiers::Instance;
use crate::domain::digest::Digest;
use crate::domain::limits::TOKEN_BYTES_MAX;
use crate::domain::request::IdempotencyKey;
use crate::domain::revocation::feed::Place;
use crate::proto::v1;

use super::{BadField, parsed};

/// Parses a request to introspect. Whether the credential is any good is not decided here.
///
/// # Errors
/// When there is none, or it is beyond what any credential of ours can be.
pub fn shown(message: v1::IntrospectRequest) -> Result<Shown, BadField> {
    use v1::introspect_request::Credential;
    match message.credential {
        Some(Credential::CertificateDer(der)) => {
            sized("certificate_der", der.len()).map(|()| Shown::Certificate(der))
        }
        Some(Credential::Token(token)) => sized("token", token.len()).map(|()| Shown::Token(token)),
        None => Err(BadField::new("credential", "`token` or `certificate_der`, got none")),
    }
}

/// Parses a request to consume: the credential, and the key of the call.
///
/// # Errors
/// The first bad field.
pub fn consume(message: v1::ConsumeRequest) -> Result<(Shown, IdempotencyKey), BadField> {
    use v1::consume_request::Credential as Wire;
    use v1::introspect_request::Credential;
    let credential = message.credential.map(|credential| match credential {
        Wire::CertificateDer(der) => Credential::CertificateDer(der),
        Wire::Token(token) => Credential::Token(token),
    });
    let shown = shown(v1::IntrospectRequest { credential })?;
    Ok((shown, parsed("idempotency_key", &message.idempotency_key)?))
}

/// The number that a verifier's process drew.
///
/// # Errors
/// When it drew none.
pub fn instance(message: &v1::WatchRevocationsRequest) -> Result<Instance, BadField> {
    let expected = "a number that is not 0, drawn at random when the verifier began to follow";
    Instance::new(message.instance).ok_or_else(|| BadField::new("instance", expected))
}

/// Where a verifier was told to be; `None` asks for a snapshot.
///
/// # Errors
/// When the hash is none.
pub fn place(message: &v1::WatchRevocationsRequest) -> Result<Option<Place>, BadField> {
    if message.after_sha256.is_empty() || message.after_epoch == 0 {
        return Ok(None);
    }
    let bytes: Result<[u8; 32], _> = message.after_sha256.as_slice().try_into();
    let bad =
        |_| BadField::new("after_sha256", format!("32 bytes or none, got `{}`", message.after_sha256.len()));
    let leaf = Digest::from_bytes(bytes.map_err(bad)?);
    Ok(Some(Place { epoch: message.after_epoch, leaf }))
}

fn sized(field: &'static str, bytes: usize) -> Result<(), BadField> {
    let fits = (1..=TOKEN_BYTES_MAX).contains(&bytes);
    let expected = || format!("1 to {TOKEN_BYTES_MAX} bytes, got `{bytes}`");
    if fits { Ok(()) } else { Err(BadField::new(field, expected())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::introspect_request::Credential;

    #[test]
    fn a_credential_to_introspect_is_there_and_of_a_bounded_size() {
        let check = |credential| {
            shown(v1::IntrospectRequest { credential }).map(|_| ()).map_err(|error| error.field.into_owned())
        };
        assert_eq!(check(Some(Credential::Token("x".repeat(TOKEN_BYTES_MAX)))), Ok(()));
        assert_eq!(check(Some(Credential::CertificateDer(vec![0]))), Ok(()));
        assert_eq!(check(Some(Credential::Token("x".repeat(TOKEN_BYTES_MAX + 1)))), Err("token".into()));
        assert_eq!(check(Some(Credential::Token(String::new()))), Err("token".into()));
        assert_eq!(check(Some(Credential::CertificateDer(Vec::new()))), Err("certificate_der".into()));
        let oversized = Credential::CertificateDer(vec![0; TOKEN_BYTES_MAX + 1]);
        assert_eq!(check(Some(oversized)), Err("certificate_der".into()));
        assert_eq!(check(None), Err("credential".into()));
    }
}
