//! The small text forms that files use: durations, days, modes, paths, one-line texts.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::agent::Day;
use crate::domain::limits::DESCRIPTION_BYTES_MAX;
use crate::domain::name::BadName;
use crate::domain::time::Ttl;

/// A duration in whole seconds, minutes, hours or days, such as `90s`, `15m`, `24h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) u64);

impl FromStr for Seconds {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName { expected: "a duration such as `90s`, `15m`, `24h` or `30d`" };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = match text.get(digits.len()..) {
            Some("s") => 1,
            Some("m") => 60,
            Some("h") => 3_600,
            Some("d") => 86_400,
            _ => return Err(BAD),
        };
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let count: u64 = digits.parse().ok().filter(|_| plain).ok_or(BAD)?;
        count.checked_mul(unit).map(Self).ok_or(BAD)
    }
}

/// A lifetime within the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime(pub(super) Ttl);

/// The text is not a lifetime, or one above the cap.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadLifetime {
    #[error(transparent)]
    Form(#[from] BadName),
    #[error(transparent)]
    Range(#[from] crate::domain::time::TtlOutOfRange),
}

impl FromStr for Lifetime {
    type Err = BadLifetime;

    fn from_str(text: &str) -> Result<Self, BadLifetime> {
        let Seconds(seconds) = text.parse()?;
        Ok(Self(Ttl::from_seconds(u32::try_from(seconds).unwrap_or(u32::MAX))?))
    }
}

/// A calendar day, `2027-06-30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date(pub(super) Day);

impl FromStr for Date {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName { expected: "a day such as `2027-06-30`" };
        let date: jiff::civil::Date = text.parse().map_err(|_| BAD)?;
        // One spelling only: no time, no zone, no sign.
        if date.to_string() != text {
            return Err(BAD);
        }
        let epoch = jiff::civil::date(1970, 1, 1);
        let span = epoch.until((jiff::Unit::Day, date)).map_err(|_| BAD)?;
        Ok(Self(Day(i64::from(span.get_days()))))
    }
}

/// One printable line that a person wrote: an owner, a purpose, a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line(pub(super) Arc<str>);

impl FromStr for Line {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let sized = !text.trim().is_empty() && text.len() <= DESCRIPTION_BYTES_MAX;
        if sized && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(BadName { expected: "one line of text, 1 to 500 bytes" })
        }
    }
}

/// An absolute path without `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl FromStr for AbsolutePath {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let straight = text.split('/').all(|part| part != ".." && part != ".");
        if text.starts_with('/') && straight && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(BadName { expected: "an absolute path without `.` or `..` in it" })
        }
    }
}

/// A socket's path: it must fit the kernel's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SocketPath(pub(super) PathBuf);

impl FromStr for SocketPath {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        // sockaddr_un has 108 bytes with the terminating zero (unix(7)).
        if text.len() > 107 {
            return Err(BadName { expected: "a socket path of at most 107 bytes" });
        }
        text.parse().map(|AbsolutePath(path)| Self(path))
    }
}

/// File permissions in octal, `0660`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl FromStr for Mode {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName { expected: "permissions in octal such as `0660`" };
        let octal = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777);
        mode.map(Self).ok_or(BAD)
    }
}

/// A word of a fixed list, and what it stands for.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        format!("expected one of {known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_no_sign() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000)] {
            assert_eq!(text.parse(), Ok(Seconds(seconds)));
        }
        for bad in [
            "",
            "15",
            "m",
            "-1s",
            "+1s",
            "1.5h",
            "15 m",
            "1w",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
        assert!("15m".parse::<Lifetime>().is_ok());
        assert!("901s".parse::<Lifetime>().is_err() && "0s".parse::<Lifetime>().is_err());
    }

    #[test]
    fn a_day_has_one_spelling() {
        assert_eq!("1970-01-02".parse(), Ok(Date(Day(1))));
        assert_eq!("2026-11-23".parse(), Ok(Date(Day(20_780))));
        for bad in
            ["", "2026-2-1", "2026-02-30", "20260201", "2026-02-01T00:00", "+002026-02-01", "2026-02-01 "]
        {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_paths_and_lines_are_held_to_their_form() {
        assert_eq!("0660".parse(), Ok(Mode(0o660)));
        for bad in ["660", "0888", "1777", "0o66", "+660"] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
        for bad in ["", "a", "./a", "/a/../b", "/a\n"] {
            assert!(bad.parse::<AbsolutePath>().is_err(), "{bad:?}");
        }
        assert!(format!("/{}", "x".repeat(106)).parse::<SocketPath>().is_ok());
        assert!(format!("/{}", "x".repeat(107)).parse::<SocketPath>().is_err());
        assert!("a".repeat(500).parse::<Line>().is_ok() && "a".repeat(501).parse::<Line>().is_err());
        assert!("  ".parse::<Line>().is_err() && "a\nb".parse::<Line>().is_err());
    }
}
