//! Points in time and their text.
//!
//! A [`Timestamp`] is a count of nanoseconds since 1970-01-01T00:00:00Z, without leap seconds, in an `i64`: it
//! reaches from 1677-09-21 to 2262-04-11 and its text, RFC 3339, keeps every nanosecond. Everything in this module
//! counts in UTC: a date or a time of day that comes without an offset is read as UTC, never as the zone of the
//! machine, so that the same command means the same moment on every machine.
//!
//! Times are a property of events and never their order: see [`Position`](crate::Position).

mod relative;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

pub use relative::parse_duration;

pub(crate) const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, from 1677 to 2262.
///
/// Its text is RFC 3339 in UTC with a `Z` and as many fraction digits as it needs, none for a whole second. The text
/// is exact: what is printed parses to the same nanosecond. In JSON and other serde formats a timestamp is that text.
///
/// ```
/// use annals::Timestamp;
///
/// let t: Timestamp = "2026-11-01T14:00:00.25+01:00".parse()?;
/// assert_eq!(t.to_string(), "2026-11-01T13:00:00.25Z");
/// assert_eq!(t.as_nanos(), 1_793_538_000_250_000_000);
/// # Ok::<(), annals::time::TimeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest timestamp: 1677-09-21T00:12:43.145224192Z.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest timestamp: 2262-04-11T23:47:16.854775807Z.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// 1970-01-01T00:00:00Z, which is also the default.
    pub const UNIX_EPOCH: Timestamp = Timestamp(0);

    /// The point `nanos` nanoseconds after 1970-01-01T00:00:00Z, or before it where negative.
    pub const fn from_nanos(nanos: i64) -> Timestamp {
        Timestamp(nanos)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z, negative before it.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// What the wall clock of this machine says.
    ///
    /// It may jump, in both directions. The log takes its own `recorded_at` from a clock that cannot run backwards.
    pub fn now() -> Timestamp {
        SystemTime::now().into()
    }

    /// Reads an RFC 3339 time.
    ///
    /// `T` and `Z` may be lower case, a space may stand for the `T`, the offset may be any and the fraction may have
    /// up to nine digits. More digits are refused, since dropping them would change the time. A leap second, `:60`,
    /// is read as the second before it. The wider forms of RFC 9557 and ISO 8601 that need no knowledge of time
    /// zones are taken too (`20261101T140000Z`, `+01`, a `[zone]` behind the offset, which is ignored).
    ///
    /// # Errors
    ///
    /// A text that is no such time, one without an offset, and a time before [`Timestamp::MIN`] or after
    /// [`Timestamp::MAX`].
    pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
        match text::parse_usual(text) {
            Some(time) => Ok(time),
            None => parse_any(text),
        }
    }

    /// Reads a time as a person gives it on a command line, `now` being the present.
    ///
    /// | text | means |
    /// |---|---|
    /// | `2026-11-01T14:00:00+01:00` | RFC 3339, as [`parse`](Timestamp::parse) takes it |
    /// | `2026-11-01` | midnight at the beginning of that day, UTC |
    /// | `2026-11-01 14:00`, `2026-11-01 14:00:30.5` | that time of day, UTC; a `T` may stand for the space |
    /// | `now` | `now` |
    /// | `today`, `yesterday`, `tomorrow` | midnight at the beginning of that day, UTC |
    /// | `yesterday 14:00`, `today 09:30:15` | that time of day, UTC |
    /// | `-2h`, `-90s`, `-1d12h`, `+15m` | before or after `now`: see [`parse_duration`] |
    ///
    /// A bare number is refused: it could be a position, a year or seconds.
    ///
    /// # Errors
    ///
    /// A text of none of these forms, and a time outside [`Timestamp::MIN`] to [`Timestamp::MAX`].
    pub fn parse_relative(text: &str, now: Timestamp) -> Result<Timestamp, TimeError> {
        relative::parse(text, now)
    }

    /// The time `duration` later; `None` beyond [`Timestamp::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Timestamp> {
        let nanos = i128::from(self.0).checked_add(i128::try_from(duration.as_nanos()).ok()?)?;
        i64::try_from(nanos).ok().map(Timestamp)
    }

    /// The time `duration` earlier; `None` before [`Timestamp::MIN`].
    pub fn checked_sub(self, duration: Duration) -> Option<Timestamp> {
        let nanos = i128::from(self.0).checked_sub(i128::try_from(duration.as_nanos()).ok()?)?;
        i64::try_from(nanos).ok().map(Timestamp)
    }
}

/// Appends the text of a time, without a detour through a formatter: an export writes two of these an event.
pub(crate) fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    out.extend_from_slice(text::Text::of(time).as_str().as_bytes());
}

/// Reads what [`text::parse_usual`] left aside, and finds the reason where it is no time at all.
fn parse_any(text: &str) -> Result<Timestamp, TimeError> {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => match i64::try_from(time.as_nanosecond()) {
            Ok(nanos) => Ok(Timestamp(nanos)),
            Err(_) => Err(TimeError::out_of_range(text)),
        },
        Err(_) if text::year(text).is_some_and(|year| !(1677..=2262).contains(&year)) => {
            Err(TimeError::out_of_range(text))
        }
        Err(_) if text::fraction_is_too_long(text) => {
            Err(TimeError::new(text, "is no time: it has more than nine fraction digits"))
        }
        Err(reason) => Err(TimeError::new(text, &format!("is no RFC 3339 time: {reason}"))),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(text::Text::of(*self).as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Timestamp, TimeError> {
        Timestamp::parse(text)
    }
}

impl From<SystemTime> for Timestamp {
    /// The nearest timestamp: a time outside the range becomes [`Timestamp::MIN`] or [`Timestamp::MAX`].
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp::UNIX_EPOCH.checked_add(after).unwrap_or(Timestamp::MAX),
            Err(before) => Timestamp::UNIX_EPOCH.checked_sub(before.duration()).unwrap_or(Timestamp::MIN),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> SystemTime {
        let distance = Duration::from_nanos(time.0.unsigned_abs());
        if time.0 < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text::Text::of(*self).as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time as text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A text that is no time or no duration, with the reason: one line that names the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeError {
    line: Box<str>,
}

impl TimeError {
    /// `reason` follows the quoted text in the sentence.
    fn new(text: &str, reason: &str) -> TimeError {
        let line = format!("`{}` {}", one_line(text, 64), one_line(reason, 200));
        TimeError { line: line.into() }
    }

    fn out_of_range(text: &str) -> TimeError {
        let reason = format!("lies outside {} to {}", Timestamp::MIN, Timestamp::MAX);
        TimeError::new(text, &reason)
    }
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for TimeError {}

/// The first `chars_max` characters of a text from outside, with nothing in them that could break the line or
/// command a terminal.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    for (index, char) in text.chars().enumerate() {
        if index == chars_max {
            line.push('…');
            break;
        }
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    line
}
