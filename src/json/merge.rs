//! A JSON document folded from events by merge patch (RFC 7396), in which every value stays as it was written.
//!
//! Invariants:
//! - A value is the text that some event brought, byte for byte, until a patch reaches into it: numbers keep their
//!   digits, strings their escapes. Only objects that were merged into are put together anew, from their members. The one
//!   exception are line breaks between tokens: a text that has them is written without blanks, so that a document is
//!   always one line.
//! - Members stand in the order in which they first came; one that was removed and comes again stands last.
//! - No name stands twice in an object; of a name that comes twice the last one counts, as it does in most parsers.
//! - A patch is applied whole or not at all: it is read to its end before anything is changed.
//! - Nothing is nested deeper than [`limits::DOCUMENT_DEPTH_MAX`](crate::limits::DOCUMENT_DEPTH_MAX), so nothing here
//!   recurses further.

mod patch;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use patch::{Members, Part};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON object that grows out of merge patches (RFC 7396). Values keep the text in which they were written, numbers
/// their digits; members stand in the order in which they first came.
///
/// ```
/// use annals::Document;
///
/// let mut note = Document::new();
/// note.merge(br#"{"content": "A", "price": 1.50, "draft": true}"#)?;
/// note.merge(br#"{"content": "B", "draft": null}"#)?;
/// assert_eq!(note.to_json(), r#"{"content":"B","price":1.50}"#);
/// # Ok::<(), annals::NotAnObject>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Document {
    top: Object,
}

#[derive(Debug, Clone, Default)]
struct Object {
    members: BTreeMap<Box<str>, Member>,
    /// The order of the next new member.
    next: u64,
}

#[derive(Debug, Clone)]
struct Member {
    order: u64,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    /// Any JSON value as it was written, on one line.
    Text(Box<str>),
    /// An object that was merged into.
    Object(Object),
}

/// Bytes are not what a merge patch must be here, with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnObject {
    reason: &'static str,
}

impl fmt::Display for NotAnObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for NotAnObject {}

/// What a patch did to one field of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldChange {
    /// The names that lead to the field, joined by dots. A name that is empty or holds a dot, a quote or a control
    /// character stands as a JSON string.
    pub path: String,
    /// The value before as JSON; `None` if there was none.
    pub from: Option<String>,
    /// The value after as JSON; `None` if the field was removed.
    pub to: Option<String>,
}

/// Is told of every field that a patch changes.
type Tell<'t> = Option<&'t mut dyn FnMut(FieldChange)>;

impl Document {
    /// The document without members, to which a first patch is applied.
    #[must_use]
    pub fn new() -> Document {
        Document::default()
    }

    /// The object that stands in these bytes, its `null`s too.
    ///
    /// # Errors
    /// [`NotAnObject`] if the bytes are no JSON object, or one that is nested too deeply.
    pub fn from_object(json: &[u8]) -> Result<Document, NotAnObject> {
        let mut top = Object::default();
        for (name, part) in &patch::parse(json)?.list {
            top.insert(name, Value::new(part, Nulls::Kept));
        }
        Ok(Document { top })
    }

    /// Applies a merge patch: `null` removes a member, an object is merged into an object, anything else takes the
    /// place of what was there.
    ///
    /// # Errors
    /// [`NotAnObject`], and the document is as it was.
    pub fn merge(&mut self, patch: &[u8]) -> Result<(), NotAnObject> {
        self.top.merge(&patch::parse(patch)?, &mut Vec::new(), &mut None);
        Ok(())
    }

    /// The same, telling `each` of every field whose value is another one afterwards. Fields of objects are told one by
    /// one where the object was there before or is new; an object that takes the place of another value, or is removed,
    /// is told whole.
    ///
    /// # Errors
    /// As [`Document::merge`]; then nothing was told.
    pub fn merge_telling(&mut self, patch: &[u8], mut each: impl FnMut(FieldChange)) -> Result<(), NotAnObject> {
        self.top.merge(&patch::parse(patch)?, &mut Vec::new(), &mut Some(&mut each));
        Ok(())
    }

    /// The document as JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.top.write(&mut json);
        json
    }

    /// The members on top in their order, each value as JSON.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, Cow<'_, str>)> {
        self.top.ordered().into_iter().map(|(name, value)| (name, value.text()))
    }

    /// The value of a member on top as JSON; `None` if there is no such member.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        self.top.members.get(name).map(|member| member.value.text())
    }

    /// Number of members on top.
    #[must_use]
    pub fn len(&self) -> usize {
        self.top.members.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.top.members.is_empty()
    }
}

/// As the same text, order of members included.
impl PartialEq for Document {
    fn eq(&self, other: &Document) -> bool {
        self.to_json() == other.to_json()
    }
}

impl Eq for Document {}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// As a string that holds the JSON text, so that any format keeps every digit.
impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_json())
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        let text = String::deserialize(deserializer)?;
        Document::from_object(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

impl Object {
    /// Adds a member, or gives it another value in the place where it stands.
    fn insert(&mut self, name: &str, value: Value) {
        if let Some(member) = self.members.get_mut(name) {
            member.value = value;
            return;
        }
        self.members.insert(name.into(), Member { order: self.next, value });
        self.next += 1;
    }

    fn ordered(&self) -> Vec<(&str, &Value)> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(_, member)| member.order);
        members.into_iter().map(|(name, member)| (&**name, &member.value)).collect()
    }

    fn write(&self, json: &mut String) {
        json.push('{');
        for (index, (name, value)) in self.ordered().into_iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(&quoted(name));
            json.push(':');
            match value {
                Value::Text(text) => json.push_str(text),
                Value::Object(object) => object.write(json),
            }
        }
        json.push('}');
    }

    fn merge<'p>(&mut self, patch: &'p Members<'_>, path: &mut Vec<&'p str>, tell: &mut Tell<'_>) {
        for (name, part) in &patch.list {
            path.push(name);
            self.merge_member(name, part, path, tell);
            path.pop();
        }
    }

    fn merge_member<'p>(&mut self, name: &str, part: &'p Part<'_>, path: &mut Vec<&'p str>, tell: &mut Tell<'_>) {
        if let Part::Null = part {
            if let Some(old) = self.members.remove(name) {
                told(tell, path, || (Some(old.value.text().into_owned()), None));
            }
            return;
        }
        let Some(member) = self.members.get_mut(name) else {
            if tell.is_some() {
                part.tell_added(path, tell);
            }
            self.insert(name, Value::new(part, Nulls::Removed));
            return;
        };
        if let Part::Object(patch) = part
            && let Some(object) = member.value.as_object_mut()
        {
            return object.merge(patch, path, tell);
        }
        let old = std::mem::replace(&mut member.value, Value::new(part, Nulls::Removed));
        let new = &member.value;
        if tell.is_some() && !same(&old.text(), &new.text()) {
            told(tell, path, || (Some(old.text().into_owned()), Some(new.text().into_owned())));
        }
    }
}

/// What becomes of members that are `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Kept,
    Removed,
}

impl Value {
    fn new(part: &Part<'_>, nulls: Nulls) -> Value {
        match part {
            Part::Null => Value::Text("null".into()),
            Part::Other(text) => Value::Text(one_line(text).into()),
            Part::Object(members) if !members.has_twice && (nulls == Nulls::Kept || !members.has_null) => {
                Value::Text(one_line(members.text).into())
            }
            Part::Object(members) => {
                let mut object = Object::default();
                for (name, part) in &members.list {
                    if nulls == Nulls::Kept || !matches!(part, Part::Null) {
                        object.insert(name, Value::new(part, nulls));
                    }
                }
                Value::Object(object)
            }
        }
    }

    fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Object(object) => {
                let mut json = String::new();
                object.write(&mut json);
                Cow::Owned(json)
            }
        }
    }

    /// The members of an object, taken out of its text at the first time; `None` if it is no object.
    fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Value::Text(text) = self {
            if Kind::of(text) != Kind::Object {
                return None;
            }
            // It was read once as a part of what brought it, so it is an object in every depth.
            let top = Document::from_object(text.as_bytes()).unwrap_or_default().top;
            *self = Value::Object(top);
        }
        match self {
            Value::Object(object) => Some(object),
            Value::Text(_) => None,
        }
    }
}

impl Part<'_> {
    /// Tells the fields of a value that is new, in objects one by one.
    fn tell_added<'p>(&'p self, path: &mut Vec<&'p str>, tell: &mut Tell<'_>) {
        match self {
            Part::Object(members) if members.list.iter().any(|(_, part)| !matches!(part, Part::Null)) => {
                for (name, part) in &members.list {
                    path.push(name);
                    part.tell_added(path, tell);
                    path.pop();
                }
            }
            Part::Null => {}
            _ => told(tell, path, || (None, Some(Value::new(self, Nulls::Removed).text().into_owned()))),
        }
    }
}

fn told(tell: &mut Tell<'_>, path: &[&str], values: impl FnOnce() -> (Option<String>, Option<String>)) {
    if let Some(tell) = tell {
        let (from, to) = values();
        tell(FieldChange { path: joined(path), from, to });
    }
}

fn joined(path: &[&str]) -> String {
    let plain =
        |name: &str| !name.is_empty() && !name.contains(|char: char| char == '.' || char == '"' || char.is_control());
    let names = path.iter().map(|name| if plain(name) { Cow::Borrowed(*name) } else { Cow::Owned(quoted(name)) });
    names.collect::<Vec<_>>().join(".")
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    // A string has no way to fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// What a JSON text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// The kind of a JSON text without blanks around it, as a document holds it.
    pub(crate) fn of(json: &str) -> Kind {
        match json.bytes().next() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }
}

/// The text of a JSON string, its escapes resolved; `None` if it is no string, or one whose escapes are no text (half a
/// surrogate pair).
pub(crate) fn unescaped(json: &str) -> Option<String> {
    (Kind::of(json) == Kind::String).then(|| serde_json::from_str(json).ok()).flatten()
}

/// Whether two values say the same, however strings are escaped and tokens set apart. Numbers are compared by their
/// digits.
fn same(left: &str, right: &str) -> bool {
    left == right
        || match (Kind::of(left), Kind::of(right)) {
            (Kind::String, Kind::String) => unescaped(left).is_some_and(|text| unescaped(right) == Some(text)),
            (Kind::Array, Kind::Array) | (Kind::Object, Kind::Object) => compact(left) == compact(right),
            _ => false,
        }
}

/// A JSON text on one line: as it is, or without the blanks between its tokens if there are line breaks among them. A
/// string holds none, so every line break is between tokens.
fn one_line(json: &str) -> Cow<'_, str> {
    if json.bytes().any(|byte| byte == b'\n' || byte == b'\r') { Cow::Owned(compact(json)) } else { json.into() }
}

/// A JSON text without blanks between its tokens.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for char in json.chars() {
        if in_string {
            in_string = char != '"' || escaped;
            escaped = char == '\\' && !escaped;
        } else if char.is_ascii_whitespace() {
            continue;
        } else {
            in_string = char == '"';
        }
        compact.push(char);
    }
    compact
}
