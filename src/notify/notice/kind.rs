//! What kinds of notices there are, and how grave one can be.

use std::fmt;
use std::str::FromStr;

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warning,
    /// An emergency: a person must act now. Never dropped to make room for anything else.
    Critical,
}

impl Severity {
    /// The word in files and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Info, Self::Warning, Self::Critical].into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| "expected one of `info`, `warning`, `critical`".to_owned())
    }
}

/// A notice's kind, by the word that stands in messages and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub(super) &'static str);

impl Kind {
    /// Every kind there is.
    pub const ALL: [&'static str; 15] = [
        "asked",
        "break-glass",
        "emergency",
        "emergency-merged",
        "enrolled",
        "key-rotated",
        "ledger-stopped",
        "load-failed",
        "locked",
        "registry-loaded",
        "removed",
        "revoked",
        "started",
        "test",
        "unlocked",
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|word| *word == text);
        found.map(Self).ok_or_else(|| format!("expected one of `{}`", Self::ALL.join("`, `")))
    }
}
