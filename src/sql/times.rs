//! Times as SQL compares them.
//!
//! The two columns of times are RFC 3339 texts whose fractions are cut where they end, so their bytes do not stand in
//! the order of time: `.5Z` comes before `Z`. The collation [`NAME`] compares what the texts mean. It also knows the
//! texts that a person compares with: a year, a month, a day, a day with a time (all UTC), and any RFC 3339 spelling.
//! Texts that are no times come after all times, in the order of their bytes, so the order is total.

use std::cmp::Ordering;

use crate::time::Timestamp;

/// The collation of the columns that hold times.
pub(super) const NAME: &str = "annals_time";

/// Compares two texts by the times that they stand for.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    match (nanos(left), nanos(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}

/// The time that a text stands for, in nanoseconds since 1970 UTC; also of times that no event can have.
pub(super) fn nanos(text: &str) -> Option<i128> {
    if let Ok(time) = Timestamp::parse(text) {
        return Some(i128::from(time.as_nanos()));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_nanosecond());
    }
    // Only these shapes: jiff reads more than RFC 3339 has, such as weeks, which would surprise.
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    let full = match shape.as_str() {
        "0000" => format!("{text}-01-01T00:00:00Z"),
        "0000-00" => format!("{text}-01T00:00:00Z"),
        "0000-00-00" => format!("{text}T00:00:00Z"),
        "0000-00-00 00:00" | "0000-00-00T00:00" => format!("{text}:00Z"),
        _ if shape.starts_with("0000-00-00 00:00:00") || shape.starts_with("0000-00-00T00:00:00") => {
            format!("{}Z", text.strip_suffix('Z').unwrap_or(text))
        }
        _ => return None,
    };
    match full.parse::<jiff::Timestamp>() {
        Ok(time) => Some(time.as_nanosecond()),
        // jiff ends a day before the year 9999 does, with which many mean "never".
        Err(_) => {
            let civil = full.strip_suffix('Z')?.parse::<jiff::civil::DateTime>();
            civil.is_ok().then_some(jiff::Timestamp::MAX.as_nanosecond())
        }
    }
}

/// The nearest time that an event can have.
pub(super) fn nearest(nanos: i128) -> Timestamp {
    let clamped = nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(clamped).map_or(Timestamp::MAX, Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_compare_by_what_they_mean() {
        let ascending = [
            "0001-01-01",
            "1600",
            "1970-01-01",
            "2026",
            "2026-02",
            "2026-10-31T23:59:59.999999999Z",
            "2026-11-01",
            "2026-11-01T00:00:00.000000001Z",
            "2026-11-01T00:00:00.5Z",
            "2026-11-01T00:00:00.51Z",
            "2026-11-01 00:01",
            "2026-11-01T02:00:00+01:00",
            "2026-11-01T01:00:00.1Z",
            "9999-12-31T23:59:59Z",
            "",
            "2026-13-01",
            "20261101",
            "yesterday",
        ];
        for (index, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), index.cmp(&other), "{left} {right}");
            }
        }
    }

    #[test]
    fn spellings_of_one_time_are_equal() {
        for text in ["2026-11-01T00:00:00Z", "2026-11-01 00:00:00", "2026-11-01T01:00:00+01:00", "2026-11-01T00:00"] {
            assert_eq!(compare(text, "2026-11-01"), Ordering::Equal, "{text}");
        }
        assert_eq!(compare("9999-12-31", "9999-12-31T23:59:59Z"), Ordering::Equal, "as far as times go");
    }

    #[test]
    fn a_time_that_no_event_can_have_becomes_the_nearest() {
        assert_eq!(nearest(nanos("1600").unwrap()), Timestamp::MIN);
        assert_eq!(nearest(nanos("9999-01-01").unwrap()), Timestamp::MAX);
    }
}
