//! LIVE: what a reader in another process believes was published, with the list of files that goes with it.

use std::sync::Arc;

use loom::thread;

use super::check;
use super::disk::Stub;
use crate::event::LogId;
use crate::log::live_file::{LiveReader, LiveWriter};
use crate::models::Model;
use crate::position::Position;
use crate::sync::atomic::{AtomicU64, Ordering};

pub(super) fn models() -> Vec<Model> {
    vec![
        Model {
            name: "live-publish",
            claim: "a position that LIVE shows with its check was written before, and its durability is shown with it",
            controls: &["release:loom/disk.rs", "fence:loom/disk.rs"],
            run: |_| check(|| run(false)),
        },
        Model {
            name: "live-files",
            claim: "a position is shown with the generation of a list of files that holds it",
            controls: &["release:loom/disk.rs", "fence:loom/disk.rs"],
            run: |_| check(|| run(true)),
        },
    ]
}

fn run(rolls: bool) {
    let log = LogId([1; 16]);
    let storage = Arc::new(Stub::new(Vec::new()));
    let writer = LiveWriter::begin(&*storage).unwrap();
    writer.open(&*storage, log, 1, Position::ORIGIN, Position::ORIGIN).unwrap();
    let reader = LiveReader::open(&*storage).unwrap();
    let begun = reader.look(&*storage, log).expect("the page is whole").generation;
    // What was written to files before it was told, with no ordering of its own.
    let (event, file) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));

    let looks = {
        let (storage, event, file) = (Arc::clone(&storage), Arc::clone(&event), Arc::clone(&file));
        thread::spawn(move || {
            // A page that changes all the time is not believed, which is fine.
            let Some(seen) = reader.look(&*storage, log) else { return };
            assert!(seen.published.get() <= event.load(Ordering::Relaxed), "a position was shown before its event");
            assert!(seen.published <= seen.durable, "a position was shown before its durability");
            if seen.generation != begun && seen.generation % 2 == 0 {
                assert_eq!(file.load(Ordering::Relaxed), 1, "a list of files was shown before its file");
            }
            if rolls && seen.published.get() == 1 {
                assert!(seen.generation > begun && seen.generation % 2 == 0, "its file is in no list");
            }
        })
    };
    if rolls {
        writer.change(|| file.store(1, Ordering::Relaxed));
    }
    event.store(1, Ordering::Relaxed);
    writer.durable(Position::new(1));
    writer.publish(Position::new(1));
    looks.join().unwrap();
}
