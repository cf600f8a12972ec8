//! Beside the log: the file of projected tables, as somebody else writes it.

use std::io::Write as _;

use annals::{Action, Actor, ErrorKind, NewEvent, SqlValue, Store, Table};
use rusqlite::Connection;

use crate::{numbers, rows};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let event = |n: i64| NewEvent::json("note.created", format!("note/n-{n}"), &serde_json::json!({"n": n})).unwrap();
    store.append((1..=10).map(event)).unwrap();
    (dir, store)
}

/// The file, as a projection keeps it.
fn tables(dir: &tempfile::TempDir) -> Connection {
    std::fs::create_dir(dir.path().join("projections")).unwrap();
    let tables = Connection::open(dir.path().join("projections/tables.sqlite")).unwrap();
    tables.pragma_update(None, "journal_mode", "WAL").unwrap();
    tables
        .execute_batch(
            "CREATE TABLE annals_checkpoint(name TEXT PRIMARY KEY, version INTEGER, position INTEGER, epoch INTEGER, fingerprint BLOB);
             CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT);
             CREATE TABLE subjects(subject TEXT PRIMARY KEY);
             CREATE VIRTUAL TABLE search USING fts5(text, subject UNINDEXED, position UNINDEXED);
             INSERT INTO notes VALUES ('n-1', 'One'), ('n-2', 'Two');
             INSERT INTO search VALUES ('the quick fox', 'note/n-1', 1), ('a lazy dog', 'note/n-2', 2);
             INSERT INTO annals_checkpoint VALUES ('notes', 1, 7, 1, x''), ('search', 1, 10, 1, x'');",
        )
        .unwrap();
    tables
}

#[test]
fn the_tables_are_read_beside_the_log_and_say_how_far_they_are() {
    let (dir, store) = store();
    let table = Table::new("notes").adopting("note.created", Action::Create);
    store.add_table(table, Actor::user("alice")).unwrap();
    assert_eq!(numbers(&store, "SELECT count(*) FROM notes", ()), [10]);
    assert_eq!(numbers(&store, "SELECT count(*) FROM search", ()), [0]);
    // Another process keeps the tables, and does not come to it.
    let lock = std::fs::File::options().write(true).open(dir.path().join("projections/LOCK")).unwrap();
    lock.lock().unwrap();
    let event = |n: i64| NewEvent::json("note.created", format!("note/n-{n}"), &serde_json::json!({"n": n})).unwrap();
    store.append((11..=13).map(event)).unwrap();
    let behind = store.sql("SELECT max(n) FROM notes", ()).unwrap();
    assert_eq!((behind.lag(), behind.lags().collect::<Vec<_>>()), (3, vec![("notes", 3)]));
    assert_eq!(behind.map(|row| row.unwrap().values()[0].clone()).collect::<Vec<_>>(), [SqlValue::from(10)]);
    let joined = "SELECT count(*), max(e.position) FROM Notes n JOIN events e ON e.subject = 'note/' || n.id";
    let mut joined = store.sql(joined, ()).unwrap();
    assert_eq!(joined.lag(), 3);
    assert_eq!(joined.next().unwrap().unwrap().values(), [SqlValue::from(10), 10.into()]);
    assert_eq!(store.sql("SELECT count(*) FROM events", ()).unwrap().lag(), 0, "the log is never behind itself");
    // One that was never made cannot be made now.
    assert_eq!(store.sql("SELECT * FROM subjects", ()).unwrap_err().kind(), ErrorKind::Locked);

    // A statement sees what was there when it began, while the tables go on.
    let mut under_way = store.sql("SELECT a.n FROM notes a, notes b, events e, events f", ()).unwrap();
    under_way.next().unwrap().unwrap();
    drop(lock);
    assert_eq!(numbers(&store, "SELECT count(*) FROM notes", ()), [13], "whoever asks brings it up");
    assert_eq!(store.sql("SELECT * FROM notes", ()).unwrap().lag(), 0);
    assert_eq!(under_way.map(Result::unwrap).count(), 10 * 10 * 14 * 14 - 1);

    let error = store.sql("SELECT * FROM nope", ()).unwrap_err();
    assert_eq!(error.hint(), Some("the tables are events, notes, search"));
    for statement in ["DELETE FROM notes", "INSERT INTO search(search) VALUES ('optimize')", "DROP TABLE notes"] {
        assert_eq!(store.sql(statement, ()).unwrap_err().kind(), ErrorKind::Invalid, "{statement}");
    }
    assert_eq!(numbers(&store, "SELECT count(*) FROM sqlite_schema WHERE name = 'notes'", ()), [1]);
}

/// Without the writer the file is all there is, and nothing can be made beside it.
#[test]
#[cfg(unix)]
fn the_tables_are_read_in_a_directory_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, store) = store();
    drop(tables(&dir));
    let projections = dir.path().join("projections");
    assert!(!projections.join("tables.sqlite-wal").exists(), "the last to close leaves the file alone");
    let set = |mode| std::fs::set_permissions(&projections, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    if std::fs::write(projections.join("probe"), "").is_ok() {
        writeln!(std::io::stderr(), "SKIPPED in part: this user may write everywhere").unwrap();
        std::fs::remove_file(projections.join("probe")).ok();
    }
    let titles = rows(&store, "SELECT title FROM notes", ());
    set(0o755);
    assert_eq!(titles.len(), 2);
}

#[test]
fn a_damaged_file_of_tables_leaves_the_log_as_it_is() {
    let (dir, store) = store();
    drop(tables(&dir));
    let file = dir.path().join("projections/tables.sqlite");
    for damaged in [b"this is no database, but long enough to be looked at".repeat(40), Vec::new()] {
        std::fs::write(&file, &damaged).unwrap();
        assert_eq!(numbers(&store, "SELECT count(*) FROM events", ()), [10]);
        let error = store.sql("SELECT * FROM notes", ()).unwrap_err();
        match damaged.is_empty() {
            true => assert_eq!(error.to_string(), "no such table: notes"),
            false => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
                assert!(error.hint().unwrap().contains("rebuild"), "{error}");
            }
        }
    }
}
