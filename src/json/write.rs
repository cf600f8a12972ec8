//! Events to JSON. Laid out by hand: an export writes a million of these a second.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::{LITERAL, Member, NO_SOURCE, is_json, looks_like_none};
use crate::event::{Event, EventRef};
use crate::position::Position;
use crate::time::write_time;

/// Bytes of a line beside text and data: names, quotes, two times, the sequence.
const FIXED_BYTES: usize = 384;

/// Appends the JSON of an event to `out`: one object, without line breaks in or behind it.
///
/// The shape is CloudEvents 1.0: `specversion`, `id`, `source`, `type`, `subject`, `time` (occurred_at),
/// `datacontenttype`, `data` or `data_base64`, and the extensions `authtype`, `authid`, `onbehalfof`,
/// `correlationid`, `causationid`, `recordedtime`, `sequence` (the position) and `tags`, with metadata under its own
/// names. [`ImportEvent::from_json`](crate::ImportEvent::from_json) reads the same event back.
pub fn write_event(event: &EventRef<'_>, out: &mut Vec<u8>) {
    out.reserve(FIXED_BYTES + event.text.len() + event.data().len());
    put(r#"{"specversion":"1.0","id":"#, out);
    string(&event.id(), out);
    put(r#","source":"#, out);
    source(event.source(), out);
    member("type", event.event_type(), out);
    member("subject", event.subject(), out);
    put(r#","time":""#, out);
    write_time(event.occurred_at(), out);
    put("\"", out);
    if !event.content_type().is_empty() || !event.data().is_empty() {
        member("datacontenttype", event.content_type(), out);
    }
    if let Some(actor) = event.actor() {
        member("authtype", actor.kind().as_str(), out);
        member("authid", actor.id(), out);
    }
    if let Some(user) = event.on_behalf_of() {
        member("onbehalfof", user, out);
    }
    if let Some(correlation) = event.correlation() {
        member("correlationid", correlation, out);
    }
    if let Some(cause) = event.causation() {
        put(r#","causationid":""#, out);
        let digits = digits(cause);
        let zeros = digits.iter().take(digits.len() - 1).take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(&digits[zeros..]);
        put("\"", out);
    }
    put(r#","recordedtime":""#, out);
    write_time(event.recorded_at(), out);
    put(r#"","sequence":""#, out);
    out.extend_from_slice(&digits(event.position()));
    put("\"", out);
    tags(event, out);
    metadata(event, out);
    data(event, out);
    put("}", out);
}

impl EventRef<'_> {
    /// The event as one line of JSON: see [`write_event`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut line = Vec::new();
        write_event(self, &mut line);
        match String::from_utf8(line) {
            Ok(line) => line,
            Err(_) => unreachable!("texts are UTF-8, and data that is not goes as base64"),
        }
    }
}

impl Event {
    /// See [`EventRef::to_json`].
    #[must_use]
    pub fn to_json(&self) -> String {
        self.as_ref().to_json()
    }
}

fn source(source: Option<&str>, out: &mut Vec<u8>) {
    match source {
        None => string(NO_SOURCE, out),
        Some(source) if looks_like_none(source) => string(&format!("{source}{LITERAL}"), out),
        Some(source) => string(source, out),
    }
}

fn tags(event: &EventRef<'_>, out: &mut Vec<u8>) {
    for (index, tag) in event.tags().enumerate() {
        put(if index == 0 { r#","tags":["# } else { "," }, out);
        string(tag, out);
    }
    if event.tags().len() > 0 {
        put("]", out);
    }
}

fn metadata(event: &EventRef<'_>, out: &mut Vec<u8>) {
    let is_plain = |index: usize, name: &str| {
        Member::of(name).is_none() && event.meta().take(index).all(|(earlier, _)| earlier != name)
    };
    let mut others = Vec::new();
    for (index, (name, value)) in event.meta().enumerate() {
        if is_plain(index, name) {
            put(",", out);
            string(name, out);
            put(":", out);
            string(value, out);
        } else {
            others.push((index, name, value));
        }
    }
    for (count, (index, name, value)) in others.iter().enumerate() {
        put(if count == 0 { r#","annalsmeta":[["# } else { ",[" }, out);
        put(&index.to_string(), out);
        put(",", out);
        string(name, out);
        put(",", out);
        string(value, out);
        put("]", out);
    }
    if !others.is_empty() {
        put("]", out);
    }
}

fn data(event: &EventRef<'_>, out: &mut Vec<u8>) {
    let data = event.data();
    if data.is_empty() {
        return;
    }
    if is_json(event.content_type()) && fits_the_line(data) {
        put(r#","data":"#, out);
        out.extend_from_slice(data);
        return;
    }
    put(r#","data_base64":""#, out);
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(data, &mut out[start..]);
    assert_eq!(written.ok(), Some(out.len() - start), "base64 takes four bytes for every three, begun or whole");
    put("\"", out);
}

/// Says whether data can stand in a line as it is and be found there again byte for byte.
fn fits_the_line(data: &[u8]) -> bool {
    // White space around a value belongs to whoever reads the line, who drops it.
    let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    !is_space(data.first())
        && !is_space(data.last())
        // Only white space between values can be one: a string holds them as escapes.
        && !any(data, |byte| (byte == b'\n') | (byte == b'\r'))
        // The check of the grammar does not look into strings, so it would pass bytes that are not UTF-8.
        && std::str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

/// `,"name":"value"`; `name` needs no escape.
fn member(name: &str, value: &str, out: &mut Vec<u8>) {
    put(",\"", out);
    put(name, out);
    put("\":", out);
    string(value, out);
}

/// A JSON string: quotes, backslashes and control characters escaped, all else as it is.
fn string(text: &str, out: &mut Vec<u8>) {
    let needs_escape = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    out.push(b'"');
    if any(text.as_bytes(), needs_escape) {
        for byte in text.bytes() {
            if needs_escape(byte) { escape(byte, out) } else { out.push(byte) }
        }
    } else {
        put(text, out);
    }
    out.push(b'"');
}

/// Says whether any byte is such a one. Looks at all of them, without a branch, so that it compiles to vector
/// instructions; hardly ever is there one.
fn any(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(0, |found, byte| found | u8::from(is_such(*byte))) != 0
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            put(r"\u00", out);
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// A position in 20 digits, which every `u64` fits.
fn digits(position: Position) -> [u8; 20] {
    let mut digits = [b'0'; 20];
    let mut rest = position.get();
    for digit in digits.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}
