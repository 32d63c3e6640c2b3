//! How we say things, so that each is said in one way: counts, and errors with their causes.

use std::error::Error;
use std::fmt;

/// A count of things: `1 entry`, `2 entries`.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// What one is called.
    pub one: &'static str,
    /// What several, or none, are called.
    pub many: &'static str,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, if self.count == 1 { self.one } else { self.many })
    }
}

/// How many of what. A count that has no number here is as many as can be said.
pub fn counted(count: impl TryInto<u64>, one: &'static str, many: &'static str) -> Counted {
    Counted { count: count.try_into().unwrap_or(u64::MAX), one, many }
}

/// An error with its causes, the nearest first, as far as it does not tell them itself.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Outer(#[source] std::num::ParseIntError);

    #[derive(Debug, thiserror::Error)]
    #[error("told whole: {0}")]
    struct Whole(#[source] Outer);

    #[test]
    fn one_is_one_and_all_else_are_several() {
        let said = |count: usize| counted(count, "person", "people").to_string();
        assert_eq!([0, 1, 2].map(said), ["0 people", "1 person", "2 people"]);
        assert_eq!(counted(-1_i64, "x", "y").count, u64::MAX);
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = Whole(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(causes(&error), "told whole: it failed: invalid digit found in string");
    }
}
