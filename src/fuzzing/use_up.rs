//! Uses what was parsed as any reader would: every field of every event, and its leaf.

use crate::actor::Actor;
use crate::event::{EventRef, NewEvent};
use crate::format::frame::{self, FIRST_OFFSET, Frame, FrameHeader, HEADER_BYTES, HeaderRead, Kind, SegmentFacts};
use crate::format::leaf::LeafHasher;
use crate::format::term::TermHasher;
use crate::json::write_event;
use crate::position::Position;
use crate::time::Timestamp;

/// More events of one frame than this say nothing new.
const EVENTS_MAX: u32 = 1000;

/// Reads every event of a frame; returns how many could be.
pub(super) fn frame(frame: &Frame<'_>) -> u32 {
    let mut hasher = LeafHasher::default();
    let mut good = 0;
    let _ = frame.prelude();
    for index in 0..frame.header.count {
        let Ok(event) = frame.event(index) else { continue };
        good += 1;
        if index < EVENTS_MAX {
            use_event(&event);
            if let Ok(batch) = frame.batch_facts(index) {
                let _ = hasher.leaf(&event, &batch);
            }
        }
    }
    good
}

pub(super) fn use_event(event: &EventRef<'_>) {
    let owned = event.to_owned();
    assert_same(event, &owned.as_ref());
    TermHasher::new(event.head.log).terms(event, |_, _| ());
    let mut line = Vec::new();
    write_event(event, &mut line);
    assert!(!line.contains(&b'\n'));
}

pub(super) fn assert_same(one: &EventRef<'_>, other: &EventRef<'_>) {
    assert_eq!(one.subject(), other.subject());
    assert_eq!((one.kind(), one.subject_id()), (other.kind(), other.subject_id()));
    assert_eq!(one.event_type(), other.event_type());
    assert_eq!(one.actor(), other.actor());
    assert_eq!(one.on_behalf_of(), other.on_behalf_of());
    assert_eq!(one.source(), other.source());
    assert_eq!(one.correlation(), other.correlation());
    assert_eq!(one.content_type(), other.content_type());
    assert_eq!(one.id(), other.id());
    assert_eq!(one.occurred_at(), other.occurred_at());
    assert_eq!(one.causation(), other.causation());
    assert!(one.tags().eq(other.tags()) && one.meta().eq(other.meta()));
    assert_eq!(one.data(), other.data());
}

/// The event as somebody would append it.
pub(super) fn new_event(event: &EventRef<'_>) -> NewEvent {
    let mut new = NewEvent::bytes(event.event_type(), event.subject(), event.content_type(), event.data());
    if let Some(id) = event.given_id() {
        new = new.id(id);
    }
    if let Some(actor) = event.actor() {
        new = new.actor(Actor::new(actor.kind(), actor.id()));
    }
    if let Some(user) = event.on_behalf_of() {
        new = new.on_behalf_of(user);
    }
    if let Some(source) = event.source() {
        new = new.source(source);
    }
    if let Some(correlation) = event.correlation() {
        new = new.correlation(correlation);
    }
    if let Some(time) = event.head.occurred_at {
        new = new.occurred_at(time);
    }
    if let Some(cause) = event.causation() {
        new = new.caused_by(cause);
    }
    new = event.tags().fold(new, |new, tag| new.tag(tag));
    event.meta().fold(new, |new, (name, value)| new.meta(name, value))
}

/// Puts a record into a frame of its own, with all checks, and hands over its event; `false` if it
/// is refused.
pub(super) fn in_frame(record: &[u8], facts: SegmentFacts, each: impl FnOnce(&EventRef<'_>)) -> bool {
    let mut bytes = vec![0; HEADER_BYTES + frame::ENTRY_BYTES];
    bytes.extend_from_slice(record);
    bytes.resize(bytes.len().next_multiple_of(frame::ALIGN as usize), 0);
    let header = FrameHeader {
        kind: Kind::Events,
        flags: 0,
        body_len: record.len() as u32,
        count: 1,
        first: Position::new(1),
        durable: Position::ORIGIN,
        recorded_at: Timestamp::from_nanos(1),
        group_seq: 1,
        prelude_crc: 0,
        table_crc: 0,
        check: 0,
    };
    header.encode(&mut bytes[..HEADER_BYTES], facts.salt, FIRST_OFFSET);
    super::mend::frame(&mut bytes, facts.salt, FIRST_OFFSET);
    let HeaderRead::Valid(header) = FrameHeader::read(&bytes, facts.salt, FIRST_OFFSET) else { return false };
    let event = Frame::new(header, facts, &bytes).and_then(|frame| frame.event(0));
    event.is_ok_and(|event| {
        each(&event);
        true
    })
}
