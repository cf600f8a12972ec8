//! What the store tells a subscriber of `tracing`, with the feature of that name.

#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "common/sim.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
mod sim;

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};

use annals::sim::{Call, FailPlan, Fault, SimStorage};
use annals::{BoxError, EventRef, NewEvent, RepairOptions, State, Store};
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Keeps every event as one line.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "annals" && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default, Serialize, Deserialize)]
struct Count(u64);

impl State for Count {
    const NAME: &'static str = "count";

    fn apply(&mut self, _: EventRef<'_>) -> Result<(), BoxError> {
        self.0 += 1;
        Ok(())
    }
}

#[test]
fn what_happens_in_the_background_is_told() {
    let collector = Collector::default();
    let told = collector.0.clone();
    let count = |text: &str| told.lock().unwrap().iter().filter(|line| line.contains(text)).count();
    tracing::subscriber::with_default(collector, || {
        let clock = sim::clock();
        let disk = SimStorage::new();
        let store = sim::open(&disk, sim::options(&clock).snapshot_every(2)).unwrap();
        assert_eq!(count("DEBUG message=opened"), 1);
        for _ in 0..3 {
            store.append([NewEvent::bytes("t", "a/1", "", vec![0; 30_000])]).unwrap();
        }
        assert!(count("DEBUG message=rolled to a new segment") > 0);
        store.seal().unwrap();
        assert!(count("DEBUG message=sealed a segment") > 0);
        store.reader().load::<Count>("a/1").unwrap();
        assert_eq!(count("message=stored a state file=\"snapshots/count-"), 1);
        disk.fail(FailPlan::next(Call::SyncData, Fault::Eio));
        store.append([NewEvent::bytes("t", "a/1", "", *b"")]).unwrap_err();
        assert_eq!(count("WARN message=the writer has stopped reason="), 1);
        drop(store);
        disk.heal();
        let _ = sim::open(&disk, sim::options(&clock)).unwrap();
        assert_eq!(count("DEBUG message=opened"), 2);
    });
    assert_eq!(count("repair"), 0);
}

#[test]
fn a_repair_is_told() {
    let collector = Collector::default();
    let told = collector.0.clone();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append((0..5).map(|n| NewEvent::bytes("t", "a/1", "", vec![n; 100]))).unwrap();
    store.append([NewEvent::bytes("t", "a/1", "", *b"last")]).unwrap();
    store.close().unwrap();
    let path = directory.path().join("log/00000000000000000001.raw");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[12_288 + 200] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    tracing::subscriber::with_default(collector, || {
        Store::repair(directory.path() as &Path, RepairOptions::new()).unwrap();
    });
    let told = told.lock().unwrap();
    assert!(told.iter().any(|line| line.starts_with("WARN message=repair") && line.contains("done=false")), "{told:?}");
}
