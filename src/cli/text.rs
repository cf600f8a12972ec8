//! Texts and numbers as a person reads them: units, grouped digits, clean cells of a known width.

use std::borrow::Cow;
use std::time::Duration;

use annals::Timestamp;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 event`, `1,234 events`
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `812 B`, `3.4 KiB`, `64.0 MiB`
pub(crate) fn bytes(number: u64) -> String {
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64;
    let mut unit = "";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        // From 1,023.95 on it would be shown as 1024.0 of the smaller unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// Three significant digits with a unit: `840 ns`, `12.3 us`, `1.04 ms`, `12.0 s`, `2 min 05 s`.
pub(crate) fn span(duration: Duration) -> String {
    let nanos = duration.as_nanos() as f64;
    if nanos < 1e3 {
        return format!("{nanos:.0} ns");
    }
    let seconds = duration.as_secs();
    if seconds >= 60 {
        return format!("{} min {:02} s", count(seconds / 60), seconds % 60);
    }
    let (value, unit) = [(1e3, "us"), (1e6, "ms"), (1e9, "s")]
        .into_iter()
        .map(|(size, unit)| (nanos / size, unit))
        .find(|(value, _)| *value < 999.5)
        .unwrap_or((nanos / 1e9, "s"));
    format!("{} {unit}", three_digits(value))
}

/// A length of time as one says it: `a moment`, `45 s`, `12 min`, `1 h 59 min`, `3 d 4 h`.
pub(crate) fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let and = |rest: u64, unit: &str| if rest == 0 { String::new() } else { format!(" {rest} {unit}") };
    match seconds {
        0 => "a moment".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..172_800 => format!("{hours} h{}", and(minutes % 60, "min")),
        _ => format!("{} d{}", count(days), and(hours % 24, "h")),
    }
}

/// `5 min ago`, `in 1 h 59 min`
pub(crate) fn from_now(time: Timestamp, now: Timestamp) -> String {
    let nanos = i128::from(time.as_nanos()) - i128::from(now.as_nanos());
    let length = roughly(Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX)));
    if nanos < 0 { format!("{length} ago") } else { format!("in {length}") }
}

/// The text in lines of some columns at most, blanks at their ends apart; broken between words where it can be.
/// Nothing is left out.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in text.split_inclusive(' ') {
        if taken > 0 && taken + width(word.trim_end()) > columns {
            lines.push(String::new());
            taken = 0;
        }
        for char in word.chars() {
            let wide = char.width().unwrap_or(0);
            // A blank that has no room is not seen.
            if taken + wide > columns && char != ' ' {
                lines.push(String::new());
                taken = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(char);
            }
            taken += wide;
        }
    }
    lines
}

fn three_digits(value: f64) -> String {
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}")
}

/// How many in one second; 0 where no time has passed.
pub(crate) fn per_second(number: u64, duration: Duration) -> u64 {
    let seconds = duration.as_secs_f64();
    if seconds > 0.0 { (number as f64 / seconds) as u64 } else { 0 }
}

/// A time to the second, in UTC: `2026-11-01 14:00:00`.
pub(crate) fn when(time: Timestamp) -> String {
    let text = time.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => text,
    }
}

/// Characters that would break the line, command the terminal or turn the reading direction.
fn is_harmful(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with harmful characters escaped, so that it is one line and does nothing but be read.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_harmful(char) { cleaned.extend(char.escape_default()) } else { cleaned.push(char) }
    }
    Cow::Owned(cleaned)
}

/// How many columns of a terminal the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text if it fits, else its beginning and an ellipsis; never wider than `columns`.
pub(crate) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.len() <= columns || width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut fitted = String::new();
    let mut taken = 1;
    for char in text.chars() {
        taken += char.width().unwrap_or(0);
        if taken > columns {
            break;
        }
        fitted.push(char);
    }
    if columns > 0 {
        fitted.push('…');
    }
    Cow::Owned(fitted)
}

/// The beginning of an event's data on one line, of some `columns` at most.
pub(crate) fn preview(data: &[u8], columns: usize) -> String {
    // A character takes four bytes at most, so what is cut off here would not have been shown.
    let head = data.get(..columns.saturating_mul(4).saturating_add(4)).unwrap_or(data);
    let (text, rest) = match std::str::from_utf8(head) {
        Ok(text) => (text, false),
        // Cut within a character: the rest of the text is good.
        Err(error) if error.error_len().is_none() && head.len() < data.len() => {
            (std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(), true)
        }
        Err(_) => return format!("({} that are no text)", bytes(data.len() as u64)),
    };
    let mut line = clean(text).into_owned();
    if rest || head.len() < data.len() {
        line.push('…');
    }
    fit(&line, columns).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_and_units() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(counted(1, "event"), "1 event");
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (64 << 20, "64.0 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn durations_have_three_digits() {
        for (nanos, text) in [
            (0, "0 ns"),
            (840, "840 ns"),
            (1_040_000, "1.04 ms"),
            (12_340, "12.3 us"),
            (999_600, "1.00 ms"),
            (59_900_000_000, "59.9 s"),
            (125_000_000_000, "2 min 05 s"),
        ] {
            assert_eq!(span(Duration::from_nanos(nanos)), text, "{nanos}");
        }
        assert_eq!(per_second(10, Duration::ZERO), 0);
    }

    #[test]
    fn a_cell_never_commands_the_terminal_nor_exceeds_its_width() {
        assert_eq!(clean("a\u{1b}[31m\nb\u{202e}"), "a\\u{1b}[31m\\nb\\u{202e}");
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        for columns in 0..12 {
            assert!(width(&fit("ab日本語cdefgh", columns)) <= columns.max(1));
        }
    }

    #[test]
    fn a_preview_is_one_short_line_of_whatever_bytes() {
        assert_eq!(preview(b"{\"a\":1}", 20), "{\"a\":1}");
        assert_eq!(preview(b"{\n\"a\":1}", 20), "{\\n\"a\":1}");
        assert_eq!(preview(b"", 20), "");
        assert_eq!(preview(&[0xff, 0xfe], 40), "(2 B that are no text)");
        let long = "ä".repeat(1000);
        assert_eq!(width(&preview(long.as_bytes(), 20)), 20);
        assert!(preview(long.as_bytes(), 21).ends_with('…'));
    }

    #[test]
    fn lengths_of_time_are_said_as_people_say_them() {
        for (seconds, text) in [
            (0, "a moment"),
            (59, "59 s"),
            (60, "1 min"),
            (7199, "1 h 59 min"),
            (7200, "2 h"),
            (172_799, "47 h 59 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(roughly(Duration::from_secs(seconds)), text, "{seconds}");
        }
        let now = Timestamp::from_nanos(0);
        assert_eq!(from_now(Timestamp::from_nanos(300_000_000_000), now), "in 5 min");
        assert_eq!(from_now(Timestamp::from_nanos(-300_000_000_000), now), "5 min ago");
        assert_eq!(from_now(Timestamp::MAX, Timestamp::MIN).split(' ').next(), Some("in"));
    }

    #[test]
    fn text_is_wrapped_between_words_and_nothing_is_lost() {
        assert_eq!(wrap("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("", 3), [""]);
        let text = "a long-ish line of text with äöü and 日本語 in it";
        for columns in 1..60 {
            let lines = wrap(text, columns);
            assert_eq!(lines.concat(), text, "{columns}");
            assert!(lines.iter().all(|line| width(line.trim_end()) <= columns.max(2)), "{columns}: {lines:?}");
        }
    }

    #[test]
    fn a_time_is_shown_to_the_second() {
        assert_eq!(when(Timestamp::from_nanos(1_793_538_000_250_000_000)), "2026-11-01 13:00:00");
        assert_eq!(when(Timestamp::MIN), "1677-09-21 00:12:43");
    }
}
