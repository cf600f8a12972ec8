//! What the benchmarks append, and how they open what they append to.

use std::path::Path;
use std::time::Duration;

use annals::{Actor, Durability, NewEvent, Options, Store, Timestamp};

pub(crate) const TYPES: u64 = 54;

/// The event of the figures: 240 bytes of JSON about one of so many subjects, one of 54 types, an actor, both times.
pub(crate) fn event(number: u64, subjects: u64) -> NewEvent {
    let mut data = Vec::with_capacity(240);
    data.extend_from_slice(br#"{"content":""#);
    data.resize(229, b'a' + (number % 26) as u8);
    data.extend_from_slice(br#"","n":123}"#);
    data.push(b' ');
    NewEvent::bytes(
        format!("note.kind{:02}.recorded", number % TYPES),
        format!("note/n-{}", subject(number, subjects)),
        "application/json",
        data,
    )
    .actor(Actor::user("alice"))
    .occurred_at(Timestamp::from_nanos(1_700_000_000_000_000_000 + number as i64))
}

/// The number of the subject of an event: all come up equally often, in no order.
fn subject(number: u64, subjects: u64) -> u64 {
    number.wrapping_mul(2_654_435_761) % subjects
}

/// A store whose appends wait for no sync.
pub(crate) fn written() -> Options {
    Store::options().durability(Durability::Written { sync_every: Duration::from_millis(50) })
}

/// Appends these events in batches of a size.
pub(crate) fn fill(store: &Store, numbers: std::ops::Range<u64>, batch: u64, subjects: u64) {
    for start in numbers.clone().step_by(batch as usize) {
        let batch = start..numbers.end.min(start + batch);
        store.append(batch.map(|number| event(number, subjects))).unwrap();
    }
}

/// Where a benchmark makes its stores: on the disk of the checkout, not in a file system of memory.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(Path::new(".")).unwrap()
}
