//! Statements: the texts that operators sign with their SSH keys.
//!
//! One form for everything that is signed: a title with its version, then `key: value` lines in a fixed order. What
//! a person reads is what the signature covers, byte for byte. Printable ASCII only, so that nothing can look like
//! something else; the broker makes the text it expects from typed fields and compares, or reads it with
//! [`Statement::from_str`].

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::digest::Digest;
use super::limits::{STATEMENT_BYTES_MAX, STATEMENT_LINES_MAX};
use super::name::TrustDomain;
use super::time::Timestamp;

/// What a signature is for. SSH signs it with the text, so a signature for one is none for another
/// (OpenSSH PROTOCOL.sshsig).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Deciding a pending request.
    Approval,
    /// Breaking glass.
    BreakGlass,
}

impl Namespace {
    /// What `ssh-keygen -Y sign -n` is given.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "hotwork-approval",
            Self::BreakGlass => "hotwork-break-glass",
        }
    }

    /// The first line of its statements.
    const fn title(self) -> &'static str {
        match self {
            Self::Approval => "hotwork approval v1",
            Self::BreakGlass => "hotwork break-glass v1",
        }
    }
}

/// 128 bits that make a statement unlike every other one; 32 lowercase hex digits. Random, but for what the broker may
/// hide in a part of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

/// The text is not 32 lowercase hex digits.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 32 lowercase hex digits")]
pub struct NotANonce;

impl Nonce {
    /// From random bytes.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = NotANonce;

    fn from_str(text: &str) -> Result<Self, NotANonce> {
        let mut bytes = [0_u8; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotANonce)?;
        let nonce = Self(bytes);
        if nonce.to_string() == text { Ok(nonce) } else { Err(NotANonce) }
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// From when to when a statement may be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before.
    pub from: Timestamp,
    /// Not at or after.
    pub until: Timestamp,
}

impl Window {
    /// Whether `now` is in it.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// A whole statement. What it says it says once: no key stands there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    namespace: Namespace,
    text: String,
}

/// Why a text is no statement.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAStatement {
    /// A line is no `key: value`, or its key stood there before.
    #[error("expected a `key: value` of its own in line {0}")]
    Line(usize),
    /// Too long, too many lines, not printable ASCII, or without an end.
    #[error("expected at most {STATEMENT_BYTES_MAX} bytes of printable ASCII in lines that end with LF")]
    Text,
    /// The first line is none that we know.
    #[error("expected a first line such as `hotwork approval v1`")]
    Title,
}

/// A statement under way: each line is added in the order in which it will stand.
#[derive(Clone, Debug)]
pub struct Draft {
    namespace: Namespace,
    text: String,
}

impl Draft {
    /// A statement to this broker and to no other: the lines that every statement begins with.
    pub fn new(namespace: Namespace, trust_domain: &TrustDomain, nonce: Nonce, window: Window) -> Self {
        let draft = Self { namespace, text: format!("{}\n", namespace.title()) };
        draft
            .line("trust-domain", trust_domain)
            .line("nonce", nonce)
            .line("not-before", Utc(window.from))
            .line("not-after", Utc(window.until))
    }

    /// Adds `key: value`.
    #[must_use]
    pub fn line(mut self, key: impl Display, value: impl Display) -> Self {
        let value = value.to_string();
        // A line end in a value would be a line that nobody asked for; `finish` refuses what stands for it.
        self.text.push_str(&format!("{key}: {}\n", value.replace('\n', "\0")));
        self
    }

    /// The whole statement.
    ///
    /// # Errors
    /// When a value is not one line of printable ASCII, or there are too many: nothing half is signed.
    pub fn finish(self) -> Result<Statement, NotAStatement> {
        let statement: Statement = self.text.parse()?;
        if statement.namespace == self.namespace { Ok(statement) } else { Err(NotAStatement::Title) }
    }
}

impl Statement {
    /// What it is for.
    pub const fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// The bytes that are signed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the bytes that are signed.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// The lines after the title, in their order.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().skip(1).filter_map(|line| line.split_once(": "))
    }

    /// When it may be acted on; `None` when a time is none.
    pub fn window(&self) -> Option<Window> {
        Some(Window { from: time(self.value("not-before")?)?, until: time(self.value("not-after")?)? })
    }

    /// What it says of `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.lines().find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

impl FromStr for Statement {
    type Err = NotAStatement;

    fn from_str(text: &str) -> Result<Self, NotAStatement> {
        let printable = |b: u8| b == b'\n' || b == b' ' || b.is_ascii_graphic();
        let sized = text.len() <= STATEMENT_BYTES_MAX && text.lines().count() <= STATEMENT_LINES_MAX;
        if !sized || !text.ends_with('\n') || !text.bytes().all(printable) {
            return Err(NotAStatement::Text);
        }
        let mut lines = text.lines();
        let known = [Namespace::Approval, Namespace::BreakGlass];
        let title = lines.next().ok_or(NotAStatement::Title)?;
        let found = known.into_iter().find(|namespace| namespace.title() == title);
        let namespace = found.ok_or(NotAStatement::Title)?;
        let mut keys = Vec::new();
        for (number, line) in (2..).zip(lines) {
            let key = key(line).filter(|key| !keys.contains(key)).ok_or(NotAStatement::Line(number))?;
            keys.push(key);
        }
        Ok(Self { namespace, text: text.to_owned() })
    }
}

/// The key of a line that has one, and a value.
fn key(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(": ")?;
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    let good = !key.is_empty() && key.bytes().all(allowed) && !value.is_empty() && value.trim() == value;
    good.then_some(key)
}

/// A time as a person reads it and a program compares it: `2026-01-02T03:04:05Z`, whole seconds.
#[derive(Clone, Copy, Debug)]
pub struct Utc(pub Timestamp);

impl Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0.seconds()) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}", self.0.seconds()),
        }
    }
}

/// Reads a time that [`Utc`] wrote.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_seconds(time.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let window = Window {
            from: Timestamp::from_seconds(1_763_900_000),
            until: Timestamp::from_seconds(1_763_900_600),
        };
        Draft::new(Namespace::Approval, &"example.org".parse().unwrap(), Nonce::new([0xab; 16]), window)
    }

    #[test]
    fn a_statement_is_this_text() {
        let statement =
            draft().line("decision", "approve").line("action", "repo.pull.merge").finish().unwrap();
        assert_eq!(
            statement.as_str(),
            "hotwork approval v1\ntrust-domain: example.org\nnonce: abababababababababababababababab\n\
             not-before: 2025-11-23T12:13:20Z\nnot-after: 2025-11-23T12:23:20Z\ndecision: approve\n\
             action: repo.pull.merge\n"
        );
        assert_eq!(statement.as_str().parse().as_ref(), Ok(&statement));
        assert_eq!(statement.value("decision"), Some("approve"));
        assert_eq!(statement.value("absent"), None);
        assert_eq!(statement.lines().count(), 6);
    }

    #[test]
    fn no_value_makes_a_line_of_its_own() {
        for bad in ["a\nb: c", "", "\u{e9}", "a\u{1b}[0m", " a", "a ", "a\r", "\0"] {
            assert!(draft().line("reason", bad).finish().is_err(), "{bad:?}");
        }
        assert_eq!(draft().line("nonce", "x").finish(), Err(NotAStatement::Line(6)), "a key twice");
        let room = STATEMENT_BYTES_MAX - draft().line("x", "").text.len();
        assert!(draft().line("x", "y".repeat(room)).finish().is_ok());
        assert_eq!(draft().line("x", "y".repeat(room + 1)).finish(), Err(NotAStatement::Text));
    }

    #[test]
    fn what_is_no_statement_is_refused() {
        let good = draft().finish().unwrap();
        for bad in [
            String::new(),
            "\n".to_owned(),
            good.as_str().trim_end().to_owned(),
            format!("{}\n", good.as_str()),
            format!("\n{}", good.as_str()),
            good.as_str().replace('\n', "\r\n"),
            good.as_str().replace("v1", "v2"),
            good.as_str().replace("nonce: ", "nonce:"),
            good.as_str().replace("nonce", "Nonce"),
        ] {
            assert!(bad.parse::<Statement>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_nonce_has_one_spelling() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<Nonce>().map(|nonce| nonce.to_string()), Ok(text.to_owned()));
        for bad in ["", "00", &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(bad.parse::<Nonce>(), Err(NotANonce), "{bad}");
        }
    }

    #[test]
    fn a_window_ends_before_its_end() {
        let window = Window { from: Timestamp::from_millis(5), until: Timestamp::from_millis(7) };
        let held: Vec<i64> = (3..9).filter(|at| window.holds(Timestamp::from_millis(*at))).collect();
        assert_eq!(held, [5, 6]);
    }
}
