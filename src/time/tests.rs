use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::text::parse_usual;
use super::{TimeError, Timestamp, parse_duration};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn error(result: Result<Timestamp, TimeError>) -> String {
    result.unwrap_err().to_string()
}

/// What jiff alone makes of a text.
fn oracle(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

#[test]
fn text_has_as_many_digits_as_it_needs() {
    for text in [
        "1970-01-01T00:00:00Z",
        "2026-11-01T14:00:00Z",
        "2026-11-01T14:00:00.5Z",
        "2026-11-01T14:00:00.123Z",
        "2026-11-01T14:00:00.000001Z",
        "2026-11-01T14:00:00.100000001Z",
        "2026-11-01T14:00:00.000000001Z",
        "2026-11-01T14:00:00.999999999Z",
        "1969-12-31T23:59:59.999999999Z",
        "2000-02-29T00:00:00Z",
        "1900-02-28T23:59:59Z",
        "1677-09-21T00:12:43.145224192Z",
        "2262-04-11T23:47:16.854775807Z",
    ] {
        assert_eq!(at(text).to_string(), text);
    }
    assert_eq!(at("1677-09-21T00:12:43.145224192Z"), Timestamp::MIN);
    assert_eq!(at("2262-04-11T23:47:16.854775807Z"), Timestamp::MAX);
    assert_eq!(Timestamp::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(format!("{:>22}|", at("1970-01-01T00:00:00Z")), "  1970-01-01T00:00:00Z|");
}

#[test]
fn the_usual_shapes_never_reach_jiff() {
    for (text, same) in [
        ("2014-03-04T15:22:44-08:00", "2014-03-04T23:22:44Z"),
        ("2017-01-09T09:49:50.000+01:00", "2017-01-09T08:49:50Z"),
        ("2015-09-12T00:46:58.771Z", "2015-09-12T00:46:58.771Z"),
        ("2015-09-12t00:46:58.771z", "2015-09-12T00:46:58.771Z"),
        ("2015-09-12 00:46:58-00:00", "2015-09-12T00:46:58Z"),
        ("2016-02-29T23:59:59.123456789+23:59", "2016-02-29T00:00:59.123456789Z"),
    ] {
        assert_eq!(parse_usual(text), Some(at(same)), "{text}");
    }
}

#[test]
fn the_calendar_is_right_on_every_day_of_the_range() {
    for year in (1678..2262).step_by(crate::trials::STRIDE.min(97)) {
        for month in 1..=12 {
            for day in 0..=32 {
                let text = format!("{year}-{month:02}-{day:02}T23:59:59Z");
                let time = parse_usual(&text);
                assert_eq!(time, oracle(&text), "{text}");
                if let Some(time) = time {
                    assert_eq!(time.to_string(), text);
                }
            }
        }
    }
}

#[test]
fn the_rarer_shapes_are_read_too() {
    for (text, same) in [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("20261101T140000Z", "2026-11-01T14:00:00Z"),
        ("2026-11-01T14:00:00+01", "2026-11-01T13:00:00Z"),
        ("2026-11-01T14:00:00+01:00[Europe/Paris]", "2026-11-01T13:00:00Z"),
    ] {
        assert_eq!(parse_usual(text), None, "{text}");
        assert_eq!(at(text), at(same), "{text}");
    }
}

#[test]
fn what_is_no_time_says_why_on_one_line() {
    for text in [
        "",
        "soon",
        "42",
        "1793538000",
        "2026-11-01",
        "2026-11-01T14:00:00",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T14:00:00.Z",
        "2026-11-01T14:00:00Z ",
        "2026-11-01T14:00:00Z\n\u{1b}[31m",
        "２０２６-11-01T14:00:00Z",
    ] {
        assert_eq!(parse_usual(text), None, "{text:?}");
        let error = error(Timestamp::parse(text));
        assert!(!error.contains(char::is_control), "{error:?}");
        assert!(error.contains("is no RFC 3339 time: "), "{error}");
    }
    assert_eq!(
        error(Timestamp::parse("2026-11-01T14:00:00.1234567890Z")),
        "`2026-11-01T14:00:00.1234567890Z` is no time: it has more than nine fraction digits"
    );
    let long = "x".repeat(1 << 20);
    assert!(error(Timestamp::parse(&long)).len() < 1000);
}

#[test]
fn times_out_of_range_are_refused_as_such() {
    for text in [
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1677-09-21T00:12:43.145224191Z",
        "2262-04-11T23:47:16.854775808Z",
        "2262-04-11T23:47:16.854775807-00:01",
        "3000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ] {
        let error = error(Timestamp::parse(text));
        assert!(error.contains("lies outside 1677-09-21T00:12:43"), "{error}");
    }
}

#[test]
fn json_is_the_text() {
    let time = at("2026-11-01T14:00:00.25Z");
    let json = serde_json::to_string(&time).unwrap();
    assert_eq!(json, "\"2026-11-01T14:00:00.25Z\"");
    assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
    assert!(serde_json::from_str::<Timestamp>("1793538000").is_err());
    let error = serde_json::from_str::<Timestamp>("\"soon\"").unwrap_err();
    assert!(error.to_string().contains("`soon`"), "{error}");
}

#[test]
fn the_clock_of_the_system_is_the_same_moment_and_saturates() {
    let time = at("1969-12-31T23:59:59.75Z");
    assert_eq!(SystemTime::from(time), UNIX_EPOCH - Duration::from_millis(250));
    for time in [time, Timestamp::UNIX_EPOCH, at("2026-11-01T14:00:00.000000001Z")] {
        assert_eq!(Timestamp::from(SystemTime::from(time)), time);
    }
    let far = Duration::from_secs(400 * 366 * 86_400);
    assert_eq!(Timestamp::from(UNIX_EPOCH + far), Timestamp::MAX);
    if let Some(long_ago) = UNIX_EPOCH.checked_sub(far) {
        assert_eq!(Timestamp::from(long_ago), Timestamp::MIN);
    }
    assert!(Timestamp::now() > at("2024-01-01T00:00:00Z"));
}

#[test]
fn adding_and_subtracting_stop_at_the_range() {
    let nano = Duration::from_nanos(1);
    assert_eq!(Timestamp::MAX.checked_add(nano), None);
    assert_eq!(Timestamp::MIN.checked_sub(nano), None);
    assert_eq!(Timestamp::MIN.checked_add(Duration::MAX), None);
    assert_eq!(Timestamp::MAX.checked_sub(Duration::MAX), None);
    let whole_range = Duration::from_nanos(u64::MAX);
    assert_eq!(Timestamp::MIN.checked_add(whole_range), Some(Timestamp::MAX));
    assert_eq!(Timestamp::MAX.checked_sub(whole_range), Some(Timestamp::MIN));
}

#[test]
fn a_person_names_times_by_their_distance_and_by_their_day() {
    let now = at("2026-03-01T10:20:30.5Z");
    for (text, same) in [
        ("now", "2026-03-01T10:20:30.5Z"),
        ("NOW", "2026-03-01T10:20:30.5Z"),
        ("-2h", "2026-03-01T08:20:30.5Z"),
        ("-90s", "2026-03-01T10:19:00.5Z"),
        ("-15m", "2026-03-01T10:05:30.5Z"),
        ("-3d", "2026-02-26T10:20:30.5Z"),
        ("-1w", "2026-02-22T10:20:30.5Z"),
        ("+2h", "2026-03-01T12:20:30.5Z"),
        ("+1d12h", "2026-03-02T22:20:30.5Z"),
        ("-250ms", "2026-03-01T10:20:30.25Z"),
        ("today", "2026-03-01T00:00:00Z"),
        ("yesterday", "2026-02-28T00:00:00Z"),
        ("tomorrow", "2026-03-02T00:00:00Z"),
        ("yesterday 14:00", "2026-02-28T14:00:00Z"),
        ("today  09:30", "2026-03-01T09:30:00Z"),
        ("today 9:30", "2026-03-01T09:30:00Z"),
        ("Today 09:30:15.25", "2026-03-01T09:30:15.25Z"),
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        ("2026-11-01 14:00", "2026-11-01T14:00:00Z"),
        ("2026-11-01T14:00", "2026-11-01T14:00:00Z"),
        ("2026-11-01 14:00:30", "2026-11-01T14:00:30Z"),
        ("2026-11-01T14:00:00+01:00", "2026-11-01T13:00:00Z"),
        ("2026-11-01 14:00Z", "2026-11-01T14:00:00Z"),
        (" 2026-11-01 ", "2026-11-01T00:00:00Z"),
        (" 2026-11-01T14:00:00Z ", "2026-11-01T14:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("20261101T140000Z", "2026-11-01T14:00:00Z"),
        ("2262-04-11", "2262-04-11T00:00:00Z"),
    ] {
        assert_eq!(Timestamp::parse_relative(text, now), Ok(at(same)), "{text}");
    }
    // Before 1970 the day still begins at its midnight.
    let old = at("1950-06-15T18:00:00Z");
    assert_eq!(Timestamp::parse_relative("today", old), Ok(at("1950-06-15T00:00:00Z")));
}

#[test]
fn a_person_is_told_what_a_time_looks_like() {
    let now = at("2026-03-01T10:20:30.5Z");
    for (text, reason) in [
        ("", "is no time: give 2026-11-01T14:00:00Z"),
        ("42", "is no time: give 2026-11-01T14:00:00Z"),
        ("last week", "is no time: give 2026-11-01T14:00:00Z"),
        ("now 14:00", "is no time: give 2026-11-01T14:00:00Z"),
        ("yesterday 25:00", "is no time: give 2026-11-01T14:00:00Z"),
        ("yesterday14:00", "is no time: give 2026-11-01T14:00:00Z"),
        ("2026-02-30", "is no RFC 3339 time: "),
        ("today 930", "is no time: give 2026-11-01T14:00:00Z"),
        ("2026-11-01x", "is no RFC 3339 time: "),
        ("2026-11-01T", "is no RFC 3339 time: "),
        ("2026-11-01 14:0", "is no RFC 3339 time: "),
        ("3000-01-01", "lies outside 1677"),
        ("-2", "is no duration: each number needs a unit"),
        ("-", "is no duration: give one such as"),
        ("--2h", "is no duration: give one such as"),
        ("-300000d", "`-300000d` lies outside"),
        ("+300000d", "`+300000d` lies outside"),
        ("+1d tomorrow", "is no duration"),
    ] {
        let error = error(Timestamp::parse_relative(text, now));
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn durations_are_numbers_with_units() {
    for (text, nanos) in [
        ("2h", 7_200_000_000_000),
        ("90s", 90_000_000_000),
        ("7d", 604_800_000_000_000),
        ("1w", 604_800_000_000_000),
        ("1d12h", 129_600_000_000_000),
        ("250ms", 250_000_000),
        ("1m30s", 90_000_000_000),
        ("1w2d3h4m5s6ms7us8ns", 788_645_006_007_008),
        ("0s", 0),
        (" 5m ", 300_000_000_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
    for (text, reason) in [
        ("", "give one such as 90s, 2h or 1d12h"),
        ("h", "give one such as"),
        ("-2h", "give one such as"),
        ("1.5h", "each number needs a unit"),
        ("90", "each number needs a unit"),
        ("1d 12h", "give one such as"),
        ("2y", "the units are w d h m s ms us ns"),
        ("2H", "the units are w d h m s ms us ns"),
        ("5s2m", "from the longest to the shortest"),
        ("1h2h", "from the longest to the shortest"),
        ("99999999999999999999s", "is too long"),
        ("18446744073709551615w", "is too long"),
    ] {
        let error = parse_duration(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

/// Texts near the usual shape: each field may be just beyond what it allows.
fn nearly_usual() -> impl Strategy<Value = String> {
    let date = (0u32..2500, 0u32..14, 0u32..33);
    let clock = (0u32..25, 0u32..61, 0u32..62);
    let separator = prop::sample::select(vec!["T", "t", " ", "_", ""]);
    let offset = prop_oneof![
        3 => prop::sample::select(vec!["Z", "z", "", "+1", "+01", "+0100", "-00:00"]).prop_map(String::from),
        2 => ("[+-]", 0u32..26, 0u32..61).prop_map(|(sign, h, m)| format!("{sign}{h:02}:{m:02}")),
    ];
    (date, separator, clock, "(|\\.[0-9]{0,11})", offset).prop_map(
        |((year, month, day), separator, (hour, minute, second), fraction, offset)| {
            format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{offset}")
        },
    )
}

proptest! {
    #![proptest_config(crate::trials::cases(4_096))]

    #[test]
    fn every_nanosecond_survives_its_text(nanos in any::<i64>()) {
        let time = Timestamp::from_nanos(nanos);
        let text = time.to_string();
        prop_assert_eq!(parse_usual(&text), Some(time));
        let jiff = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
        prop_assert_eq!(text, jiff.to_string());
    }

    #[test]
    fn round_times_survive_their_text(seconds in -9_223_372_036i64..9_223_372_036, step in 0u32..10, count in 0i64..1000) {
        let nanos = seconds * 1_000_000_000 + count * 10i64.pow(step) % 1_000_000_000;
        let time = Timestamp::from_nanos(nanos);
        let text = time.to_string();
        prop_assert_eq!(parse_usual(&text), Some(time));
        let jiff = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
        prop_assert_eq!(text, jiff.to_string());
    }

    #[test]
    fn the_fast_path_and_jiff_agree(text in nearly_usual()) {
        let usual = parse_usual(&text);
        if usual.is_some() {
            prop_assert_eq!(usual, oracle(&text));
        }
        prop_assert_eq!(Timestamp::parse(&text).ok(), oracle(&text));
    }

    #[test]
    fn a_damaged_byte_is_read_as_jiff_reads_it(nanos in any::<i64>(), place in any::<prop::sample::Index>(), byte in 0u8..128) {
        let mut bytes = Timestamp::from_nanos(nanos).to_string().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(Timestamp::parse(&text).ok(), oracle(&text), "{}", text);
    }

    #[test]
    fn any_text_is_answered(text in any::<String>(), nanos in any::<i64>()) {
        let now = Timestamp::from_nanos(nanos);
        for text in [text.clone(), format!("-{text}"), format!("today {text}"), format!("2026-11-01{text}")] {
            if let Err(error) = Timestamp::parse_relative(&text, now) {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }
    }
}
