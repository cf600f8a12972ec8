//! Templates of ids that producers gave: a text in which \x01 stands for the event's subject behind its first `/`
//! and \x02 for a decimal number below 10^18 without leading zeros. Each of both stands at most once. A template
//! belongs to one kind of subject, and says where its number comes from:
//!
//! | mode | the number |
//! |---|---|
//! | 0 | stands in a column |
//! | 1 | the event's version plus the template's difference |
//! | 2 | the event's position plus the template's difference |
//!
//! A template finds an event on its own if its mode is 2, or if it has the subject and its mode is 1 or it has no
//! number. Such ids need no entry in the term index.

use std::collections::HashMap;

use super::dictionary::IdCandidate;
use crate::event::EventRef;
use crate::position::Position;

/// Templates of a segment at most; each is tried for ids of its kind.
pub(crate) const TEMPLATES_MAX: usize = 64;
/// A template has to be worth its place.
const USES_MIN: u32 = 16;
/// Texts that may become templates, kept while events are counted.
const CANDIDATES_MAX: usize = 1024;
/// Digits of a number at most: all of them fit an i64.
const DIGITS_MAX: usize = 18;

const SUBJECT: char = '\x01';
const NUMBER: char = '\x02';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Column,
    Version(i64),
    Position(i64),
}

impl Mode {
    pub(crate) fn code(self) -> i64 {
        match self {
            Mode::Column => 0,
            Mode::Version(_) => 1,
            Mode::Position(_) => 2,
        }
    }

    pub(crate) fn difference(self) -> i64 {
        match self {
            Mode::Column => 0,
            Mode::Version(difference) | Mode::Position(difference) => difference,
        }
    }

    pub(crate) fn from_parts(code: i64, difference: i64) -> Option<Mode> {
        match code {
            0 => Some(Mode::Column),
            1 => Some(Mode::Version(difference)),
            2 => Some(Mode::Position(difference)),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Subject,
    Number,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) mode: Mode,
    pieces: Vec<Piece>,
}

/// Where the parts of an id come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) kind: &'a str,
    pub(crate) subject_id: &'a str,
    pub(crate) version: u64,
    pub(crate) position: u64,
}

impl<'a> Place<'a> {
    pub(crate) fn of(event: &EventRef<'a>) -> Place<'a> {
        Place {
            kind: event.kind(),
            subject_id: event.subject_id(),
            version: event.version(),
            position: event.position().get(),
        }
    }
}

impl Template {
    /// `None`: the text is none of a template.
    pub(crate) fn new(kind: String, text: String, mode: Mode) -> Option<Template> {
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find([SUBJECT, NUMBER]) {
            let (before, after) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let piece = if after.starts_with(SUBJECT) { Piece::Subject } else { Piece::Number };
            if pieces.contains(&piece) {
                return None;
            }
            pieces.push(piece);
            rest = &after[1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        let numbered = pieces.contains(&Piece::Number);
        if pieces.is_empty() || (!numbered && mode != Mode::Column) {
            return None;
        }
        Some(Template { kind, text, mode, pieces })
    }

    fn has(&self, piece: &Piece) -> bool {
        self.pieces.contains(piece)
    }

    /// Whether a number has to be kept for each id.
    pub(crate) fn keeps_number(&self) -> bool {
        self.mode == Mode::Column && self.has(&Piece::Number)
    }

    /// Whether an id alone tells where its event is.
    pub(crate) fn finds(&self) -> bool {
        match self.mode {
            Mode::Position(_) => true,
            Mode::Version(_) => self.has(&Piece::Subject),
            Mode::Column => self.has(&Piece::Subject) && !self.has(&Piece::Number),
        }
    }

    /// The number to keep (0 if none) if `id` is what [`Template::render`] then says.
    pub(crate) fn number_of(&self, id: &str, place: &Place<'_>) -> Option<i64> {
        if self.kind != place.kind {
            return None;
        }
        let (mut rest, mut number) = (id, 0);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Subject => rest = rest.strip_prefix(place.subject_id)?,
                Piece::Number => {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    number = decimal(&rest[..digits])?;
                    rest = &rest[digits..];
                }
            }
        }
        let fits = match self.mode {
            Mode::Column => true,
            Mode::Version(difference) => number == place.version.cast_signed().wrapping_add(difference),
            Mode::Position(difference) => number == place.position.cast_signed().wrapping_add(difference),
        };
        (rest.is_empty() && fits).then_some(if self.mode == Mode::Column { number } else { 0 })
    }

    /// Appends the id of the event at a place; `None` if no such id can have been kept.
    pub(crate) fn render(&self, place: &Place<'_>, kept: i64, out: &mut String) -> Option<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Subject => out.push_str(place.subject_id),
                Piece::Number => {
                    let number = match self.mode {
                        Mode::Column => kept,
                        Mode::Version(difference) => place.version.cast_signed().wrapping_add(difference),
                        Mode::Position(difference) => place.position.cast_signed().wrapping_add(difference),
                    };
                    push_decimal(u64::try_from(number).ok()?, out);
                }
            }
        }
        Some(())
    }

    /// Adds the places that this template admits for an id.
    pub(crate) fn candidates(&self, id: &str, out: &mut Vec<IdCandidate>) {
        if !self.finds() {
            return;
        }
        let [mut prefix, mut middle, mut suffix] = [""; 3];
        let mut marks = Vec::new();
        for piece in &self.pieces {
            match (piece, marks.len()) {
                (Piece::Text(text), 0) => prefix = text,
                (Piece::Text(text), 1) => middle = text,
                (Piece::Text(text), _) => suffix = text,
                (mark, _) => marks.push(mark),
            }
        }
        if marks.len() == 1 {
            (suffix, middle) = (middle, "");
        }
        let Some(inner) = id.strip_prefix(prefix).and_then(|id| id.strip_suffix(suffix)) else { return };
        match marks.as_slice() {
            [Piece::Subject] => self.candidate(inner, None, out),
            [Piece::Number] => self.candidate("", decimal(inner), out),
            [Piece::Subject, _] => {
                let digits = inner.bytes().rev().take_while(u8::is_ascii_digit).count();
                for len in 1..=digits.min(DIGITS_MAX) {
                    let (front, number) = inner.split_at(inner.len() - len);
                    if let (Some(subject_id), Some(number)) = (front.strip_suffix(middle), decimal(number)) {
                        self.candidate(subject_id, Some(number), out);
                    }
                }
            }
            _ => {
                let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
                for len in 1..=digits.min(DIGITS_MAX) {
                    let (number, back) = inner.split_at(len);
                    if let (Some(number), Some(subject_id)) = (decimal(number), back.strip_prefix(middle)) {
                        self.candidate(subject_id, Some(number), out);
                    }
                }
            }
        }
    }

    fn candidate(&self, subject_id: &str, number: Option<i64>, out: &mut Vec<IdCandidate>) {
        let subject = || format!("{}/{subject_id}", self.kind);
        let ordinal = |difference: i64| number?.checked_sub(difference).and_then(|n| u64::try_from(n).ok());
        match self.mode {
            Mode::Column => out.push(IdCandidate::Subject { subject: subject(), version: None }),
            Mode::Version(difference) => out.extend(
                ordinal(difference).map(|version| IdCandidate::Subject { subject: subject(), version: Some(version) }),
            ),
            Mode::Position(difference) => {
                out.extend(ordinal(difference).map(|position| IdCandidate::Position(Position::new(position))));
            }
        }
    }
}

/// The number that some text is written as, if it is written in the one way.
fn decimal(text: &str) -> Option<i64> {
    let canonical = !text.is_empty() && text.len() <= DIGITS_MAX && (text.len() == 1 || !text.starts_with('0'));
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn push_decimal(mut number: u64, out: &mut String) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits[at..].iter().for_each(|digit| out.push(char::from(*digit)));
}

/// How often a text was seen, and what its numbers had in common.
#[derive(Debug, Default)]
struct Seen {
    uses: u32,
    /// Differences of the first use, and how many uses had them.
    by_version: (i64, u32),
    by_position: (i64, u32),
}

/// Finds the templates of a segment while its events pass by.
#[derive(Debug, Default)]
pub(crate) struct TemplateFinder {
    seen: HashMap<(String, String), Seen>,
    text: (String, String),
}

impl TemplateFinder {
    pub(crate) fn add(&mut self, id: &str, place: &Place<'_>) {
        let (kind, text) = &mut self.text;
        let Some(number) = generalise(id, place.subject_id, text) else { return };
        kind.clear();
        kind.push_str(place.kind);
        let by_version = number.wrapping_sub(place.version.cast_signed());
        let by_position = number.wrapping_sub(place.position.cast_signed());
        if let Some(seen) = self.seen.get_mut(&self.text) {
            seen.uses += 1;
            seen.by_version.1 += u32::from(seen.by_version.0 == by_version);
            seen.by_position.1 += u32::from(seen.by_position.0 == by_position);
            return;
        }
        // Most texts of ids that follow no template are seen once. What is seen often stays.
        let mut least = 2;
        while self.seen.len() >= CANDIDATES_MAX {
            self.seen.retain(|_, seen| seen.uses >= least);
            least *= 2;
        }
        let seen = Seen { uses: 1, by_version: (by_version, 1), by_position: (by_position, 1) };
        self.seen.insert(self.text.clone(), seen);
    }

    /// The templates, the most used ones first.
    pub(crate) fn finish(self) -> Vec<Template> {
        let mut seen: Vec<_> = self.seen.into_iter().filter(|(_, seen)| seen.uses >= USES_MIN).collect();
        seen.sort_by(|(text, seen), (other, than)| than.uses.cmp(&seen.uses).then_with(|| text.cmp(other)));
        seen.truncate(TEMPLATES_MAX);
        let template = |((kind, text), seen): ((String, String), Seen)| {
            // A few strays become literals rather than cost all others a number and an entry in the index.
            let nearly_all = |uses: u32| uses >= seen.uses - seen.uses / 16;
            let mode = match (text.contains(NUMBER), seen.by_version, seen.by_position) {
                (true, (difference, uses), _) if nearly_all(uses) && text.contains(SUBJECT) => {
                    Mode::Version(difference)
                }
                (true, _, (difference, uses)) if nearly_all(uses) => Mode::Position(difference),
                (true, (difference, uses), _) if nearly_all(uses) => Mode::Version(difference),
                _ => Mode::Column,
            };
            Template::new(kind, text, mode)
        };
        seen.into_iter().filter_map(template).collect()
    }
}

/// Puts the text of a template for an id into `out` and returns its number, 0 if there is none. `None` where nothing
/// of the id could be replaced.
fn generalise(id: &str, subject_id: &str, out: &mut String) -> Option<i64> {
    if id.contains([SUBJECT, NUMBER]) {
        return None;
    }
    let subject = find_word(id, subject_id);
    let (before, after) = match subject {
        Some(at) => (&id[..at], &id[at + subject_id.len()..]),
        None => (id, ""),
    };
    let mark = if subject.is_some() { "\x01" } else { "" };
    out.clear();
    // The last number is the likeliest to count something.
    for (text, is_before) in [(after, false), (before, true)] {
        if let Some((start, end, number)) = last_number(text) {
            let marked = [&text[..start], "\x02", &text[end..]];
            let parts =
                if is_before { [marked.as_slice(), &[mark, after]] } else { [&[before, mark], marked.as_slice()] };
            parts.iter().flat_map(|parts| parts.iter()).for_each(|part| out.push_str(part));
            return Some(number);
        }
    }
    [before, mark, after].iter().for_each(|part| out.push_str(part));
    subject.map(|_| 0)
}

/// Where a word stands that is no part of a longer one.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let at = if word.is_empty() { None } else { text.find(word) }?;
    let is_part = |char: Option<char>| char.is_some_and(char::is_alphanumeric);
    let alone = !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next());
    alone.then_some(at)
}

/// The last run of digits, if it is a number: start, end, value.
fn last_number(text: &str) -> Option<(usize, usize, i64)> {
    let end = text.rfind(|char: char| char.is_ascii_digit())? + 1;
    let start = end - text[..end].bytes().rev().take_while(u8::is_ascii_digit).count();
    decimal(&text[start..end]).map(|number| (start, end, number))
}

#[cfg(test)]
mod tests;
