//! The usual text of a time, read and written without allocation.
//!
//! ```text
//!  0    4 5  7 8  10 11 13 14 16 17 19
//!  YYYY - MM - DD T HH : MM : SS [. 1 to 9 digits] (Z | +HH:MM | -HH:MM)
//! ```
//!
//! An import reads two of these a line and an export writes two, so they are parsed and printed here, by hand.
//! Everything else that a time may look like is left to jiff, and a property test holds the two to the same answers.
//!
//! The calendar is the proleptic Gregorian one. Both conversions between days and dates count years from the first
//! of March, so that the leap day is the last of its year: Howard Hinnant, "chrono-Compatible Low-Level Date
//! Algorithms".

use super::{NANOS_PER_SECOND, Timestamp};

pub(super) const SECONDS_PER_DAY: i64 = 86_400;
/// From 0000-03-01, where the cycle of 400 years begins, to 1970-01-01.
const DAYS_FROM_CYCLE_TO_EPOCH: i64 = 719_468;
const DAYS_PER_400_YEARS: i64 = 146_097;

/// Bytes of the longest text, such as `1677-09-21T00:12:43.145224192Z`.
const TEXT_BYTES_MAX: usize = 30;

/// The text of a timestamp, in place.
pub(super) struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    /// At most `TEXT_BYTES_MAX`; every byte before it is ASCII.
    len: usize,
}

impl Text {
    pub(super) fn of(time: Timestamp) -> Text {
        let nanos = time.as_nanos();
        let seconds = nanos.div_euclid(NANOS_PER_SECOND);
        let fraction = nanos.rem_euclid(NANOS_PER_SECOND) as u32;
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY) as u32;
        let (year, month, day) = date_of_day(seconds.div_euclid(SECONDS_PER_DAY));

        let [y1, y2] = two_digits(year / 100);
        let [y3, y4] = two_digits(year % 100);
        let [mo1, mo2] = two_digits(month);
        let [d1, d2] = two_digits(day);
        let [h1, h2] = two_digits(second_of_day / 3600);
        let [m1, m2] = two_digits(second_of_day / 60 % 60);
        let [s1, s2] = two_digits(second_of_day % 60);
        let mut bytes = [b'0'; TEXT_BYTES_MAX];
        bytes[..19].copy_from_slice(&[
            y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2,
        ]);

        let mut len = 19;
        if fraction != 0 {
            bytes[len] = b'.';
            let mut digits = fraction;
            for place in (len + 1..len + 10).rev() {
                bytes[place] = b'0' + (digits % 10) as u8;
                digits /= 10;
            }
            len += 10;
            // The fraction is not 0, so this stops behind its last digit that is not.
            while bytes[len - 1] == b'0' {
                len -= 1;
            }
        }
        bytes[len] = b'Z';
        Text {
            bytes,
            len: len + 1,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.bytes[..self.len]) {
            Ok(text) => text,
            Err(_) => unreachable!("the text of a time is ASCII"),
        }
    }
}

/// Reads the usual shape alone. `None` says nothing about the text but that it is not of that shape, or that its
/// time is beyond the range.
pub(super) fn parse_usual(text: &str) -> Option<Timestamp> {
    let (head, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        mo1,
        mo2,
        b'-',
        d1,
        d2,
        b'T' | b't' | b' ',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
    ] = head
    else {
        return None;
    };
    let day = day_of_date([y1, y2, y3, y4], [mo1, mo2], [d1, d2])?;
    let second = second_of_day([h1, h2], [m1, m2], [s1, s2])?;
    let (fraction, rest) = parse_fraction(rest)?;
    let offset = parse_offset(rest)?;
    timestamp(day * SECONDS_PER_DAY + second - offset, fraction)
}

/// Reads `YYYY-MM-DD` as days since 1970-01-01.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2] = text.as_bytes() else {
        return None;
    };
    day_of_date([y1, y2, y3, y4], [mo1, mo2], [d1, d2])
}

/// Reads `H:MM`, `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction` as seconds of the day and nanoseconds.
pub(super) fn parse_clock(text: &str) -> Option<(i64, u32)> {
    match *text.as_bytes() {
        [h2, b':', m1, m2] => Some((second_of_day([b'0', h2], [m1, m2], *b"00")?, 0)),
        [h1, h2, b':', m1, m2] => Some((second_of_day([h1, h2], [m1, m2], *b"00")?, 0)),
        [h1, h2, b':', m1, m2, b':', s1, s2, ref rest @ ..] => {
            let second = second_of_day([h1, h2], [m1, m2], [s1, s2])?;
            match parse_fraction(rest)? {
                (fraction, []) => Some((second, fraction)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The timestamp `nanos` (below a second) after `seconds` since 1970; `None` out of range.
pub(super) fn timestamp(seconds: i64, nanos: u32) -> Option<Timestamp> {
    // The product alone may lie below i64 where the sum does not, so it is made in i128.
    let nanos = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

/// The year that a text begins with, for the reason of an error.
pub(super) fn year(text: &str) -> Option<u32> {
    let &[y1, y2, y3, y4] = text.as_bytes().first_chunk::<4>()?;
    Some(number([y1, y2])? * 100 + number([y3, y4])?)
}

/// Whether the text holds ten digits behind a point, for the reason of an error.
pub(super) fn fraction_is_too_long(text: &str) -> bool {
    text.split_once(['.', ',']).is_some_and(|(_, fraction)| {
        fraction
            .bytes()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
            > 9
    })
}

/// Reads a point and one to nine digits, as nanoseconds, and gives back what follows; no point is no fraction.
fn parse_fraction(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let Some((b'.', mut rest)) = bytes.split_first() else {
        return Some((0, bytes));
    };
    let mut nanos = 0;
    let mut unit = NANOS_PER_SECOND as u32;
    while let Some((byte @ b'0'..=b'9', after)) = rest.split_first() {
        unit /= 10;
        if unit == 0 {
            return None;
        }
        nanos += u32::from(byte - b'0') * unit;
        rest = after;
    }
    (unit != NANOS_PER_SECOND as u32).then_some((nanos, rest))
}

/// Reads `Z`, `+HH:MM` or `-HH:MM` and nothing behind it, as seconds east of UTC.
fn parse_offset(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = second_of_day([h1, h2], [m1, m2], *b"00")?;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// The second of the day, 0 to 86,399. A leap second is none of them.
fn second_of_day(hour: [u8; 2], minute: [u8; 2], second: [u8; 2]) -> Option<i64> {
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then(|| i64::from(hour * 3600 + minute * 60 + second))
}

/// Days since 1970-01-01 of a date that exists.
fn day_of_date(year: [u8; 4], month: [u8; 2], day: [u8; 2]) -> Option<i64> {
    let [y1, y2, y3, y4] = year;
    let year = number([y1, y2])? * 100 + number([y3, y4])?;
    let (month, day) = (number(month)?, number(day)?);
    if !(1..=days_of_month(year, month)?).contains(&day) {
        return None;
    }
    // Years and months of the calendar that begins in March.
    let year = i64::from(year) - i64::from(month <= 2);
    let month = (month + 9) % 12;
    let cycle = year.div_euclid(400);
    let year = year.rem_euclid(400);
    let day_of_year = i64::from((153 * month + 2) / 5 + day - 1);
    let day_of_cycle = year * 365 + year / 4 - year / 100 + day_of_year;
    Some(cycle * DAYS_PER_400_YEARS + day_of_cycle - DAYS_FROM_CYCLE_TO_EPOCH)
}

fn days_of_month(year: u32, month: u32) -> Option<u32> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            Some(29)
        }
        2 => Some(28),
        _ => None,
    }
}

/// Year, month and day of a day since 1970-01-01, which must lie within the range of a timestamp.
fn date_of_day(day: i64) -> (u32, u32, u32) {
    let day = day + DAYS_FROM_CYCLE_TO_EPOCH;
    let cycle = day.div_euclid(DAYS_PER_400_YEARS);
    let day_of_cycle = day.rem_euclid(DAYS_PER_400_YEARS) as u32;
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = cycle as u32 * 400 + year_of_cycle + u32::from(month <= 2);
    (year, month, day)
}

/// Reads two decimal digits.
fn number(digits: [u8; 2]) -> Option<u32> {
    let [tens, ones] = digits.map(|digit| digit.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Prints a number below 100.
fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}
