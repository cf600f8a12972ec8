//! The strings of one column of a block or a dictionary: a list of lengths, and a run of the shared text. A reference
//! is 1 for the first string; 0 is none.

use std::collections::HashMap;

use super::column::Ints;
use crate::format::{Bad, Parsed};

/// Bytes of one string at most: lengths of an event's strings are `u16`.
pub(crate) const STRING_BYTES_MAX: i64 = u16::MAX as i64;

/// Where strings lie in the text.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    start: u32,
    ends: Box<[u32]>,
}

impl Strings {
    pub(crate) fn new(start: u32, ends: Box<[u32]>) -> Strings {
        Strings { start, ends }
    }

    /// Lays strings of these lengths out from `at` on, which moves behind them. The text is checked later.
    pub(crate) fn lay_out(bytes: &[u8], lengths: &Ints, text_max: usize, at: &mut usize) -> Parsed<Strings> {
        let start = *at as u32;
        let mut all = Vec::new();
        lengths.unpack(bytes, &mut all);
        let ends = all.into_iter().map(|len| {
            let long = || Bad::new(0, format!("strings of {text_max} bytes in all"), format!("one of {len} more"));
            if !(0..=STRING_BYTES_MAX).contains(&len) {
                return Err(long());
            }
            *at += len as usize;
            if *at > text_max { Err(long()) } else { Ok(*at as u32) }
        });
        Ok(Strings { start, ends: ends.collect::<Parsed<_>>()? })
    }

    /// Whether each string begins and ends at a character, so that none reads as empty by mistake.
    pub(crate) fn check(&self, text: &str) -> Parsed<()> {
        match self.ends.iter().find(|end| !text.is_char_boundary(**end as usize)) {
            None => Ok(()),
            Some(end) => Err(Bad::new(0, "strings that end at characters", format!("an end at {end} of the text"))),
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The string behind a reference, which is not 0.
    #[inline]
    pub(crate) fn get<'t>(&self, text: &'t str, reference: u32) -> Option<&'t str> {
        let index = reference.checked_sub(1)? as usize;
        let end = *self.ends.get(index)?;
        let start = if index == 0 { self.start } else { *self.ends.get(index - 1)? };
        text.get(start as usize..end as usize)
    }

    pub(crate) fn iter<'t>(&self, text: &'t str) -> impl Iterator<Item = (u32, &'t str)> + use<'_, 't> {
        (1..=self.len()).map(move |reference| (reference, self.get(text, reference).unwrap_or_default()))
    }

    pub(crate) fn memory(&self) -> usize {
        self.ends.len() * size_of::<u32>()
    }
}

/// Numbers strings in the order of their first appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner<S> {
    known: HashMap<S, u32>,
    pub(crate) lengths: Vec<i64>,
    pub(crate) text: String,
}

impl Interner<Box<str>> {
    pub(crate) fn reference(&mut self, string: &str) -> u32 {
        if let Some(known) = self.known.get(string) {
            return *known;
        }
        self.lengths.push(string.len() as i64);
        self.text.push_str(string);
        let next = self.lengths.len() as u32;
        self.known.insert(string.into(), next);
        next
    }

    pub(crate) fn known(&self, string: &str) -> Option<u32> {
        self.known.get(string).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strings of these lengths from byte 3 of a text on, and where they end.
    fn lay_out(lengths: &[i64], text_max: usize) -> Parsed<(Strings, usize)> {
        let (mut bytes, mut at) = (Vec::new(), 3);
        let codec = crate::format::sealed::column::encode(lengths, &mut bytes);
        let lengths = Ints::parse(codec, &bytes, 0..bytes.len(), lengths.len()).unwrap();
        Strings::lay_out(&bytes, &lengths, text_max, &mut at).map(|strings| (strings, at))
    }

    #[test]
    fn strings_stand_one_behind_the_other() {
        let (strings, at) = lay_out(&[2, 0, 3], 8).unwrap();
        let text = "...abéc...";
        assert_eq!((strings.len(), at), (3, 8));
        assert_eq!([0, 1, 2, 3, 4].map(|n| strings.get(text, n)), [None, Some("ab"), Some(""), Some("éc"), None]);
        assert_eq!(strings.iter(text).collect::<Vec<_>>(), [(1, "ab"), (2, ""), (3, "éc")]);
        assert!(strings.check(text).is_ok());
        assert!(strings.check("...abcdé").is_err(), "one that ends within a character");
        assert_eq!(strings.memory(), 12);
    }

    #[test]
    fn lengths_have_limits() {
        assert!(lay_out(&[2, 0, 3], 7).is_err(), "more than the text may have");
        assert!(lay_out(&[65_535], 1 << 20).is_ok() && lay_out(&[65_536], 1 << 20).is_err());
        assert!(lay_out(&[0], 3).is_ok() && lay_out(&[-1], 1 << 20).is_err());
    }

    #[test]
    fn a_string_keeps_its_number() {
        let mut interner = Interner::default();
        assert_eq!(["b", "a", "b", "", "a"].map(|string| interner.reference(string)), [1, 2, 1, 3, 2]);
        assert_eq!((interner.known("a"), interner.known("c")), (Some(2), None));
        assert_eq!((interner.lengths, interner.text.as_str()), (vec![1, 1, 0], "ba"));
    }
}
