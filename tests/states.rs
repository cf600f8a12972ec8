//! Stored states: whatever becomes of them, `load` answers as a fold of all events does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "states/crashes.rs"]
mod crashes;
#[path = "states/damage.rs"]
mod damage;
#[path = "states/documents.rs"]
mod documents;
#[path = "common/real.rs"]
mod files;
#[path = "states/fold.rs"]
mod fold;
#[path = "states/real.rs"]
mod real;
#[path = "common/sim.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
mod sim;

use std::path::PathBuf;
use std::sync::Arc;

use annals::sim::{ManualClock, SimStorage};
use annals::{BoxError, EventRef, NewEvent, Options, Position, Query, Reader, State, Store};
use serde::{Deserialize, Serialize};

/// A state that any missing, doubled or exchanged event changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    events: u64,
    chain: u64,
    last: Option<String>,
}

impl State for Tally {
    const NAME: &'static str = "tally";

    fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
        if event.data() == b"poison" {
            return Err("poison is not taken".into());
        }
        self.events += 1;
        for byte in event.data().iter().chain(&event.position().get().to_le_bytes()) {
            self.chain = self.chain.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        self.last = Some(String::from_utf8_lossy(event.data()).into_owned());
        Ok(())
    }
}

/// The same events, folded one by one, with version and position of the last.
fn naive(reader: &Reader, subject: &str) -> (Tally, u64, Position) {
    let mut found = (Tally::default(), 0, Position::ORIGIN);
    for event in reader.read(&Query::all().subject(subject)) {
        let event = event.unwrap();
        found.0.apply(event.as_ref()).unwrap();
        (found.1, found.2) = (event.version(), event.position());
    }
    found
}

#[track_caller]
fn check(reader: &Reader, subject: &str) -> Option<Position> {
    let loaded = reader.load::<Tally>(subject).unwrap();
    assert_eq!((loaded.state, loaded.version, loaded.position), naive(reader, subject), "{subject}");
    loaded.snapshot
}

fn event(subject: &str, n: u64) -> NewEvent {
    NewEvent::bytes("counted", subject, "text/plain", format!("event {n} of {subject}").into_bytes())
}

fn append(store: &Store, subject: &str, from: u64, count: u64) {
    for n in from..from + count {
        store.append([event(subject, n)]).unwrap();
    }
}

/// A simulated store that stores a state every so many events.
fn options(clock: &Arc<ManualClock>, every: u64) -> Options {
    sim::options(clock).snapshot_every(every)
}

fn snapshot_files(disk: &SimStorage) -> Vec<(PathBuf, Vec<u8>)> {
    sim::files(disk).into_iter().filter(|(path, _)| path.starts_with("snapshots")).collect()
}
