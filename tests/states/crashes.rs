//! The power goes, or a call fails, while states are stored.

use annals::sim::{Call, Crash, FailPlan, Fault};

use super::*;

/// Appends to a few subjects and loads them, so that states are stored, files begun and compacted.
fn run(store: &Store) {
    for n in 1..=40u64 {
        let subject = format!("a/{}", n % 3);
        append(store, &subject, n, 1);
        check(&store.reader(), &subject);
    }
}

#[test]
fn power_cuts_at_every_operation() {
    let clock = sim::clock();
    let disk = SimStorage::with_trace();
    let store = sim::open(&disk, options(&clock, 1)).unwrap();
    run(&store);
    let trace = disk.trace();
    let mut used = 0;
    for op in (1..=trace.ops().len() as u64).rev().step_by(3) {
        for crash in [Crash::None, Crash::All, Crash::Random(op), Crash::Random(op + 1_000_000)] {
            let found = trace.state_after(op, crash);
            // Before the store was made there is nothing to read.
            let Ok(store) = sim::open(&found, options(&clock, 1)) else { continue };
            for subject in ["a/0", "a/1", "a/2"] {
                used += u64::from(check(&store.reader(), subject).is_some());
            }
            append(&store, "a/0", 100, 2);
            check(&store.reader(), "a/0");
            assert_eq!(check(&store.reader(), "a/0"), Some(store.reader().tail()));
        }
    }
    assert!(used > 100, "{used} states survived");
}

#[test]
fn failing_calls_cost_the_state_alone() {
    let clock = sim::clock();
    for fault in [Fault::Eio, Fault::Enospc] {
        for call in [Call::CreateDir, Call::Open, Call::Write, Call::Rename, Call::SetLen, Call::Metadata, Call::Read] {
            let disk = SimStorage::new();
            let store = sim::open(&disk, options(&clock, 2)).unwrap();
            append(&store, "a/1", 1, 4);
            disk.fail(FailPlan::every(call, fault));
            let reader = store.reader();
            let loaded = reader.load::<Tally>("a/1");
            disk.heal();
            // Only a read of the log itself may fail the load.
            if let Ok(loaded) = loaded {
                assert_eq!(loaded.state, naive(&reader, "a/1").0, "{call:?} {fault:?}");
            }
            append(&store, "a/1", 5, 1);
            check(&store.reader(), "a/1");
            check(&store.reader(), "a/1");
            append(&store, "a/1", 6, 3);
            check(&store.reader(), "a/1");
            assert_eq!(check(&store.reader(), "a/1"), Some(Position::new(8)), "{call:?} {fault:?}");
            store.close().unwrap();
        }
    }
}
