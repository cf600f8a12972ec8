//! An event as bytes, for peers that keep bytes: the user's own encoding, the same for all of them.
//!
//! Little-endian: time i64, then the lengths of kind u16, subject u16, actor u16, then the three strings, then the
//! data to the end.

use crate::event::{Event, View};
use crate::peer::{Failure, Outcome};

const HEAD_BYTES: usize = 14;

pub(crate) fn encode(event: &Event, into: &mut Vec<u8>) {
    into.extend_from_slice(&event.time.to_le_bytes());
    for text in [&event.kind, &event.subject, &event.actor] {
        into.extend_from_slice(&(text.len() as u16).to_le_bytes());
    }
    for text in [&event.kind, &event.subject, &event.actor] {
        into.extend_from_slice(text.as_bytes());
    }
    into.extend_from_slice(&event.data);
}

pub(crate) fn decode(bytes: &[u8]) -> Outcome<View<'_>> {
    parse(bytes).ok_or_else(|| Failure::Failed("a record that cannot be decoded".to_owned()))
}

fn parse(bytes: &[u8]) -> Option<View<'_>> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let time = i64::from_le_bytes(head.get(..8)?.try_into().ok()?);
    let length = |at: usize| Some(usize::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let (kind, rest) = rest.split_at_checked(length(8)?)?;
    let (subject, rest) = rest.split_at_checked(length(10)?)?;
    let (_actor, data) = rest.split_at_checked(length(12)?)?;
    Some(View { kind: std::str::from_utf8(kind).ok()?, subject: std::str::from_utf8(subject).ok()?, time, data })
}
