//! One event in the body of a frame: lengths first, then all text in one run, then the data, so
//! that reading it checks UTF-8 once and allocates nothing.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | record length, this field included |
//! | 4 | 2 | flags: 1 occurred_at given, 2 causation is a position, 4 causation is an index into the batch; the high eight bits are incompatible |
//! | 6 | 1 | actor kind: 0 no actor, 1 user, 2 agent, 3 external, 4 system, 5 unknown |
//! | 7 | 1 | content type: 0 none, 1 application/json, 2 application/octet-stream, 3 text/plain, 255 in the text |
//! | 8 | 2 | subject length |
//! | 10 | 2 | type length |
//! | 12 | 2 | actor length |
//! | 14 | 2 | on_behalf_of length |
//! | 16 | 2 | source length |
//! | 18 | 2 | correlation length |
//! | 20 | 2 | content type length |
//! | 22 | 1 | id length; 0: derived |
//! | 23 | 1 | number of tags |
//! | 24 | 2 | number of metadata entries |
//! | 26 | 2 | length of the extension area |
//! | 28 | 4 | data length |
//! | 32 | 8 | occurred_at, ns since 1970; 0 where not given |
//! | 40 | 8 | causation; 0 where there is none |
//! | 48 | | tag lengths, u16 each; metadata name and value lengths, u16 each in turn |
//! | | | extension area |
//! | | | text: subject, type, actor, on_behalf_of, source, correlation, content type, id, tags, metadata names and values in turn |
//! | | | data |
//!
//! The extension area is a list of `{tag u8, length u8, bytes}`. Tags from 128 on are incompatible:
//! a reader that does not know one refuses the event. Reserved: 1 origin of a replicated event
//! (log id, epoch, position, recorded_at), 129 payload codec, 130 id of the key that the payload is
//! encrypted with, 131 payload archived (its digest follows), 132 payload erased (likewise).

use super::bytes::{Take, i64_at, u16_at, u32_at, u64_at};
use super::{Bad, Parsed};
use crate::actor::ActorKind;
use crate::event::{CONTENT_JSON, Cause, NewEvent, TextLens};
use crate::position::Position;
use crate::time::Timestamp;

pub(crate) const HEADER_BYTES: usize = 48;

const OCCURRED: u16 = 1;
const CAUSE_POSITION: u16 = 2;
const CAUSE_IN_BATCH: u16 = 4;
const INCOMPATIBLE: u16 = 0xFF00;
const EXTENSION_INCOMPATIBLE: u8 = 128;

const CONTENT_CODES: [(u8, &str); 4] = [(0, ""), (1, CONTENT_JSON), (2, "application/octet-stream"), (3, "text/plain")];
const CONTENT_IN_TEXT: u8 = 255;

/// The content type itself if the format has a code for it; such a one never stands in an event's text.
pub(crate) fn known_content_type(content_type: &str) -> Option<&'static str> {
    CONTENT_CODES.iter().map(|(_, text)| *text).find(|text| *text == content_type)
}

/// A record whose lengths add up and whose text is UTF-8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) lens: TextLens,
    pub(crate) tag_count: u8,
    pub(crate) actor: Option<ActorKind>,
    pub(crate) content: Option<&'static str>,
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) cause: Option<Cause>,
    pub(crate) lists: &'a [u8],
    pub(crate) text: &'a str,
    pub(crate) data: &'a [u8],
}

/// Length of the record of `event`, in bytes.
pub(crate) fn len(event: &NewEvent) -> usize {
    let content_type = event.content_type_str();
    let has_code = CONTENT_CODES.iter().any(|(_, text)| *text == content_type);
    let tags: usize = event.tag_strs().map(|tag| 2 + tag.len()).sum();
    let meta: usize = event.meta_strs().map(|(name, value)| 4 + name.len() + value.len()).sum();
    let text = event.subject().len()
        + event.event_type().len()
        + event.actor_parts().map_or(0, |(_, actor)| actor.len())
        + event.on_behalf_of_str().len()
        + event.source_str().len()
        + event.correlation_str().len()
        + if has_code { 0 } else { content_type.len() }
        + event.id_str().len();
    HEADER_BYTES + tags + meta + text + event.data().len()
}

/// Appends the record of `event`. The caller has checked the event against the limits, so every
/// length fits its field.
pub(crate) fn encode(event: &NewEvent, out: &mut Vec<u8>) {
    let start = out.len();
    let content_type = event.content_type_str();
    let content = CONTENT_CODES.iter().find(|(_, text)| *text == content_type).map(|(code, _)| *code);
    let content_text = if content.is_some() { "" } else { content_type };
    let (actor_kind, actor) = event.actor_parts().map_or((0, ""), |(kind, id)| (kind.code(), id));
    let (cause_flag, cause) = match event.cause() {
        None => (0, 0),
        Some(Cause::At(position)) => (CAUSE_POSITION, position.get()),
        Some(Cause::InBatch(index)) => (CAUSE_IN_BATCH, index as u64),
    };
    let occurred = event.occurred();
    let flags = cause_flag | if occurred.is_some() { OCCURRED } else { 0 };

    let mut head = [0u8; HEADER_BYTES];
    super::bytes::Put(&mut head)
        .u16(4, flags)
        .bytes(6, &[actor_kind, content.unwrap_or(CONTENT_IN_TEXT)])
        .u16(8, event.subject().len() as u16)
        .u16(10, event.event_type().len() as u16)
        .u16(12, actor.len() as u16)
        .u16(14, event.on_behalf_of_str().len() as u16)
        .u16(16, event.source_str().len() as u16)
        .u16(18, event.correlation_str().len() as u16)
        .u16(20, content_text.len() as u16)
        .bytes(22, &[event.id_str().len() as u8, event.tag_strs().len() as u8])
        .u16(24, event.meta_strs().len() as u16)
        .u32(28, event.data().len() as u32)
        .i64(32, occurred.map_or(0, Timestamp::as_nanos))
        .u64(40, cause);
    out.extend_from_slice(&head);
    event.tag_strs().for_each(|tag| out.extend_from_slice(&(tag.len() as u16).to_le_bytes()));
    for (name, value) in event.meta_strs() {
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    for text in [
        event.subject(),
        event.event_type(),
        actor,
        event.on_behalf_of_str(),
        event.source_str(),
        event.correlation_str(),
        content_text,
        event.id_str(),
    ] {
        out.extend_from_slice(text.as_bytes());
    }
    event.tag_strs().for_each(|tag| out.extend_from_slice(tag.as_bytes()));
    for (name, value) in event.meta_strs() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(event.data());
    debug_assert_eq!(out.len() - start, len(event), "a record is as long as it was said to be");
    let len = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

impl<'a> Record<'a> {
    /// Reads the record that fills `bytes`. Offsets in an error count from its start.
    pub(crate) fn parse(bytes: &'a [u8]) -> Parsed<Record<'a>> {
        let short = || Bad::new(0, "a whole event record", format!("{} bytes", bytes.len()));
        let head = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(short)?;
        let u16_of = |at| u16_at(head, at).unwrap_or_default();
        let len = u32_at(head, 0).unwrap_or_default();
        if len as usize != bytes.len() {
            return Err(Bad::new(0, format!("a record of {} bytes", bytes.len()), format!("{len}")));
        }
        let flags = u16_of(4);
        if flags & INCOMPATIBLE != 0 {
            return Err(Bad::new(4, "record flags of format version 1", format!("{flags:#06x}")));
        }
        let lens = TextLens {
            subject: u16_of(8),
            event_type: u16_of(10),
            actor: u16_of(12),
            on_behalf_of: u16_of(14),
            source: u16_of(16),
            correlation: u16_of(18),
            content_type: u16_of(20),
            id: u16::from(head[22]),
        };
        let tag_count = head[23];
        let mut rest = Take(&bytes[HEADER_BYTES..]);
        let lists = rest.slice(usize::from(tag_count) * 2 + usize::from(u16_of(24)) * 4).ok_or_else(short)?;
        let extension = rest.slice(usize::from(u16_of(26))).ok_or_else(short)?;
        if !extension.is_empty() {
            check_extension(extension).map_err(|bad| bad.after((HEADER_BYTES + lists.len()) as u64))?;
        }
        let data_len = u32_at(head, 28).unwrap_or_default() as usize;
        let text_len = rest.0.len().checked_sub(data_len).ok_or_else(short)?;
        let text_at = bytes.len() - rest.0.len();
        let (text, data) = rest.0.split_at(text_len);
        let text = std::str::from_utf8(text)
            .map_err(|error| Bad::new((text_at + error.valid_up_to()) as u64, "UTF-8 text", "other bytes"))?;
        check_lens(text, &lens, lists)
            .ok_or_else(|| Bad::new(8, "string lengths that add up to the text", "others"))?;
        let (actor, content) = (head[6], head[7]);
        let actor = match actor {
            0 => None,
            code => Some(
                ActorKind::from_code(code).ok_or_else(|| Bad::new(6, "an actor kind from 0 to 5", code.to_string()))?,
            ),
        };
        let content = match content {
            CONTENT_IN_TEXT => None,
            code => Some(
                CONTENT_CODES
                    .get(usize::from(code))
                    .map(|(_, text)| *text)
                    .ok_or_else(|| Bad::new(7, "a content type code from 0 to 3, or 255", code.to_string()))?,
            ),
        };
        let cause = u64_at(head, 40).unwrap_or_default();
        Ok(Record {
            lens,
            tag_count,
            actor,
            content,
            occurred_at: (flags & OCCURRED != 0).then(|| Timestamp::from_nanos(i64_at(head, 32).unwrap_or_default())),
            cause: match flags & (CAUSE_POSITION | CAUSE_IN_BATCH) {
                0 => None,
                CAUSE_POSITION => Some(Cause::At(Position::new(cause))),
                _ => Some(Cause::InBatch(cause as usize)),
            },
            lists,
            text,
            data,
        })
    }
}

/// Whether the strings fill the text exactly and each begins at a character.
fn check_lens(text: &str, lens: &TextLens, lists: &[u8]) -> Option<()> {
    let mut end = 0usize;
    let mut step = |len: u16| {
        end += usize::from(len);
        text.is_char_boundary(end).then_some(())
    };
    step(lens.subject)?;
    step(lens.event_type)?;
    step(lens.actor)?;
    step(lens.on_behalf_of)?;
    step(lens.source)?;
    step(lens.correlation)?;
    step(lens.content_type)?;
    step(lens.id)?;
    lists.chunks_exact(2).try_for_each(|len| step(u16_at(len, 0)?))?;
    (end == text.len()).then_some(())
}

fn check_extension(extension: &[u8]) -> Parsed<()> {
    let mut rest = Take(extension);
    while !rest.0.is_empty() {
        let at = (extension.len() - rest.0.len()) as u64;
        let entry = rest.u8().zip(rest.u8()).and_then(|(tag, len)| rest.slice(usize::from(len)).map(|_| tag));
        match entry {
            None => return Err(Bad::new(at, "a whole extension entry", "the end of the area")),
            Some(tag) if tag >= EXTENSION_INCOMPATIBLE => {
                return Err(Bad::new(at, "extensions of format version 1", format!("extension {tag}")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
