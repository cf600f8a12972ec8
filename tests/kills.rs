//! `kill -9` at any moment of a process that does everything at once: appends in three ways, imports, seals, answers
//! requests, runs a worker, keeps tables and a projection in SQLite. One oracle says after each kill what must be true;
//! see `busy/check.rs`. The single parts are killed in `processes.rs`, `flow/kills.rs`, `workers/kills.rs` and
//! `projections/sqlite.rs`.
//!
//! 50 kills; `ANNALS_KILLS=1000` makes it a long test.

#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "busy/mod.rs"]
mod busy;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use busy::Dice;
use busy::check::{Found, check};

const STORE: &str = "ANNALS_TEST_BUSY_STORE";
const SEED: &str = "ANNALS_TEST_BUSY_SEED";

/// A new directory and, outside of the store, its ledger.
fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (store, ledger) = (directory.path().join("store"), directory.path().join("ledger"));
    (directory, store, ledger)
}

/// Not a test: the process that is killed.
#[test]
#[ignore = "the child of the other tests"]
fn the_busy_process() {
    let Some(directory) = std::env::var_os(STORE) else { return };
    let directory = Path::new(&directory);
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    println!();
    let ended = busy::write::write(&directory.join("store"), &directory.join("ledger"), seed, busy::LONG);
    panic!("it ended by itself: {ended:?}");
}

fn start(directory: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["the_busy_process", "--exact", "--ignored", "--nocapture"])
        .env(STORE, directory)
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn whatever_it_is_doing_a_kill_costs_nothing_that_was_acknowledged() {
    let kills: u64 = std::env::var("ANNALS_KILLS").map_or(50, |text| text.parse().expect("ANNALS_KILLS is a number"));
    let begun = Instant::now();
    let mut dice = Dice(11);
    let mut place = place();
    let (mut held, mut events, mut interrupted, mut cut, mut while_opening) = (0, 0, 0, 0, 0);
    let mut before = Found::default();
    for kill in 0..kills {
        // Anew now and then: a check reads the whole log.
        if kill % 20 == 0 {
            place = self::place();
            before = Found::default();
        }
        let (directory, store, ledger) = &place;
        let mut child = start(directory.path(), kill);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        // Every fourth time counts from the start, so that openings are hit too.
        let mut opened = kill % 4 == 0;
        if opened {
            while_opening += 1;
            std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        } else {
            let mut line = String::new();
            while !opened && output.read_line(&mut line).unwrap() > 0 {
                opened = line.starts_with("OPEN");
                line.clear();
            }
            std::thread::sleep(Duration::from_micros(dice.below(250_000)));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let mut complaint = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert!(opened && status.code().is_none(), "kill {kill}: it ended by itself, {status}: {complaint}");
        assert!(!complaint.contains("panicked"), "kill {kill}: {complaint}");
        let found = check(store, ledger).unwrap_or_else(|error| {
            let kept = std::mem::replace(&mut place, self::place()).0.keep();
            panic!("kill {kill}: {error}; the store and its ledger are left in {}", kept.display())
        });
        held += found.acknowledged - before.acknowledged;
        events += found.events - before.events;
        interrupted += u64::from(found.was_interrupted);
        cut += u64::from(found.was_cut);
        before = found;
    }
    println!(
        "kills: {kills} kills, {while_opening} of them counted from the start of the process, 0 violations: {held} \
         acknowledgements held, {events} events, {interrupted} stores had not been closed, {cut} had a torn tail, {} s",
        begun.elapsed().as_secs()
    );
    assert!(held > kills * 20, "too little was acknowledged for the test to mean anything: {held}");
}

/// A check that has never been seen to fail is not one.
#[test]
fn the_oracle_sees_what_is_missing_or_wrong() {
    let (directory, store, ledger) = place();
    busy::write::write(&store, &ledger, 5, Duration::from_millis(1_500)).unwrap();
    check(&store, &ledger).unwrap();
    let good = std::fs::read_to_string(&ledger).unwrap();
    let newest = |word: &str| good.lines().rfind(|line| line.starts_with(word)).unwrap().to_owned();
    let ack: Vec<u64> = newest("ack 0").split(' ').skip(2).map(|number| number.parse().unwrap()).collect();
    let tried = newest("try 2");
    let without_it = good.lines().filter(|line| **line != tried && !line.starts_with(&tried.replace("try", "ack")));
    let without_it: String = without_it.map(|line| format!("{line}\n")).collect();
    let did = newest("did").replace("did", "do");
    let request = newest("asked").split(' ').nth(2).unwrap().to_owned();
    let doctored = [
        ("acknowledged to writer 0", format!("{good}ack 0 {} {} 900000\n", ack[1] + 1, ack[1] + 1)),
        ("acknowledged to writer 0", good.replace(&newest("ack 0"), &format!("{}1", newest("ack 0")))),
        ("never tried", without_it),
        ("done again", format!("{good}{did}\n")),
        ("acknowledged are not there", format!("{good}done 7777777\n")),
        ("was asked for", format!("{good}asked 5555 {request}\n")),
        ("was validated", format!("{good}ask 5555\nvalidated 5555\n")),
        ("were acknowledged", format!("{good}imported 5555 3\n")),
        ("nobody asked", good.lines().filter(|line| !line.contains("ask")).map(|line| format!("{line}\n")).collect()),
    ];
    for (complaint, text) in doctored {
        std::fs::write(&ledger, text).unwrap();
        let error = check(&store, &ledger).expect_err(complaint).to_string();
        assert!(error.contains(complaint), "{complaint}: {error}");
    }
    std::fs::write(&ledger, &good).unwrap();
    check(&store, &ledger).unwrap();
    // What somebody changed in a table, behind everybody's back, in every row, so that nothing mends it on the way.
    let tables = rusqlite::Connection::open(store.join("projections/tables.sqlite")).unwrap();
    tables.execute("UPDATE works SET number = 0 WHERE id = '0-7'", []).unwrap();
    drop(tables);
    let error = check(&store, &ledger).expect_err("a row was changed").to_string();
    assert!(error.contains("a table differs"), "{error}");
    // One bit of the newest sealed segment.
    let files = std::fs::read_dir(store.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let sealed = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max().unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(sealed).unwrap();
    let (middle, mut byte) = (file.metadata().unwrap().len() / 3, [0]);
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 4], middle).unwrap();
    let error = check(&store, &ledger).expect_err("a bit was flipped").to_string();
    println!("a flipped bit: {error}");
    drop(directory);
}
