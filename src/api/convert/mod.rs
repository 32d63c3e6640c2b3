//! Proto to domain: every field becomes a type that can't be wrong, or the answer names the field.
//!
//! This is the only place that looks at a request's raw values. It knows no use case and no transport.

pub mod approval;
pub mod enroll;
pub mod glass;
pub mod issue;
pub mod operate;
pub mod page;
pub mod selector;
pub mod verify;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::domain::id::CredentialId;

/// A field of a request that has the wrong form. Shows as `request.resource: expected …`.
///
/// It never repeats the value: a value can be a secret that landed in the wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    /// The field's path in the message, such as `request.parameters[2].name`.
    pub field: Cow<'static, str>,
    /// What would have been right, without the word `expected`.
    pub expected: Cow<'static, str>,
}

impl BadField {
    /// A bad field, and what it should have been.
    pub fn new(field: impl Into<Cow<'static, str>>, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), expected: expected.into() }
    }

    /// From an error whose text begins with `expected`, as the domain's do.
    pub fn from_error(field: impl Into<Cow<'static, str>>, error: &impl fmt::Display) -> Self {
        let text = error.to_string();
        let expected = text.strip_prefix("expected ").unwrap_or(&text).to_owned();
        Self::new(field, expected)
    }
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.field, self.expected)
    }
}

/// Parses a required text field.
pub(super) fn parsed<T>(field: &'static str, text: &str) -> Result<T, BadField>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    text.parse().map_err(|error| BadField::from_error(field, &error))
}

/// Parses a text field that may be left out.
pub(super) fn optional<T>(field: &'static str, text: &str) -> Result<Option<T>, BadField>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}

/// Parses the field `credential_id`.
///
/// # Errors
/// When it is no id.
pub fn credential_id(text: &str) -> Result<CredentialId, BadField> {
    parsed("credential_id", text)
}

/// Parses the field `decision_id`.
///
/// # Errors
/// When it is no id.
pub fn decision_id(text: &str) -> Result<CredentialId, BadField> {
    parsed("decision_id", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0193a6a0-0000-7000-8000-000000000000";

    #[test]
    fn an_id_has_one_spelling_and_a_bad_one_is_named() {
        assert!(credential_id(ID).is_ok());
        let upper = ID.to_uppercase();
        let long = "0".repeat(100_000);
        for bad in
            ["", "x", &upper, "0193a6a0-0000-4000-8000-000000000000", "0193a6a000007000800000000000", &long]
        {
            let error = credential_id(bad).unwrap_err();
            assert_eq!(error.to_string(), "credential_id: expected a lowercase UUID of version 7");
        }
        assert_eq!(decision_id("").unwrap_err().field, "decision_id");
    }
}
