//! Group commit: what each append is told is what became of it, in order, whatever fails; and nobody is left asleep,
//! which shuttle reports as a deadlock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use shuttle::rand::Rng;
use shuttle::thread;

use super::{check, disk, event, events, name_of, open, options};
use crate::io::Clock;
use crate::models::Model;
use crate::sim::{Call, Crash, FailPlan, Fault, SimStorage};
use crate::sync::chosen::Timeouts;
use crate::{Append, AppendError, Appended, Expected, Store};

/// Threads that append, and how often each does.
const THREADS: usize = 3;
const APPENDS: usize = 2;

pub(super) fn models() -> Vec<Model> {
    vec![
        Model {
            name: "commit",
            claim: "each append gets its own outcome, one of two rivals loses, order is kept, what is told survives",
            controls: &["notify:log/commit.rs", "sync"],
            run: |schedules| check(schedules, Timeouts::Always, || run(Trouble::None)),
        },
        Model {
            name: "commit-failed-sync",
            claim: "a sync that fails stops the writer, wakes all, and what was told as done survives",
            controls: &["notify:log/commit.rs", "sync"],
            run: |schedules| check(schedules, Timeouts::Always, || run(Trouble::Sync)),
        },
        Model {
            name: "commit-failed-call",
            claim: "whichever call fails, all are woken, what is done survives and what is refused is not there",
            controls: &["notify:log/commit.rs", "sync"],
            run: |schedules| check(schedules, Timeouts::Always, || run(Trouble::Call)),
        },
        Model {
            name: "commit-panic",
            claim: "a leader that panics stops the writer, wakes all, and leads nobody to believe that it is done",
            controls: &["notify:log/commit.rs", "sync"],
            run: |schedules| check(schedules, Timeouts::Always, || run(Trouble::Panic)),
        },
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Sync,
    Call,
    Panic,
}

/// A clock that panics once, at a look chosen before.
#[derive(Debug)]
struct Fuse(AtomicI64);

impl Clock for Fuse {
    fn wall_nanos(&self) -> i64 {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 0 {
            panic!("the fuse of the model");
        }
        1
    }

    fn boot_nanos(&self) -> i64 {
        1
    }
}

type Told = Vec<(String, Result<Appended, AppendError>)>;

fn run(trouble: Trouble) {
    let disk = disk();
    let fuse = Arc::new(Fuse(AtomicI64::new(-1)));
    let store = open(&disk, options().clock(fuse.clone()));
    let mut random = shuttle::rand::thread_rng();
    match trouble {
        Trouble::None => {}
        // Whenever the checker lets it.
        Trouble::Sync => {
            let disk = Arc::clone(&disk);
            thread::spawn(move || disk.fail(FailPlan::next(Call::SyncData, Fault::Eio)));
        }
        Trouble::Call => disk.fail(FailPlan::at(disk.call_count() + random.gen_range(0..24), Fault::Eio)),
        Trouble::Panic => fuse.0.store(random.gen_range(0..12), Ordering::Relaxed),
    }
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || append(&store, thread))
        })
        .collect();
    let tickets: Vec<_> = (0..APPENDS)
        .map(|number| {
            let name = name_of(9, number);
            (name.clone(), store.submit(Append::new([event("note/tickets", &name)])))
        })
        .collect();
    let mut told: Vec<Told> = vec![tickets.into_iter().map(|(name, ticket)| (name, ticket.wait())).collect()];
    told.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    // As it would be found now: closing syncs everything.
    let (cut, left) = (disk.crash(Crash::None), disk.snapshot());
    disk.heal();
    judge(&store, &told, trouble);
    // After a failure it says so, and is closed all the same; the thread for tickets ends.
    let _ = store.close();
    survives(&cut, &left, &told);
    survives(&disk.crash(Crash::None), &disk.snapshot(), &told);
}

/// What one thread appends: its own events, and one that only one thread can.
fn append(store: &Store, thread: usize) -> Told {
    let subject = format!("note/t{thread}");
    let mut told: Told = (0..APPENDS)
        .map(|number| {
            let name = name_of(thread, number);
            let append = Append::new([event(&subject, &name)]);
            (name, store.append_with(append.expect(subject.clone(), Expected::Exactly(number as u64))))
        })
        .collect();
    let name = name_of(thread, APPENDS);
    let rival = Append::new([event("note/once", &name)]).expect("note/once", Expected::NoSubject);
    told.push((name, store.append_with(rival)));
    told
}

fn judge(store: &Store, told: &[Told], trouble: Trouble) {
    let found = events(store);
    for of_thread in told {
        let mut last = 0;
        for (name, outcome) in of_thread {
            let Ok(done) = outcome else { continue };
            assert!(done.first == done.last && !done.duplicate);
            assert_eq!(&found[done.first.get() as usize - 1], name, "told of another's event");
            assert!(done.first.get() > last, "a thread's appends changed places");
            last = done.first.get();
        }
    }
    let outcomes = || told.iter().flatten();
    for (name, outcome) in outcomes() {
        let is_there = found.contains(name);
        match outcome {
            Ok(_) => assert!(is_there),
            // Whether it is there is known only after reopening.
            Err(AppendError::Poisoned { .. }) => assert!(trouble != Trouble::None && !is_there),
            Err(AppendError::Conflict { .. }) => assert!(!is_there, "refused, and there"),
            Err(other) => assert!(trouble == Trouble::Call && !is_there, "{other}"),
        }
    }
    if trouble == Trouble::None {
        let lost = outcomes().filter(|(_, outcome)| outcome.is_err()).count();
        assert_eq!(lost, THREADS - 1, "of the rivals all but one lose");
        assert_eq!(found.len(), outcomes().count() - lost);
    }
}

/// What a power cut leaves holds what was told as done, and a killed process nothing that was refused for certain.
fn survives(cut: &Arc<SimStorage>, killed: &Arc<SimStorage>, told: &[Told]) {
    let after_cut = events(&open(cut, options()));
    let after_kill = events(&open(killed, options()));
    for (name, outcome) in told.iter().flatten() {
        match outcome {
            Ok(done) => {
                let at = done.first.get() as usize - 1;
                assert_eq!(after_cut.get(at), Some(name), "told as done, and gone with the power");
            }
            Err(AppendError::Poisoned { unknown: true, .. }) => {}
            Err(_) => assert!(!after_kill.contains(name), "refused, and there after reopening"),
        }
    }
}
