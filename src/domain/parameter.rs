//! Typed action parameters: what a request gives, what an action declares, what a token constrains.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::{PARAMETER_INTEGER_MAX, PARAMETER_TEXT_BYTES_MAX};
use super::name::{BadName, name};

name!(
    /// A parameter's name.
    ParameterName, is_name, "a lowercase letter, then lowercase letters, digits or `_`, 64 bytes at most"
);

fn is_name(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.len() <= 64 && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && text.bytes().all(rest)
}

/// Names that a token's `constraints` use for other things; no parameter may be called so.
pub const RESERVED_NAMES: [&str; 4] = ["args_sha256", "max_calls", "resource", "tenant"];

/// One parameter of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: ParameterName,
    /// Its value.
    pub value: Value,
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Flag(bool),
    /// An integer that a JSON number carries exactly.
    Integer(Integer),
    /// Printable ASCII.
    Text(Text),
}

/// An integer of at most [`PARAMETER_INTEGER_MAX`] in magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Integer(i64);

impl TryFrom<i64> for Integer {
    type Error = BadName;

    fn try_from(value: i64) -> Result<Self, BadName> {
        let fits = (-PARAMETER_INTEGER_MAX..=PARAMETER_INTEGER_MAX).contains(&value);
        if fits {
            Ok(Self(value))
        } else {
            Err(BadName { expected: "an integer between -(2^53-1) and 2^53-1" })
        }
    }
}

impl From<Integer> for i64 {
    fn from(integer: Integer) -> Self {
        integer.0
    }
}

name!(
    /// A text value: printable ASCII, so that two look-alikes can't differ.
    Text, is_text, "printable ASCII, 1 to 256 bytes"
);

fn is_text(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= PARAMETER_TEXT_BYTES_MAX
        && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// What an action declares of one parameter. The catalogue holds requests to it whatever policies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterRule {
    /// The parameter's name.
    pub name: ParameterName,
    /// Whether a request must have it.
    pub required: bool,
    /// Its type and bounds.
    pub kind: ParameterKind,
}

/// A parameter's type with its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A truth value.
    Flag,
    /// An integer; the token carries the value asked for as an upper bound.
    Integer {
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
    /// A text.
    Text {
        /// The texts allowed; any when empty.
        one_of: Vec<Arc<str>>,
    },
}

/// Why a parameter does not fit its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The value is outside the declared bounds.
    Bounds,
    /// The value has another type.
    Type,
}

impl ParameterRule {
    /// Holds `value` to the rule.
    ///
    /// # Errors
    /// [`Misfit`] says what is wrong.
    pub fn check(&self, value: &Value) -> Result<(), Misfit> {
        match (&self.kind, value) {
            (ParameterKind::Flag, Value::Flag(_)) => Ok(()),
            (ParameterKind::Integer { min, max }, Value::Integer(Integer(value))) => {
                if (*min..=*max).contains(value) { Ok(()) } else { Err(Misfit::Bounds) }
            }
            (ParameterKind::Text { one_of }, Value::Text(text)) => {
                let listed = one_of.is_empty() || one_of.iter().any(|allowed| **allowed == *text.as_str());
                if listed { Ok(()) } else { Err(Misfit::Bounds) }
            }
            (ParameterKind::Flag | ParameterKind::Integer { .. } | ParameterKind::Text { .. }, _) => {
                Err(Misfit::Type)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: ParameterKind) -> ParameterRule {
        ParameterRule { name: "amount".parse().unwrap(), required: true, kind }
    }

    fn integer(value: i64) -> Value {
        Value::Integer(value.try_into().unwrap())
    }

    #[test]
    fn an_integer_is_allowed_up_to_its_bound_and_not_beyond() {
        let rule = rule(ParameterKind::Integer { min: 1, max: 1000 });
        assert_eq!(rule.check(&integer(1000)), Ok(()));
        assert_eq!(rule.check(&integer(1001)), Err(Misfit::Bounds));
        assert_eq!(rule.check(&integer(0)), Err(Misfit::Bounds));
        assert_eq!(rule.check(&Value::Text("1000".parse().unwrap())), Err(Misfit::Type));
    }

    #[test]
    fn a_text_is_one_of_those_listed() {
        let rule = rule(ParameterKind::Text { one_of: vec!["EUR".into()] });
        assert_eq!(rule.check(&Value::Text("EUR".parse().unwrap())), Ok(()));
        assert_eq!(rule.check(&Value::Text("eur".parse().unwrap())), Err(Misfit::Bounds));
        assert_eq!(rule.check(&Value::Flag(true)), Err(Misfit::Type));
    }

    #[test]
    fn values_keep_their_type_through_json() {
        for value in [integer(-5), Value::Flag(false), Value::Text("5".parse().unwrap())] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{json}");
        }
        assert!(serde_json::from_str::<Value>("9007199254740992").is_err());
        assert!(serde_json::from_str::<Value>("\"é\"").is_err());
    }
}
