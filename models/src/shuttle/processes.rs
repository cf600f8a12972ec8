//! A reader of another process, which has LIVE and the files alone, while the writer rolls, seals and removes. Here it is
//! another handle on the same simulated disk; what the two share is that disk and its words.

use shuttle::thread;

use super::segments::{append, ask};
use super::{check, disk, open, options};
use crate::Store;
use crate::models::Model;
use crate::sync::chosen::Timeouts;

pub(super) fn models() -> Vec<Model> {
    vec![Model {
        name: "processes",
        claim: "a reader of another process sees a consistent prefix that only grows, while raw files go under it",
        controls: &["swap"],
        run: |schedules| check(schedules, Timeouts::Always, run),
    }]
}

fn run() {
    let disk = disk();
    let store = open(&disk, options());
    let writer = {
        let store = store.clone();
        thread::spawn(move || append(&store))
    };
    let sealer = {
        let store = store.clone();
        thread::spawn(move || store.seal().unwrap())
    };
    let other = open(&disk, Store::options().background(false).read_only(true));
    let mut seen = 0;
    ask(&other, &mut seen);
    ask(&other, &mut seen);
    writer.join().unwrap();
    sealer.join().unwrap();
    ask(&other, &mut seen);
    assert_eq!(seen as u64, store.reader().tail().get());
}
