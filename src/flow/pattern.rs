//! Patterns over subjects and actors: `*` stands for any characters, none among them.

use crate::catalog::{Action, Table};
use crate::query::TypePattern;

/// Whether a pattern such as `notes.update` or `notes.*` covers an action on a table; `*` alone covers any.
pub(crate) fn is_action(pattern: &str, table: &Table, action: Action) -> bool {
    pattern == "*" || TypePattern::new(pattern).matches(&format!("{}.{action}", table.name()))
}

/// A pattern; every text is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glob<'p>(&'p str);

impl<'p> Glob<'p> {
    pub(crate) fn new(pattern: &'p str) -> Glob<'p> {
        Glob(pattern)
    }

    /// Whether the pattern covers all of the text. The literal pieces are looked for from the left, each as early as it
    /// can be; only the last one has to stand at the end.
    pub(crate) fn matches(self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut left) = text.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            let Some(at) = left.find(piece) else { return false };
            left = &left[at + piece.len()..];
        }
        left.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meaning of a pattern, in a few plain lines.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    #[test]
    fn all_short_patterns_mean_what_the_naive_ones_do() {
        fn words(length: u32) -> impl Iterator<Item = String> {
            (0..3u32.pow(length)).map(move |mut number| {
                let mut word = String::new();
                for _ in 0..length {
                    word.push(['a', 'b', '*'][(number % 3) as usize]);
                    number /= 3;
                }
                word
            })
        }
        for pattern in (0..=4).flat_map(words) {
            for text in (0..=4).flat_map(words).filter(|text| !text.contains('*')) {
                let wanted = naive(pattern.as_bytes(), text.as_bytes());
                assert_eq!(Glob::new(&pattern).matches(&text), wanted, "{pattern} {text}");
            }
        }
    }
}
