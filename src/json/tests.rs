//! The shape both ways: exact lines, arbitrary events, hostile lines, the real histories.

mod reading;
mod real;
mod round_trip;
mod writing;

use crate::event::{EventRef, LogId, NewEvent};
use crate::format::draft::{Draft, DraftFacts, Place};
use crate::format::frame::SegmentFacts;
use crate::position::Position;
use crate::time::Timestamp;

const LOG: LogId = LogId([0xab; 16]);
const RECORDED: Timestamp = Timestamp::from_nanos(1_793_538_000_250_000_000);

/// Hands over `event` as a log would give it back at `position`.
fn stored<T>(event: &NewEvent, position: u64, look: impl FnOnce(&EventRef<'_>) -> T) -> T {
    let mut draft = Draft::new(std::slice::from_ref(event), &DraftFacts::default());
    let place = Place {
        first: Position::new(position),
        durable: Position::ORIGIN,
        recorded_at: RECORDED,
        wall: None,
        clock_suspect: false,
        group_seq: 1,
        offset: 12_288,
    };
    let facts = SegmentFacts { log: LOG, epoch: 3, salt: 7 };
    let header = draft.seal(&place, facts.salt, &[1]);
    let frame = draft.view(header, facts).expect("a frame just made");
    look(&frame.event(0).expect("an event just written"))
}
