//! A merge patch read to its end: objects member by member, everything else as the text that it is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::NotAnObject;
use crate::limits::DOCUMENT_DEPTH_MAX;

/// A value of a patch.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Null,
    Object(Members<'a>),
    /// A scalar or an array, as it was written.
    Other(&'a str),
}

/// The members of an object, each name once.
#[derive(Debug)]
pub(super) struct Members<'a> {
    /// The whole object as it was written.
    pub(super) text: &'a str,
    pub(super) list: Vec<(Cow<'a, str>, Part<'a>)>,
    /// Whether a member is `null`, here or in an object below.
    pub(super) has_null: bool,
    /// Whether a name stands twice in the text, here or in an object below.
    pub(super) has_twice: bool,
}

const NO_OBJECT: NotAnObject = NotAnObject { reason: "not a JSON object" };
const TOO_DEEP: NotAnObject = NotAnObject { reason: "nested too deeply" };

pub(super) fn parse(json: &[u8]) -> Result<Members<'_>, NotAnObject> {
    let text = std::str::from_utf8(json).map_err(|_| NO_OBJECT)?;
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    if !text.starts_with('{') {
        return Err(NO_OBJECT);
    }
    if is_deep(text) {
        return Err(TOO_DEEP);
    }
    serde_json::from_str::<Members<'_>>(text).map_err(|_| NO_OBJECT).map(|members| Members { text, ..members })
}

/// Whether brackets are nested beyond the limit; of a text that is no JSON the answer has no meaning.
fn is_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DOCUMENT_DEPTH_MAX {
            return true;
        }
    }
    false
}

/// A name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { text: "", list: Vec::new(), has_null: false, has_twice: false };
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            let text = value.get();
            let part = match text.bytes().next() {
                Some(b'n') => Part::Null,
                Some(b'{') => {
                    let below = serde_json::from_str::<Members<'de>>(text).map_err(A::Error::custom)?;
                    members.has_null |= below.has_null;
                    members.has_twice |= below.has_twice;
                    Part::Object(Members { text, ..below })
                }
                _ => Part::Other(text),
            };
            members.has_null |= matches!(part, Part::Null);
            members.list.push((name, part));
        }
        members.keep_last();
        Ok(members)
    }
}

impl Members<'_> {
    /// Of a name that stands there twice the last value counts, in the place of the first.
    fn keep_last(&mut self) {
        let mut names: Vec<&str> = self.list.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if names.windows(2).all(|pair| pair[0] != pair[1]) {
            return;
        }
        self.has_twice = true;
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut kept: Vec<(Cow<'_, str>, Part<'_>)> = Vec::new();
        for (name, part) in std::mem::take(&mut self.list) {
            match places.get(&*name).and_then(|place| kept.get_mut(*place)) {
                Some(earlier) => earlier.1 = part,
                None => {
                    places.insert(name.clone().into_owned(), kept.len());
                    kept.push((name, part));
                }
            }
        }
        self.list = kept;
    }
}
