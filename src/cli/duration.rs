//! Durations and times as people write and read them.

use std::time::Duration;

use prost_types::Timestamp;

use crate::domain::limits::{BREAK_GLASS_SECONDS_MAX, LOCK_SECONDS_MAX};
use crate::domain::limits::{ENROLLMENT_SECONDS_MAX, ENROLLMENT_SECONDS_MIN};
use crate::domain::time::Ttl;

/// The text is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a duration such as `90s`, `2m`, `1m30s` or `500ms`")]
pub struct NotADuration;

/// The text is not the lifetime of a credential.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotALifetime {
    /// It is no duration.
    #[error(transparent)]
    Form(#[from] NotADuration),
    /// It is one, but not in whole seconds from 1 to the maximum.
    #[error("expected whole seconds from 1s to 15m")]
    Range,
}

/// Reads `90s`, `2m`, `1h`, `1m30s` or `500ms`. A number without a unit is refused: nobody knows which it has.
///
/// # Errors
/// When the text has another form.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(NotADuration);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or(NotADuration)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters).ok_or(NotADuration)?;
        let number: u64 = number.parse().map_err(|_| NotADuration)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(NotADuration),
        };
        let part = Duration::from_millis(number.checked_mul(millis).ok_or(NotADuration)?);
        total = total.checked_add(part).ok_or(NotADuration)?;
        rest = tail;
    }
    Ok(total)
}

/// Reads a credential's lifetime.
///
/// # Errors
/// When it is no duration, or not one that a credential can have.
pub fn parse_ttl(text: &str) -> Result<Ttl, NotALifetime> {
    let duration = parse(text)?;
    if duration.subsec_nanos() != 0 {
        return Err(NotALifetime::Range);
    }
    let seconds = u32::try_from(duration.as_secs()).map_err(|_| NotALifetime::Range)?;
    Ttl::from_seconds(seconds).map_err(|_| NotALifetime::Range)
}

/// Reads how long a lock lasts, in seconds.
///
/// # Errors
/// When it is no duration, or not whole seconds within the bound.
pub fn parse_lock(text: &str) -> Result<u32, String> {
    let duration = parse(text).map_err(|error| error.to_string())?;
    let seconds = u32::try_from(duration.as_secs()).ok().filter(|_| duration.subsec_nanos() == 0);
    let seconds = seconds.filter(|seconds| (1..=LOCK_SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| "expected whole seconds from 1s to 168h".to_owned())
}

/// Reads how long a break-glass session lasts, in seconds.
///
/// # Errors
/// When it is no duration, or not whole seconds within the bound.
pub fn parse_session(text: &str) -> Result<u32, String> {
    let duration = parse(text).map_err(|error| error.to_string())?;
    let seconds = u32::try_from(duration.as_secs()).ok().filter(|_| duration.subsec_nanos() == 0);
    let seconds = seconds.filter(|seconds| (1..=BREAK_GLASS_SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| "expected whole seconds from 1s to 4h".to_owned())
}

/// Reads a point in time.
///
/// # Errors
/// When it has another form.
pub fn parse_time(text: &str) -> Result<jiff::Timestamp, &'static str> {
    text.parse().map_err(|_| "expected a time such as `2026-11-23T10:00:00Z`")
}

/// The text is not the lifetime of an operator's or verifier's certificate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected whole seconds from 1m to 366d, such as `12h` or `90d`")]
pub struct NotALongLifetime;

/// Reads the lifetime of an operator's or verifier's certificate, in seconds; days are units here.
///
/// # Errors
/// When it is no duration, or not one that such a certificate can have.
pub fn parse_long(text: &str) -> Result<u32, NotALongLifetime> {
    let duration = match text.strip_suffix('d') {
        Some(days) => {
            let plain = !days.is_empty() && days.bytes().all(|b| b.is_ascii_digit());
            let days: u64 = days.parse().ok().filter(|_| plain).ok_or(NotALongLifetime)?;
            Duration::from_secs(days.checked_mul(86_400).ok_or(NotALongLifetime)?)
        }
        None => parse(text).map_err(|_| NotALongLifetime)?,
    };
    let seconds = u32::try_from(duration.as_secs()).map_err(|_| NotALongLifetime)?;
    let whole = duration.subsec_nanos() == 0;
    let fits = (ENROLLMENT_SECONDS_MIN..=ENROLLMENT_SECONDS_MAX).contains(&seconds);
    if whole && fits { Ok(seconds) } else { Err(NotALongLifetime) }
}

/// `1m 52s`: the two largest units that are not zero.
pub fn spoken(seconds: u64) -> String {
    let units =
        [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let first = units.iter().position(|(_, count)| *count > 0).unwrap_or(3);
    let shown = units.iter().skip(first).take(2).filter(|(_, count)| *count > 0);
    let text: Vec<String> = shown.map(|(unit, count)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.join(" ") }
}

/// `in 1m 52s` or `3m ago`, seen from `now`; `-` when there is no time.
pub fn relative(time: Option<&Timestamp>, now: i64) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let distance = spoken(time.seconds.abs_diff(now));
    if time.seconds > now { format!("in {distance}") } else { format!("{distance} ago") }
}

/// `2026-11-23T10:00:00Z`; `-` when there is no time.
pub fn absolute(time: Option<&Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| seconds(time.seconds))
}

/// Seconds since the epoch in RFC 3339.
pub fn seconds(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// The time now in seconds since the epoch. It only colours what is shown; nothing is decided on it
/// but what this machine's clock says of an expiry.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit() {
        for (text, millis) in
            [("90s", 90_000), ("2m", 120_000), ("1m30s", 90_000), ("500ms", 500), ("1h", 3_600_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in
            ["", "5", "s", "-1s", "1 s", "1d", "1s2", "١s", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(parse(bad), Err(NotADuration), "{bad}");
        }
    }

    #[test]
    fn a_lock_lasts_a_week_at_most() {
        assert_eq!((parse_lock("1s"), parse_lock("168h")), (Ok(1), Ok(LOCK_SECONDS_MAX)));
        for bad in ["0s", "169h", "1500ms", "1", ""] {
            assert!(parse_lock(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_life_of_an_operators_certificate_may_be_days() {
        for (text, seconds) in [("1m", 60), ("12h", 43_200), ("30d", 2_592_000), ("366d", 31_622_400)] {
            assert_eq!(parse_long(text), Ok(seconds), "{text}");
        }
        for bad in ["59s", "367d", "d", "-1d", "+1d", "1.5d", "60", "60500ms", "", "999999999999999999999d"] {
            assert_eq!(parse_long(bad), Err(NotALongLifetime), "{bad}");
        }
    }

    #[test]
    fn a_time_has_its_zone() {
        assert!(parse_time("2026-11-23T10:00:00Z").is_ok());
        for bad in ["2026-11-23", "2026-11-23T10:00:00", "yesterday", ""] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lifetime_is_whole_seconds_within_the_bound() {
        assert_eq!(parse_ttl("15m").map(Ttl::seconds), Ok(900));
        for bad in ["15m1s", "0s", "1500ms"] {
            assert_eq!(parse_ttl(bad), Err(NotALifetime::Range), "{bad}");
        }
        assert_eq!(parse_ttl("120"), Err(NotALifetime::Form(NotADuration)));
    }

    #[test]
    fn times_are_told_from_now() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!(relative(at(1112).as_ref(), 1000), "in 1m 52s");
        assert_eq!(relative(at(820).as_ref(), 1000), "3m ago");
        assert_eq!(relative(at(1000).as_ref(), 1000), "0s ago");
        assert_eq!(relative(None, 1000), "-");
        assert_eq!(spoken(90_061), "1d 1h");
        assert_eq!(spoken(3_605), "1h");
        assert_eq!(absolute(at(0).as_ref()), "1970-01-01T00:00:00Z");
    }
}
