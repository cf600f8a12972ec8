//! Closing while others append: nobody is left asleep, and what was told as done is there.

use shuttle::thread;

use super::{check, disk, event, events, name_of, open, options};
use crate::models::Model;
use crate::sim::Crash;
use crate::sync::chosen::Timeouts;
use crate::{Append, AppendError};

pub(super) fn models() -> Vec<Model> {
    vec![Model {
        name: "close",
        claim: "of appends and tickets that meet a closing store, each is done and survives, or is told that it is closed",
        controls: &["notify:log/commit.rs", "sync"],
        run: |schedules| check(schedules, Timeouts::Always, run),
    }]
}

fn run() {
    let disk = disk();
    let store = open(&disk, options());
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || {
                let name = name_of(thread, 0);
                let done = store.append([event("note/n", &name)]);
                let ticket_name = name_of(thread, 1);
                let ticket = store.submit(Append::new([event("note/n", &ticket_name)]));
                [(name, done), (ticket_name, ticket.wait())]
            })
        })
        .collect();
    let closer = {
        let store = store.clone();
        thread::spawn(move || store.close().unwrap())
    };
    let told: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    closer.join().unwrap();
    let found = events(&open(&disk.crash(Crash::None), options()));
    for (name, outcome) in told {
        match outcome {
            Ok(done) => assert_eq!(found.get(done.first.get() as usize - 1), Some(&name), "done, and not there"),
            Err(AppendError::Closed) => assert!(!found.contains(&name), "closed before it, and there"),
            Err(other) => panic!("{other}"),
        }
    }
}
