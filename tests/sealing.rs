//! Segments that are sealed under those who read them, in this process and in others; what a crash between the steps
//! leaves; and calls that fail while sealing, archiving and backing up.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "sealing/ahead.rs"]
mod ahead;
#[path = "sealing/crashes.rs"]
mod crashes;
#[path = "sealing/failures.rs"]
mod failures;
#[path = "sealing/read_back.rs"]
mod read_back;
#[path = "sealing/readers.rs"]
mod readers;

use std::ops::ControlFlow;

use annals::{Append, NewEvent, Query, Store};

/// Everything in an event follows from its position.
fn event(position: u64) -> NewEvent {
    let data: Vec<u8> = format!("{position} ").bytes().cycle().take(40 + (position as usize * 37) % 400).collect();
    let event = NewEvent::bytes(format!("t.{}", position % 5), format!("note/n-{}", position % 13), "text/plain", data);
    match position % 3 {
        0 => event.id(format!("evt-{position}")),
        1 => event.id(format!("{:016x}", position.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        _ => event.tag("odd"),
    }
}

fn given_id(position: u64) -> Option<String> {
    match position % 3 {
        0 => Some(format!("evt-{position}")),
        1 => Some(format!("{:016x}", position.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        _ => None,
    }
}

fn version(position: u64) -> u64 {
    // The first event of subject 0 is at position 13.
    if position.is_multiple_of(13) { position / 13 } else { position / 13 + 1 }
}

/// So many events behind those that are there, in batches with keys.
fn fill(store: &Store, events: u64) {
    let mut next = store.reader().tail().get() + 1;
    let end = next + events;
    while next < end {
        let last = (next + next % 7).min(end - 1);
        store.append_with(Append::new((next..=last).map(event)).key(format!("key-{next}"))).unwrap();
        next = last + 1;
    }
}

/// Every event as it has to be; how many there are.
fn check_all(store: &Store) -> annals::Result<u64> {
    let mut count = 0;
    store.reader().scan(&Query::all(), |found| {
        count += 1;
        check(&found, count);
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

fn check(found: &annals::EventRef<'_>, position: u64) {
    let data: Vec<u8> = format!("{position} ").bytes().cycle().take(40 + (position as usize * 37) % 400).collect();
    assert_eq!(found.position().get(), position, "a gap");
    assert_eq!(found.data(), data, "other data at {position}");
    assert_eq!(found.subject(), format!("note/n-{}", position % 13));
    assert_eq!(found.version(), version(position), "at {position}");
    assert_eq!(found.given_id().map(str::to_owned), given_id(position));
}

/// Looks an event up by every name it has.
fn look_up(reader: &annals::Reader, position: u64) {
    let found = reader.event(position).unwrap().unwrap();
    check(&found.as_ref(), position);
    let subject = found.subject().to_owned();
    let by_version = reader.event_of_version(&subject, version(position)).unwrap().unwrap();
    assert_eq!(by_version.position().get(), position);
    if let Some(id) = given_id(position) {
        assert_eq!(reader.event_by_id(&id).unwrap().map(|found| found.position().get()), Some(position), "{id}");
    }
    assert!(reader.version(&subject).unwrap() >= version(position));
    assert!(reader.fingerprint(position).unwrap().is_some());
}

fn sealed_count(store: &Store) -> usize {
    store.segments().iter().filter(|segment| segment.file.extension().is_some_and(|end| end == "seg")).count()
}
