//! What the command line holds a text to before it is signed.

/// How far a text's times may be from the clock of whoever signs it, in seconds: workstations are off by minutes, and a
/// text for another hour is not signed by somebody who wants it now.
pub const SIGNER_CLOCK_SECONDS_MAX: i64 = 5 * 60;
/// Digits of a statement's id that are enough to sign it without a look: whoever answers for the broker would have to
/// find another text with the same ones while it can be signed.
pub const STATEMENT_ID_DIGITS_MIN: usize = 12;
