//! Who is enrolled or removed, and with what key.

use crate::domain::enrollment::Enrolled;
use crate::domain::id::Serial;
use crate::domain::limits::{ENROLLMENT_SECONDS_DEFAULT, ENROLLMENT_SECONDS_MAX, ENROLLMENT_SECONDS_MIN};
use crate::domain::name::Reason;
use crate::proto::v1;
use crate::signer::csr::SubjectKey;

use super::{BadField, optional, parsed};

/// An enrolment as asked for.
#[derive(Debug)]
pub struct Enrollment {
    /// Who.
    pub who: Enrolled,
    /// The holder's key, whose possession was proven.
    pub key: SubjectKey,
    /// How long, in seconds.
    pub seconds: u32,
}

/// A removal as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Whose.
    pub who: Enrolled,
    /// One certificate, or all.
    pub serial: Option<Serial>,
    /// Why.
    pub reason: Reason,
}

/// The kinds that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Agents.
    Agent,
    /// Operators.
    Operator,
    /// Verifiers.
    Verifier,
}

impl Kind {
    /// Whether it is `who`'s.
    pub const fn is_of(self, who: &Enrolled) -> bool {
        match who {
            Enrolled::Agent(_) => matches!(self, Self::Agent),
            Enrolled::Operator(_) => matches!(self, Self::Operator),
            Enrolled::Verifier(_) => matches!(self, Self::Verifier),
        }
    }
}

/// Parses a request to enrol.
///
/// # Errors
/// The first bad field.
pub fn enrollment(message: &v1::EnrollRequest) -> Result<Enrollment, BadField> {
    // An agent is attested, not enrolled by a person.
    if kind(message.enrolled_as)? == Some(Kind::Agent) {
        return Err(bad_kind());
    }
    let who = who(message.enrolled_as, &message.name)?;
    let key = SubjectKey::from_csr(&message.csr_der);
    let key = key.map_err(|error| BadField::from_error("csr_der", &error))?;
    Ok(Enrollment { who, key, seconds: seconds(message.lifetime_seconds)? })
}

/// Parses a request to remove.
///
/// # Errors
/// The first bad field.
pub fn removal(message: &v1::RemoveEnrollmentRequest) -> Result<Removal, BadField> {
    Ok(Removal {
        who: who(message.enrolled_as, &message.name)?,
        serial: optional("serial", &message.serial)?,
        reason: parsed("reason", &message.reason)?,
    })
}

/// Parses a kind that may be left out.
///
/// # Errors
/// When it is a number that means nothing.
pub fn kind(given: i32) -> Result<Option<Kind>, BadField> {
    match v1::EnrolledAs::try_from(given) {
        Ok(v1::EnrolledAs::Agent) => Ok(Some(Kind::Agent)),
        Ok(v1::EnrolledAs::Operator) => Ok(Some(Kind::Operator)),
        Ok(v1::EnrolledAs::Unspecified) => Ok(None),
        Ok(v1::EnrolledAs::Verifier) => Ok(Some(Kind::Verifier)),
        Err(_) => Err(bad_kind()),
    }
}

fn who(given: i32, name: &str) -> Result<Enrolled, BadField> {
    match kind(given)?.ok_or_else(bad_kind)? {
        Kind::Agent => parsed("name", name).map(Enrolled::Agent),
        Kind::Operator => parsed("name", name).map(Enrolled::Operator),
        Kind::Verifier => parsed("name", name).map(Enrolled::Verifier),
    }
}

fn bad_kind() -> BadField {
    BadField::new("enrolled_as", "`ENROLLED_AS_OPERATOR` or `ENROLLED_AS_VERIFIER`")
}

fn seconds(given: u32) -> Result<u32, BadField> {
    match given {
        0 => Ok(ENROLLMENT_SECONDS_DEFAULT),
        ENROLLMENT_SECONDS_MIN..=ENROLLMENT_SECONDS_MAX => Ok(given),
        _ => {
            let expected = format!("{ENROLLMENT_SECONDS_MIN} to {ENROLLMENT_SECONDS_MAX}, or 0 for 30 days");
            Err(BadField::new("lifetime_seconds", expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T>(result: Result<T, BadField>) -> String {
        result.map_or_else(|bad| bad.field.into_owned(), |_| String::new())
    }

    fn request() -> v1::EnrollRequest {
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        v1::EnrollRequest {
            enrolled_as: v1::EnrolledAs::Operator.into(),
            name: "alice".into(),
            csr_der: csr.der().to_vec(),
            lifetime_seconds: 0,
        }
    }

    #[test]
    fn an_enrolment_names_somebody_and_proves_a_key() {
        let asked = enrollment(&request()).unwrap();
        assert_eq!((asked.who.to_string(), asked.seconds), ("operator/alice".to_owned(), 2_592_000));
        let r = request;
        for (bad, name) in [
            (v1::EnrollRequest { enrolled_as: 0, ..r() }, "enrolled_as"),
            (v1::EnrollRequest { enrolled_as: 3, ..r() }, "enrolled_as"),
            (v1::EnrollRequest { enrolled_as: 4, ..r() }, "enrolled_as"),
            (v1::EnrollRequest { name: String::new(), ..r() }, "name"),
            (v1::EnrollRequest { name: "a/b".into(), ..r() }, "name"),
            (v1::EnrollRequest { name: "..".into(), ..r() }, "name"),
            (v1::EnrollRequest { csr_der: Vec::new(), ..r() }, "csr_der"),
            (v1::EnrollRequest { csr_der: vec![0; 9000], ..r() }, "csr_der"),
            (v1::EnrollRequest { lifetime_seconds: 59, ..r() }, "lifetime_seconds"),
            (v1::EnrollRequest { lifetime_seconds: 31_622_401, ..r() }, "lifetime_seconds"),
        ] {
            assert_eq!(field(enrollment(&bad)), name);
        }
        for good in [60, 31_622_400] {
            assert!(enrollment(&v1::EnrollRequest { lifetime_seconds: good, ..r() }).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_removal_has_a_reason_and_may_name_one_certificate() {
        let message = |serial: &str, reason: &str| v1::RemoveEnrollmentRequest {
            enrolled_as: v1::EnrolledAs::Verifier.into(),
            name: "envoy".into(),
            serial: serial.into(),
            reason: reason.into(),
        };
        assert_eq!(removal(&message("", "gone")).unwrap().serial, None);
        assert!(removal(&message(&"4f".repeat(16), "gone")).unwrap().serial.is_some());
        assert_eq!(field(removal(&message("4f", "gone"))), "serial");
        assert_eq!(field(removal(&message("", ""))), "reason");
        assert_eq!(field(kind(9)), "enrolled_as");
        assert_eq!(kind(0), Ok(None));
    }
}
