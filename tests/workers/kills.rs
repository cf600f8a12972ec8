//! A process that is killed in the middle, again and again.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

const CHILD: &str = "ANNALS_TEST_WORKING_STORE";
const EVENTS: u64 = 3_000;

/// Says what it does in a file that is written through the system, so that it survives the kill.
fn start(store: &Store, marks: &Path) -> annals::WorkerHandle {
    let marks = std::fs::OpenOptions::new().create(true).append(true).open(marks).unwrap();
    let marks = Arc::new(Mutex::new(marks));
    worker(store, "killed")
        .concurrency(4)
        .run(move |job, step| {
            let position = job.position().get();
            let mark = |what: &str| marks.lock().write_all(format!("{what} {position}\n").as_bytes());
            step.run("send", || mark("doing"))?;
            // The result was acknowledged: from now on the step must never be done again.
            mark("did")?;
            step.append("make", event("made", &format!("m/{position}"), "x").caused_by(position))?;
            mark("finished")?;
            Ok(())
        })
        .unwrap()
}

/// The process that is killed: works until it is.
#[test]
fn the_working_process() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Store::open(Path::new(&path).join("store")).unwrap();
    let _handle = start(&store, &Path::new(&path).join("marks"));
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn killed_in_the_middle_nothing_is_passed_over_and_no_step_that_was_acknowledged_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, marks) = (directory.path().join("store"), directory.path().join("marks"));
    let store = Store::open(&path).unwrap();
    for from in (1..=EVENTS).step_by(500) {
        store.append(jobs(from, from + 499)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let kills = std::env::var("ANNALS_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8);
    for kill in 0..kills {
        let length = || std::fs::metadata(&marks).map_or(0, |meta| meta.len());
        let before = length();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::the_working_process", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Once it works, and some time after; unless all is done already.
        let is_done =
            || std::fs::read_to_string(&marks).is_ok_and(|told| told.matches("finished").count() as u64 >= EVENTS);
        until("the process works", || length() > before || is_done());
        std::thread::sleep(Duration::from_millis(37 * kill % 150));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = Store::open(&path).unwrap();
    let before = store.workers().unwrap().remove(0);
    assert!(before.checkpoint.get() > 0, "the process never came to work: {before:?}");
    let handle = start(&store, &marks);
    assert!(handle.wait_for(EVENTS, LONG * 2).unwrap());
    let told = std::fs::read_to_string(&marks).unwrap();
    let (mut did, mut finished) = (BTreeMap::new(), BTreeMap::new());
    for line in told.lines() {
        let (what, position) = line.split_once(' ').unwrap();
        let position: u64 = position.parse().unwrap();
        match what {
            "doing" => assert!(!did.contains_key(&position), "the step of {position} was done again"),
            "did" => drop(did.insert(position, ())),
            _ => drop(finished.insert(position, ())),
        }
    }
    assert_eq!(finished.keys().copied().collect::<Vec<_>>(), (1..=EVENTS).collect::<Vec<_>>());
    let reader = store.reader();
    for position in 1..=EVENTS {
        assert_eq!(reader.version(&format!("m/{position}")).unwrap(), 1, "{position}");
    }
    assert_eq!(reader.tail(), Position::new(2 * EVENTS));
}
