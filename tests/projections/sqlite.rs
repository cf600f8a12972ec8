//! Projections into SQLite: exactly once, whatever happens in between.

use std::process::{Command, Stdio};

use annals::{EventRef, SqlFold, SqlTx, SqliteProjection};

use super::*;

const CHILD: &str = "ANNALS_TEST_PROJECTING_STORE";

/// Notes every event, and fails after some of a batch when it is told to.
#[derive(Default)]
struct Notes {
    version: u32,
    failures: Option<Arc<AtomicU64>>,
    applied: u64,
}

impl SqlFold for Notes {
    fn name(&self) -> &str {
        "notes-taken"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn create(&self, tx: &SqlTx<'_>) -> Result<(), BoxError> {
        // No key: an event that is taken in twice would stand there twice.
        Ok(tx.execute_all("CREATE TABLE noted (position INTEGER, subject TEXT, version INTEGER)")?)
    }

    fn apply(&mut self, tx: &SqlTx<'_>, event: EventRef<'_>) -> Result<(), BoxError> {
        tx.execute(
            "INSERT INTO noted VALUES (?1, ?2, ?3)",
            (event.position(), event.subject(), i64::from(self.version)),
        )?;
        self.applied += 1;
        if let Some(left) = &self.failures
            && self.applied.is_multiple_of(50)
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            return Err("in the middle of a batch".into());
        }
        Ok(())
    }
}

fn noted(handle: &ProjectionHandle<SqliteProjection<Notes>>) -> Vec<(i64, i64)> {
    let rows = handle.with(|model| model.rows("SELECT position, version FROM noted ORDER BY position", ())).unwrap();
    rows.iter()
        .map(|row| (row.get(0).unwrap().as_integer().unwrap(), row.get(1).unwrap().as_integer().unwrap()))
        .collect()
}

fn each_once(handle: &ProjectionHandle<SqliteProjection<Notes>>, last: i64, version: i64) {
    let expected: Vec<(i64, i64)> = (1..=last).map(|position| (position, version)).collect();
    assert!(noted(handle) == expected, "an event is missing or there twice");
}

#[test]
fn effects_and_checkpoint_are_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 1_500);
    let left = Arc::new(AtomicU64::new(3));
    let notes = store.project(SqliteProjection::new(Notes { failures: Some(left), ..Notes::default() })).unwrap();
    assert!(notes.wait_for(1_500, LONG).unwrap());
    each_once(&notes, 1_500, 0);
    drop(notes);
    store.append(events(1_501, 1_600)).unwrap();
    let notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
    assert!(notes.status().position >= Position::new(1_500), "it begins where it stopped");
    assert!(notes.wait_for(1_600, LONG).unwrap());
    each_once(&notes, 1_600, 0);
}

#[test]
fn another_version_is_built_beside_the_one_that_serves() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 1_000);
    let notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
    assert!(notes.wait_for(1_000, LONG).unwrap());
    drop(notes);
    let file = directory.path().join("projections/notes-taken.sqlite");
    let kept = rusqlite::Connection::open(&file).unwrap();
    let versions = || -> (i64, i64) {
        kept.query_row("SELECT count(*), max(version) FROM noted", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let notes = store.project(SqliteProjection::new(Notes { version: 2, ..Notes::default() })).unwrap();
    let another = ["noted: 1000 rows in the old one, 1000 in the new one, not the same"];
    // Whoever reads the file sees the old rows or the new ones, all of them.
    until("served", || {
        let (rows, version) = versions();
        assert_eq!(rows, 1_000);
        version == 2
    });
    assert!(notes.wait_for(1_000, LONG).unwrap());
    each_once(&notes, 1_000, 2);
    until("told", || notes.status().differences == another);
    drop(notes);
    // What an older one says of fewer events is no difference.
    store.append(events(1_001, 1_001)).unwrap();
    let notes = store.project(SqliteProjection::new(Notes { version: 3, ..Notes::default() })).unwrap();
    until("served", || versions() == (1_001, 3));
    until("following", || notes.status().state == ProjectionState::Following);
    assert_eq!((notes.status().differences, notes.status().error), (Vec::new(), None));
    assert!(!directory.path().join("projections/notes-taken.new.sqlite").exists());
}

#[test]
fn a_rebuild_says_in_what_it_differs() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 400);
    let notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
    assert!(notes.wait_for(400, LONG).unwrap());
    let file = directory.path().join("projections/notes-taken.sqlite");
    rusqlite::Connection::open(&file).unwrap().execute("DELETE FROM noted WHERE position = 17", []).unwrap();
    notes.rebuild();
    until("rebuilt", || notes.status().rebuilds == 1);
    let status = notes.status();
    assert_eq!(status.differences, ["noted: 399 rows in the old one, 400 in the new one, not the same"]);
    each_once(&notes, 400, 0);
    store.append(events(401, 450)).unwrap();
    assert!(notes.wait_for(450, LONG).unwrap());
    each_once(&notes, 450, 0);
}

#[test]
fn a_file_that_is_no_database_or_of_another_store_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 300);
    let other_directory = tempfile::tempdir().unwrap();
    let other = filled(other_directory.path(), 300);
    let notes = other.project(SqliteProjection::new(Notes::default())).unwrap();
    assert!(notes.wait_for(300, LONG).unwrap());
    drop(notes);
    let file = directory.path().join("projections/notes-taken.sqlite");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let foreign = std::fs::read(other_directory.path().join("projections/notes-taken.sqlite")).unwrap();
    for bytes in [b"no database at all, but long enough to look at".repeat(30), foreign, Vec::new()] {
        std::fs::write(&file, &bytes).unwrap();
        let notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
        assert!(notes.wait_for(300, LONG).unwrap());
        until("made anew", || notes.status().lag == 0 && noted(&notes).len() == 300);
        each_once(&notes, 300, 0);
        drop(notes);
        let _ = std::fs::remove_file(&file);
    }
}

#[test]
fn damage_that_is_met_while_it_follows_the_log_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 1_000);
    let notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
    let file = directory.path().join("projections/notes-taken.sqlite");
    let mut held = Vec::new();
    for way in 0..spoil::WAYS {
        let last = 1_001 + u64::from(way);
        assert!(notes.wait_for(last - 1, LONG).unwrap());
        held.push(spoil::spoil_live(&file, way));
        store.append(events(last, last)).unwrap();
        assert!(notes.wait_for(last, LONG).unwrap(), "{:?}", notes.status());
        let status = notes.status();
        assert_eq!((status.rebuilds, status.error), (u64::from(way) + 1, None));
        each_once(&notes, last as i64, 0);
    }
    drop(notes);
    let notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
    assert_eq!(notes.status().position, Position::new(1_000 + u64::from(spoil::WAYS)), "what it made is kept");
}

#[test]
fn two_processes_cannot_keep_the_same_projections() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 10);
    let first = store.project(SqliteProjection::new(Notes::default())).unwrap();
    // Another handle stands for another process: a lock is a file's, not a process's.
    let reader = Store::options().read_only(true).open(directory.path()).unwrap();
    let error = reader.project(SqliteProjection::new(Notes::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    drop(first);
    reader.project(SqliteProjection::new(Notes::default())).unwrap();
}

/// The process that is killed: projects until it is.
#[test]
fn the_projecting_process() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Store::options().read_only(true).open(path).unwrap();
    let _notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
    println!("projecting");
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn killed_in_the_middle_nothing_is_lost_and_nothing_doubled() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 30_000);
    let kills = std::env::var("ANNALS_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::the_projecting_process", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(40 + 37 * kill % 300));
        child.kill().unwrap();
        child.wait().unwrap();
        store.append(events(30_001 + kill, 30_001 + kill)).unwrap();
    }
    let last = store.reader().tail();
    let notes = store.project(SqliteProjection::new(Notes::default())).unwrap();
    assert!(notes.wait_for(last, LONG).unwrap());
    each_once(&notes, last.get() as i64, 0);
}
