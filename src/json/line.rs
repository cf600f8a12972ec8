//! One line of JSON taken apart: every member of its object, still as the text that stood in the line.
//!
//! Nothing is interpreted before its name is known, so that a message can name the member, a number keeps its digits
//! and data its bytes. All borrows from the line but what is written with escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Member;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::META_ENTRIES_MAX;
use crate::time::one_line;

/// Characters of a name from outside that a message shows.
const SHOWN_CHARS_MAX: usize = 64;

/// A text, borrowed where it holds no escapes.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The members of one JSON object. Each value is JSON by its grammar and valid UTF-8, no more.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    members: [Option<&'a str>; Member::ALL.len()],
    /// Names and values of the others, in the order of the line.
    others: Vec<(Cow<'a, str>, &'a str)>,
    /// The first thing that is wrong with the object as a whole.
    problem: Option<Error>,
}

impl<'a> Line<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Line<'a>> {
        if line.trim_ascii().is_empty() {
            return Err(Error::invalid("the line is empty: a JSON object must stand there"));
        }
        let mut json = serde_json::Deserializer::from_slice(line);
        let parsed = json.deserialize_map(ObjectVisitor).and_then(|parsed| json.end().map(|()| parsed));
        let parsed = parsed.map_err(|error| not_an_event(&error))?;
        match parsed.problem {
            Some(problem) => Err(problem),
            None => Ok(parsed),
        }
    }

    /// The JSON of a member as it stands; `null` counts as left out.
    pub(super) fn raw(&self, member: Member) -> Option<&'a str> {
        self.verbatim(member).filter(|raw| *raw != "null")
    }

    /// The JSON of a member as it stands, `null` included.
    pub(super) fn verbatim(&self, member: Member) -> Option<&'a str> {
        self.members.get(member as usize).copied().flatten()
    }

    /// A member that must be a text, which may be empty.
    pub(super) fn text_or_empty(&self, member: Member) -> Result<Option<Cow<'a, str>>> {
        let Some(raw) = self.raw(member) else {
            return Ok(None);
        };
        match text(raw) {
            Some(text) => text.map(Some).map_err(|reason| Error::invalid(format!("`{}` {reason}", member.name()))),
            None => Err(Error::invalid(format!("`{}` is {}: it must be a text", member.name(), kind_of(raw)))),
        }
    }

    /// A member that must be a text with something in it.
    pub(super) fn text(&self, member: Member) -> Result<Option<Cow<'a, str>>> {
        match self.text_or_empty(member)? {
            Some(text) if text.is_empty() => Err(Error::invalid(format!("`{}` is empty", member.name()))),
            text => Ok(text),
        }
    }

    /// A member that must be there, a text with something in it.
    pub(super) fn required(&self, member: Member) -> Result<Cow<'a, str>> {
        self.text(member)?.ok_or_else(|| Error::invalid(format!("`{}` is missing", member.name())))
    }

    /// A member that must be a text with something in it, or a number, whose digits are taken.
    pub(super) fn text_or_number(&self, member: Member) -> Result<Option<Cow<'a, str>>> {
        match self.raw(member) {
            Some(raw) if raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => Ok(Some(raw.into())),
            _ => self.text(member),
        }
    }

    /// All members that are none of [`Member`], as metadata: names and values.
    pub(super) fn metadata(&mut self) -> Result<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        let mut metadata = Vec::with_capacity(self.others.len());
        for (name, raw) in std::mem::take(&mut self.others) {
            if name.is_empty() {
                return Err(Error::invalid("a member has an empty name"));
            }
            let value = match (text(raw), raw.as_bytes().first()) {
                (Some(text), _) => text.map_err(|reason| Error::invalid(format!("`{}` {reason}", shown(&name))))?,
                (None, Some(b'n')) => continue,
                (None, Some(b'[' | b'{')) => {
                    let (name, kind) = (shown(&name), kind_of(raw));
                    return Err(Error::invalid(format!(
                        "`{name}` is {kind}: only a text, a number or a boolean can be kept as metadata"
                    )));
                }
                (None, _) => raw.into(),
            };
            metadata.push((name, value));
        }
        Ok(metadata)
    }

    fn take(&mut self, name: Cow<'a, str>, raw: &'a str) {
        let known = Member::of(&name).and_then(|member| self.members.get_mut(member as usize));
        let is_second = match &known {
            Some(slot) => slot.is_some(),
            None => self.others.iter().any(|(other, _)| *other == name),
        };
        if is_second {
            self.problem = Some(Error::invalid(format!("`{}` stands twice", shown(&name))));
            return;
        }
        match known {
            Some(slot) => *slot = Some(raw),
            // Also what keeps the search above short, whatever the line holds.
            None if self.others.len() == META_ENTRIES_MAX => self.problem = Some(too_much_metadata()),
            None => self.others.push((name, raw)),
        }
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
        let mut line = Line::default();
        while let Some((Text(name), raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            // The rest of a line that is refused is still read: that it is no JSON at all is the better message.
            if line.problem.is_none() {
                line.take(name, raw.get());
            }
        }
        Ok(line)
    }
}

/// The text that a JSON string stands for; `None` if it is no string. The reason why it stands for none follows a
/// name in a sentence.
pub(super) fn text(raw: &str) -> Option<Result<Cow<'_, str>, String>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.as_bytes().contains(&b'\\') {
        return Some(Ok(Cow::Borrowed(inner)));
    }
    let decoded = serde_json::from_str::<String>(raw);
    Some(decoded.map(Cow::Owned).map_err(|error| format!("is no text: {}", reason(&error))))
}

/// What a JSON value is, with its article.
pub(super) fn kind_of(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

pub(super) fn too_much_metadata() -> Error {
    let line = format!("more than {META_ENTRIES_MAX} members would have to be kept as metadata");
    Error::new(ErrorKind::TooLarge, line)
}

/// A name from outside, fit for a message.
fn shown(name: &str) -> String {
    one_line(name, SHOWN_CHARS_MAX)
}

fn not_an_event(error: &serde_json::Error) -> Error {
    if error.is_data() {
        // The parser's own words would repeat the value, whatever its length.
        return Error::invalid("not an event: a JSON object must stand there");
    }
    Error::invalid(format!("not JSON: {} at column {}", reason(error), error.column()))
}

/// The parser's reason without the place, whose line would always be the first.
fn reason(error: &serde_json::Error) -> String {
    let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}
