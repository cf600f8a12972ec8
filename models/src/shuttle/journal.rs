//! The file of a worker: what a step was told is kept is in the file, at whatever moment the power goes, for as long as its
//! event is not finished; and the file never passes over an event that is neither open nor finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::rand::Rng;
use shuttle::thread;

use super::{check, disk, event, name_of, open, options};
use crate::Checkpoint;
use crate::format::worker::Entry;
use crate::io::Clock;
use crate::models::Model;
use crate::position::Position;
use crate::sim::{Crash, ManualClock};
use crate::sync::chosen::Timeouts;
use crate::worker::journal::Journal;
use crate::worker::kept;

const EVENTS: usize = 3;
const NAME: &str = "w";

pub(super) fn models() -> Vec<Model> {
    vec![Model {
        name: "journal",
        claim: "a step that is acknowledged is in the file, and the file passes over no event that is not finished",
        controls: &["notify:worker/journal.rs", "sync"],
        run: |schedules| check(schedules, Timeouts::Always, run),
    }]
}

/// How far each event is; no step of its own, so the checker does not see it.
#[derive(Default)]
struct Facts {
    acknowledged: [AtomicBool; EVENTS],
    finishing: [AtomicBool; EVENTS],
}

fn flags(of: &[AtomicBool; EVENTS]) -> [bool; EVENTS] {
    [0, 1, 2].map(|index: usize| of[index].load(Ordering::SeqCst))
}

fn run() {
    let disk = disk();
    let store = open(&disk, options());
    for number in 0..EVENTS {
        store.append([event("note/n", &name_of(0, number))]).unwrap();
    }
    let log = Arc::clone(&store.inner.log);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1));
    let journal = Arc::new(Journal::open(&log, &clock, NAME, || Ok(Some(Checkpoint::ORIGIN))).unwrap());
    let facts = Arc::new(Facts::default());

    let power = {
        let (disk, facts, id) = (Arc::clone(&disk), Arc::clone(&facts), log.id);
        thread::spawn(move || {
            for _ in 0..2 {
                let acknowledged = flags(&facts.acknowledged);
                let crash = if shuttle::rand::thread_rng().r#gen() { Crash::None } else { Crash::Random(7) };
                let found = disk.crash(crash);
                judge(&kept::read(&*found, id, NAME).unwrap().unwrap().state, acknowledged, flags(&facts.finishing));
                thread::yield_now();
            }
        })
    };
    // As the thread that reads: events are opened in order, and it is written down now and then how far that is.
    let mut steps = Vec::new();
    for index in 0..EVENTS {
        journal.opened(Position::new(index as u64 + 1), true);
        let (journal, facts) = (Arc::clone(&journal), Arc::clone(&facts));
        steps.push(thread::spawn(move || step(&journal, &facts, index)));
    }
    journal.flush().unwrap();
    steps.into_iter().for_each(|step| step.join().unwrap());
    power.join().unwrap();
    journal.flush().unwrap();
    journal.mark().unwrap();
    let state = kept::read(&*disk.crash(Crash::None), log.id, NAME).unwrap().unwrap().state;
    assert_eq!((state.through.position.get(), state.open.len()), (EVENTS as u64, 0));
}

fn step(journal: &Journal, facts: &Facts, index: usize) {
    let position = Position::new(index as u64 + 1);
    let result = Entry::Result { position, step: "a".to_owned(), json: index.to_string() };
    journal.wait(journal.note([result])).unwrap();
    facts.acknowledged[index].store(true, Ordering::SeqCst);
    // The last one stays open for longer.
    if index + 1 == EVENTS {
        journal.flush().unwrap();
    }
    facts.finishing[index].store(true, Ordering::SeqCst);
    journal.finished(position);
}

fn judge(state: &crate::worker::state::State, acknowledged: [bool; EVENTS], finishing: [bool; EVENTS]) {
    for index in 0..EVENTS {
        let position = Position::new(index as u64 + 1);
        let open = state.open.get(&position);
        if acknowledged[index] && !finishing[index] {
            assert!(open.is_some_and(|open| open.memos.contains_key("a")), "an acknowledged step is gone");
        }
        if position <= state.through.position && !finishing[index] {
            assert!(open.is_some(), "position {position} was passed over");
        }
    }
}
