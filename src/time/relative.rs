//! Times and durations as a person types them.

use std::time::Duration;

use super::text::{SECONDS_PER_DAY, parse_clock, parse_date, parse_usual, timestamp};
use super::{NANOS_PER_SECOND, TimeError, Timestamp};

/// Units from the longest to the shortest, the order in which a duration names them, with their nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("w", 7 * 86_400 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: `90s`, `2h`, `7d`, `1d12h`, `250ms`.
///
/// The units are `w`, `d`, `h`, `m` (minutes), `s`, `ms`, `us` and `ns`, each a whole number and its unit, longest
/// unit first, each at most once. A day is 24 hours and a week seven of them.
///
/// ```
/// use annals::time::parse_duration;
/// use std::time::Duration;
///
/// assert_eq!(parse_duration("1d12h")?, Duration::from_secs(36 * 3600));
/// assert!(parse_duration("90").is_err());
/// # Ok::<(), annals::time::TimeError>(())
/// ```
///
/// # Errors
///
/// A text of another form, and a duration that is longer than [`Duration::MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let refuse = |reason: &str| TimeError::new(text, reason);
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refuse("is no duration: give one such as 90s, 2h or 1d12h"));
    }
    let mut nanos: u128 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let (count, after) = split_where(rest, |char| !char.is_ascii_digit());
        let (unit, after) = split_where(after, |char| !char.is_ascii_alphabetic());
        if count.is_empty() {
            return Err(refuse("is no duration: give one such as 90s, 2h or 1d12h"));
        }
        if unit.is_empty() {
            return Err(refuse(
                "is no duration: each number needs a unit, one of w d h m s ms us ns",
            ));
        }
        let Some((_, unit_nanos)) = units.find(|(name, _)| *name == unit) else {
            let known = UNITS.iter().any(|(name, _)| *name == unit);
            return Err(refuse(if known {
                "is no duration: units go from the longest to the shortest, each at most once"
            } else {
                "is no duration: the units are w d h m s ms us ns"
            }));
        };
        let count: u64 = count.parse().map_err(|_| refuse("is too long"))?;
        nanos += u128::from(count) * u128::from(*unit_nanos);
        rest = after;
    }
    let nanos_per_second = NANOS_PER_SECOND as u128;
    let seconds = u64::try_from(nanos / nanos_per_second).map_err(|_| refuse("is too long"))?;
    Ok(Duration::new(seconds, (nanos % nanos_per_second) as u32))
}

/// [`Timestamp::parse_relative`], which says what it takes.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, TimeError> {
    let text = text.trim();
    if let Some(time) = parse_usual(text) {
        return Ok(time);
    }
    let out_of_range = || TimeError::out_of_range(text);
    if let Some(distance) = text.strip_prefix('-') {
        return now
            .checked_sub(parse_duration(distance)?)
            .ok_or_else(out_of_range);
    }
    if let Some(distance) = text.strip_prefix('+') {
        return now
            .checked_add(parse_duration(distance)?)
            .ok_or_else(out_of_range);
    }
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if let Some((day, clock)) = split_day(text, now) {
        let clock = match clock {
            "" => Some((0, 0)),
            clock => parse_clock(clock),
        };
        if let Some((second, fraction)) = clock {
            return timestamp(day * SECONDS_PER_DAY + second, fraction).ok_or_else(out_of_range);
        }
    }
    match Timestamp::parse(text) {
        // What begins with a year was meant for a full time, and the reason of that parser says more.
        Err(error) if text.as_bytes().get(4) == Some(&b'-') => Err(error),
        Err(_) => Err(TimeError::new(
            text,
            "is no time: give 2026-11-01T14:00:00Z, 2026-11-01, 2026-11-01 14:00, -2h, now, today or yesterday 14:00 (UTC)",
        )),
        Ok(time) => Ok(time),
    }
}

/// Splits off a leading date or name of a day, as days since 1970; what is left is the time of day or empty.
fn split_day(text: &str, now: Timestamp) -> Option<(i64, &str)> {
    if let Some((date, after)) = text.split_at_checked(10)
        && let Some(day) = parse_date(date)
    {
        return match after.strip_prefix(['T', 't', ' ']) {
            Some(clock) if !clock.is_empty() => Some((day, clock.trim_start())),
            Some(_) => None,
            None => after.is_empty().then_some((day, "")),
        };
    }
    let (word, clock) = split_where(text, char::is_whitespace);
    let days_from_today = [("yesterday", -1), ("today", 0), ("tomorrow", 1)]
        .into_iter()
        .find_map(|(name, days)| word.eq_ignore_ascii_case(name).then_some(days))?;
    let today = now
        .as_nanos()
        .div_euclid(SECONDS_PER_DAY * NANOS_PER_SECOND);
    Some((today + days_from_today, clock.trim_start()))
}

/// Splits before the first character that `ends` accepts, or at the end.
fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}
