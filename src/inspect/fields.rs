//! Fields as they stand in a structure, checked or not.

use serde::Serialize;

use crate::format::bytes::{i64_at, is_zero, u64_at};
use crate::format::layout::{Field, Layout, Show};
use crate::time::Timestamp;

/// A field of a page, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FieldView {
    /// Where it stands in the file.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What it is called in docs/format.md.
    pub name: &'static str,
    /// Its value as text: a number in decimal or hex, a time in UTC, the word for a code.
    pub value: String,
}

/// The fields of a structure that begins at `offset` of the file, as far as `bytes` reach. What is
/// zero and has to be is left out.
pub(super) fn fields(layout: Layout, bytes: &[u8], offset: u64) -> Vec<FieldView> {
    let view = |field: &Field| {
        let raw = bytes.get(field.at..field.at + field.bytes)?;
        if field.show == Show::Zero && is_zero(raw) {
            return None;
        }
        let (at, value) = (offset + field.at as u64, value(field.show, raw));
        Some(FieldView { offset: at, bytes: field.bytes as u64, name: field.name, value })
    };
    layout.iter().filter_map(view).collect()
}

/// A little-endian number of up to 8 bytes.
fn number(raw: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(raw).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes)
}

fn value(show: Show, raw: &[u8]) -> String {
    match show {
        Show::Magic => raw.escape_ascii().to_string(),
        Show::Padded => {
            let len = raw.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            raw.get(..len).unwrap_or_default().escape_ascii().to_string()
        }
        Show::Number => number(raw).to_string(),
        Show::Hex => format!("{:0width$x}", number(raw), width = raw.len() * 2),
        Show::Id | Show::Zero => hex(raw),
        Show::Time => Timestamp::from_nanos(i64_at(raw, 0).unwrap_or_default()).to_string(),
        Show::Code(codes) => {
            let code = number(raw);
            word(codes, code).map_or_else(|| format!("{code} (no such code)"), |word| format!("{code} ({word})"))
        }
        Show::Bits(bits) => match words(bits, number(raw)).join(", ") {
            none if none.is_empty() => "none".to_owned(),
            words => words,
        },
        Show::Digests => {
            let used = raw.chunks(32).take_while(|digest| !is_zero(digest));
            match used.map(hex).collect::<Vec<_>>().join(" ") {
                none if none.is_empty() => "none".to_owned(),
                peaks => peaks,
            }
        }
        Show::Section => {
            let at = |at| u64_at(raw, at).unwrap_or_default();
            format!(
                "{} bytes at {} of the space, {} entries",
                at(8),
                at(0),
                number(raw.get(16..20).unwrap_or_default())
            )
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The word for a code.
pub(super) fn word(codes: &[(u64, &'static str)], code: u64) -> Option<&'static str> {
    codes.iter().find(|(known, _)| *known == code).map(|(_, word)| *word)
}

/// The words for all bits that are set; one without a word by its number.
pub(super) fn words(bits: &[(u64, &'static str)], set: u64) -> Vec<String> {
    let each = (0..64).map(|bit| 1u64 << bit).filter(|bit| set & bit != 0);
    each.map(|bit| word(bits, bit).map_or_else(|| format!("unknown bit {bit}"), str::to_owned)).collect()
}
