//! What is refused, what can be stopped, and what is told when something is wrong.

use std::time::{Duration, Instant};

use annals::{ErrorKind, NewEvent, SqlValue, Store};

use crate::{numbers, rows};

fn store(events: usize) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let event = |n: usize| NewEvent::json("t", format!("s/{}", n % 3), &serde_json::json!({"n": n})).unwrap();
    for first in (0..events).step_by(1000) {
        store.append((first..events.min(first + 1000)).map(event)).unwrap();
    }
    (dir, store)
}

#[test]
fn a_statement_that_does_more_than_read_is_refused() {
    let (dir, store) = store(3);
    let file = dir.path().join("made.sqlite");
    let into = file.display();
    for statement in [
        "INSERT INTO events(type) VALUES ('x')",
        "UPDATE events SET type = 'x'",
        "DELETE FROM events",
        "REPLACE INTO events(type) VALUES ('x')",
        "CREATE TABLE x(a)",
        "CREATE TEMP TABLE x(a)",
        "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
        "DROP TABLE events",
        "ALTER TABLE events RENAME TO x",
        &format!("ATTACH '{into}' AS other"),
        "DETACH main",
        "VACUUM",
        &format!("VACUUM INTO '{into}'"),
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT x",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 7",
        "PRAGMA user_version",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA temp_store_directory = '/'",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('x', x'00')",
        "WITH x AS (SELECT 1) INSERT INTO events SELECT * FROM x",
        "/* SELECT */ DELETE FROM events",
        "EXPLAIN DELETE FROM events",
        "EXPLAIN ATTACH 'x' AS y",
        "SELECT 1; DELETE FROM events",
        "SELECT 1; SELECT 2",
        "SELECT * FROM pragma_user_version",
        "",
        " ;; -- nothing",
    ] {
        let Err(error) = store.sql(statement, ()).and_then(|rows| rows.collect::<annals::Result<Vec<_>>>()) else {
            panic!("not refused: {statement}")
        };
        assert_eq!(error.kind(), ErrorKind::Invalid, "{statement}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(!file.exists());
    assert_eq!(numbers(&store, "SELECT count(*) FROM events;  -- a comment", ()), [3]);
    assert_eq!(rows(&store, "PRAGMA table_info(events)", ()).len(), 18);
    assert_eq!(numbers(&store, "VALUES (1), (2)", ()), [1, 2]);
    assert_eq!(store.reader().tail().get(), 3);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let (_dir, store) = store(3);
    for (statement, message, hint) in [
        ("SELECT\n * FORM events", "near \"FORM\": syntax error, at line 2 of the statement, character 4", ""),
        (
            "SELECT nope FROM events",
            "no such column: nope, at character 8 of the statement",
            "events` has the columns position, ",
        ),
        ("SELECT \"nope\" FROM events", "no such column: \"nope\"", "single quotes"),
        ("SELECT * FROM notes", "no such table: notes", "the only table is events"),
        ("SELECT * FROM main.notes", "no such table: main.notes", "the only table is events"),
        ("SELECT ?1", "the statement has 1 parameter, but 0 values came with it", "?1"),
        ("SELECT nope(1)", "no such function: nope", ""),
        ("SELECT 'open", "unrecognized token", ""),
    ] {
        let error = store.sql(statement, ()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{statement}: {error}");
        assert!(error.to_string().starts_with(message), "{statement}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{statement}: {:?}", error.hint());
    }
    let error = store.sql(&format!("SELECT 1 -- {}", "x".repeat(annals::limits::SQL_BYTES_MAX)), ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let mut rows = store.sql("SELECT json_extract('{', '$.a')", ()).unwrap();
    let error = rows.next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, "malformed JSON"));
    assert!(rows.next().is_none());
    let mut rows = store.sql("SELECT length(zeroblob(1 << 29))", ()).unwrap();
    assert_eq!(rows.next().unwrap().unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn parameters_come_in_all_types() {
    let (_dir, store) = store(3);
    let row = &rows(&store, "SELECT ?1, ?2, ?3, ?4, ?5, ?6", (1, 2.5, "a", vec![1u8, 2], None::<i64>, true))[0];
    let expected = [1.into(), 2.5.into(), "a".into(), SqlValue::Blob(vec![1, 2]), SqlValue::Null, SqlValue::Integer(1)];
    assert_eq!(row.values(), expected);
    assert_eq!(row.columns(), ["?1", "?2", "?3", "?4", "?5", "?6"]);
    assert_eq!((row.get(6), row.named("nope")), (None, None));
    assert_eq!(numbers(&store, "SELECT 1", []), [1]);
    assert_eq!(numbers(&store, "SELECT 1", &[]), [1]);
    assert_eq!(numbers(&store, "SELECT ?1 + ?2", [1, 2]), [3]);
    assert_eq!(numbers(&store, "SELECT ?1 + ?2", &vec![1, 2][..]), [3]);
    assert_eq!(numbers(&store, "SELECT count(*) FROM events WHERE subject = :s", vec!["s/1"]), [1]);
    let named = &rows(&store, "SELECT position AS Here, 1 AS one FROM events LIMIT 1", ())[0];
    assert_eq!(named.named("HERE"), Some(&SqlValue::Integer(1)));
}

#[test]
fn a_statement_without_an_end_can_be_stopped() {
    let (_dir, store) = store(2000);
    let endless = "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x";
    let product = "SELECT count(*) FROM events a, events b, events c WHERE a.version + b.version + c.version = -1";
    for statement in [endless, product] {
        let mut rows = store.sql(statement, ()).unwrap();
        let interrupter = rows.interrupter();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            interrupter.interrupt();
        });
        let began = Instant::now();
        let error = rows.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(rows.next().is_none());
        assert!(began.elapsed() < Duration::from_secs(20));
        thread.join().unwrap();
        // Who drops the rows waits no longer than that either.
        drop(store.sql(statement, ()).unwrap());
    }
}

#[test]
fn rows_come_as_they_are_found_and_no_more_are_made_than_are_taken() {
    let (_dir, store) = store(3000);
    let mut rows = store.sql("SELECT a.position, b.position FROM events a, events b, events c", ()).unwrap();
    assert_eq!(rows.by_ref().take(10).map(Result::unwrap).count(), 10);
    assert!(rows.events_read() < 3000 * 3, "{}", rows.events_read());
}

#[test]
fn rows_go_to_a_function_on_the_calling_thread() {
    let (_dir, store) = store(100);
    let (mut found, here) = (Vec::new(), std::thread::current().id());
    let statement = "SELECT position FROM events WHERE position > ?1 ORDER BY position DESC";
    let mut take = |most: usize| {
        found.clear();
        let answered = store.sql_each(statement, [90], |row| {
            assert_eq!(std::thread::current().id(), here);
            found.push(row.get(0).and_then(SqlValue::as_integer).unwrap());
            if found.len() == most { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        });
        answered.unwrap();
        found.clone()
    };
    assert_eq!(take(usize::MAX), (91..=100).rev().collect::<Vec<_>>());
    assert_eq!(take(2), [100, 99]);
    let refused = store.sql_each("DELETE FROM events", (), |_| unreachable!()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let malformed = store.sql_each("SELECT json_extract('{', '$.a')", (), |_| unreachable!()).unwrap_err();
    assert_eq!(malformed.to_string(), "malformed JSON");
}

#[test]
fn a_statement_sees_one_moment_of_the_log() {
    let (dir, store) = store(2000);
    let beside = Store::options().read_only(true).open(dir.path()).unwrap();
    for reading in [&store, &beside] {
        let tail = store.reader().tail().get();
        let mut rows = reading.sql("SELECT position FROM events", ()).unwrap();
        rows.next().unwrap().unwrap();
        store.append([NewEvent::bytes("late", "s/1", "", b"")]).unwrap();
        assert_eq!(rows.map(Result::unwrap).count() as u64, tail - 1);
        // The next statement sees it, in the other process's place too.
        assert_eq!(numbers(reading, "SELECT count(*) FROM events WHERE position > ?", [tail as i64]), [1]);
    }
    let mut under_way = store.sql("SELECT position FROM events", ()).unwrap();
    under_way.next().unwrap().unwrap();
    store.close().unwrap();
    assert_eq!(store.sql("SELECT 1", ()).map(|_| ()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn damage_is_told_as_what_it_is() {
    let (dir, store) = store(3000);
    store.close().unwrap();
    let segment = std::fs::read_dir(dir.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|extension| extension == "raw")).max().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[12_288 + (used - 12_288) / 2] ^= 0x10;
    std::fs::write(&segment, bytes).unwrap();
    let store = Store::options().read_only(true).open(dir.path()).unwrap();
    for statement in ["SELECT * FROM events", "SELECT count(*) FROM events", "SELECT max(length(data)) FROM events"] {
        let mut good = 0;
        let error = store.sql(statement, ()).unwrap().find_map(|row| match row {
            Ok(_) => {
                good += 1;
                None
            }
            Err(error) => Some(error),
        });
        let error = error.unwrap_or_else(|| panic!("{statement}: no error behind {good} rows"));
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
        assert!(error.corruption().unwrap().positions.is_some(), "{error:?}");
        assert!(statement != "SELECT * FROM events" || good >= 1000, "{good} rows before the damage");
    }
    assert_eq!(numbers(&store, "SELECT position FROM events WHERE position = 5", ()), [5]);
}
