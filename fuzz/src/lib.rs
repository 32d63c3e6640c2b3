//! What the fuzz targets share: the properties that every parser of a text has to have.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What parses has exactly one spelling, in text and in JSON, and it is printable ASCII: nothing that is
/// accepted can break a line of the log or look like something else.
///
/// # Panics
/// When it does not hold: that is the finding.
pub fn one_spelling<T>(text: &str)
where
    T: FromStr + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let Ok(value) = text.parse::<T>() else { return };
    assert_eq!(value.to_string(), text, "a second spelling was accepted");
    assert!(text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{text:?} is not printable");
    one_json(&value);
}

/// A value survives its JSON.
///
/// # Panics
/// When it does not: that is the finding.
pub fn one_json<T: Debug + PartialEq + Serialize + DeserializeOwned>(value: &T) {
    let json = serde_json::to_string(value).expect("a value has a JSON form");
    let back: T = serde_json::from_str(&json).expect("our JSON is read back");
    assert_eq!(&back, value);
}
