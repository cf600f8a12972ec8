//! The tables in SQLite: what stands in them, that they equal the log however they came about, and that a file that is
//! damaged, foreign or outdated is made anew.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
#[path = "common/spoil.rs"]
mod spoil;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use annals::{Action, Actor, ErrorKind, EventRef, NewEvent, Query, SqlValue, Store, Table, Timestamp};
use common::Rng;

const LONG: Duration = Duration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos((1_700_000_000 + second) * 1_000_000_000)
}

fn event(event_type: &str, subject: &str, data: &str, second: i64) -> NewEvent {
    NewEvent::bytes(event_type, subject, "application/json", data).occurred_at(at(second))
}

fn notes() -> Table {
    Table::new("notes")
        .adopting("note.created", Action::Create)
        .adopting("note.updated", Action::Update)
        .adopting("note.deleted", Action::Delete)
}

fn by() -> Actor {
    Actor::user("alice")
}

/// The answer to a statement, a line a row.
fn sql(store: &Store, text: &str) -> Vec<String> {
    let rows = store.sql(text, ()).unwrap();
    let shown = |value: &SqlValue| match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => text.clone(),
        other => format!("{other:?}"),
    };
    rows.map(|row| row.unwrap().values().iter().map(shown).collect::<Vec<_>>().join("|")).collect()
}

/// All tables equal ones that are made anew.
fn equal_the_log(store: &Store) {
    let checked = store.check_tables(None, |_, _| ControlFlow::Continue(())).unwrap().unwrap();
    assert!(!checked.is_empty());
    for table in checked {
        assert_eq!(table.differences, Some((0, 0)), "{table:?}");
    }
}

fn update_all(store: &Store) {
    assert!(store.update_tables(None, |_, _| ControlFlow::Continue(())).unwrap());
}

#[test]
fn an_adopted_history_fills_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let updated =
        r#"{"content":"B","price":1.50,"big":123456789012345678901234567890,"ok":true,"tags":["x"],"gone":1}"#;
    store
        .append([
            event("note.created", "note/n-1", r#"{"content":"A"}"#, 1).actor(Actor::user("alice")),
            event("note.updated", "note/n-1", updated, 2).actor(Actor::agent("scribe")),
            event("note.updated", "note/n-1", r#"{"gone":null}"#, 3),
            event("note.updated", "note/n-2", r#"{"content":"no create before"}"#, 4).on_behalf_of("bob"),
            event("note.created", "note/n-3", "[1]", 5),
            event("note.created", "note/n-4", r#"{"content":"D"}"#, 6).actor(Actor::agent("scribe")),
            event("note.deleted", "note/n-4", "", 7),
            event("note.seen", "note/n-1", r#"{"content":"not adopted"}"#, 8),
            event("note.created", "page/p-1", r#"{"content":"of another kind"}"#, 9),
        ])
        .unwrap();
    assert_eq!(store.sql("SELECT * FROM notes", ()).unwrap_err().kind(), ErrorKind::Invalid, "never by itself");
    store.add_table(notes(), by()).unwrap();
    assert_eq!(
        sql(&store, "SELECT id, owner, created_at, updated_at, version, content FROM notes ORDER BY id"),
        [
            "n-1|alice|2023-11-14T22:13:21Z|2023-11-14T22:13:23Z|3|B",
            "n-2|bob|2023-11-14T22:13:24Z|2023-11-14T22:13:24Z|1|no create before"
        ]
    );
    assert_eq!(
        sql(&store, "SELECT price, big, ok, tags, gone, data FROM notes WHERE id = 'n-1'"),
        [
            r#"1.5|1.2345678901234568e29|1|["x"]|NULL|{"content":"B","price":1.50,"big":123456789012345678901234567890,"ok":true,"tags":["x"]}"#
        ]
    );
    let state = store.reader().document("note/n-1").unwrap().unwrap().state.document.unwrap().to_json();
    assert_eq!(sql(&store, "SELECT data FROM notes WHERE id = 'n-1'"), [state]);
    // What comes again goes on with its version, with owner and times anew.
    store.append([event("note.created", "note/n-4", r#"{"content":"E"}"#, 10).actor(Actor::user("carol"))]).unwrap();
    assert_eq!(
        sql(&store, "SELECT owner, created_at, version, content FROM notes WHERE id = 'n-4'"),
        ["carol|2023-11-14T22:13:30Z|3|E"]
    );
    let skipped: Vec<u64> =
        store.tables().unwrap().iter().filter(|table| table.name == "notes").map(|table| table.skipped).collect();
    assert_eq!(skipped, [1]);
    update_all(&store);
    equal_the_log(&store);
}

#[test]
fn a_field_that_clashes_stays_in_data_and_columns_have_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.add_table(notes().indexing("title").indexing("never"), by()).unwrap();
    let many: Vec<String> = (0..250).map(|n| format!("\"f{n}\":{n}")).collect();
    let odd = r#"{"ID":"x","Data":1,"title":"A","Title":"B","":1,"with \"quotes\"; --":2,"select":3,"späße":4}"#;
    store
        .append([
            event("note.created", "note/n-1", odd, 1),
            event("note.created", "note/n-2", &format!("{{{}}}", many.join(",")), 2),
        ])
        .unwrap();
    assert_eq!(
        sql(
            &store,
            r#"SELECT id, title, "with ""quotes""; --", "select", "späße", data ->> '$.Title', data ->> '$.ID' FROM notes WHERE id = 'n-1'"#
        ),
        ["n-1|A|2|3|4|B|x"]
    );
    assert_eq!(sql(&store, "SELECT count(*) FROM pragma_table_info('notes')"), ["200"]);
    assert_eq!(sql(&store, "SELECT f0, data ->> '$.f249' FROM notes WHERE id = 'n-2'"), ["0|249"]);
    let plan = sql(&store, "EXPLAIN QUERY PLAN SELECT id FROM notes WHERE title = 'A'").join("\n");
    assert!(plan.contains("notes by title"), "{plan}");
}

/// Counts as the tables should have them, in the plainest way.
fn counted(store: &Store) -> (Vec<String>, Vec<String>) {
    let mut subjects = BTreeMap::new();
    let mut stats: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    let mut take = |event: EventRef<'_>| {
        let time = event.occurred_at().to_string();
        let actor = event.actor().map_or("NULL".to_owned(), |actor| actor.id().to_owned());
        let position = event.position().get();
        let row = subjects.entry(event.subject().to_owned()).or_insert((
            0,
            position,
            0,
            time.clone(),
            String::new(),
            String::new(),
        ));
        (row.0, row.2, row.4, row.5) = (event.version(), position, time.clone(), actor.clone());
        *stats.entry((event.event_type().to_owned(), actor, time[..10].to_owned())).or_default() += 1;
        ControlFlow::Continue(())
    };
    store.reader().scan(&Query::all(), &mut take).unwrap();
    let subjects = subjects.into_iter().map(|(subject, (version, first, last, first_at, last_at, actor))| {
        let (kind, id) = annals::subject::split(&subject).unwrap();
        format!("{subject}|{kind}|{id}|{version}|{first}|{last}|{first_at}|{last_at}|{actor}")
    });
    let mut stats: Vec<String> =
        stats.into_iter().map(|((name, actor, day), events)| format!("{name}|{actor}|{day}|{events}")).collect();
    stats.sort();
    (subjects.collect(), stats)
}

fn are_right(store: &Store) {
    let (subjects, stats) = counted(store);
    assert_eq!(sql(store, "SELECT * FROM subjects ORDER BY subject"), subjects);
    let mut found = sql(store, "SELECT type, actor, day, events FROM stats");
    found.sort();
    assert_eq!(found, stats);
}

/// A random history of notes and other things.
fn random(rng: &mut Rng, second: &mut i64) -> NewEvent {
    *second += rng.below(20_000) as i64;
    let types = ["note.created", "note.updated", "note.updated", "note.deleted", "other", "notes.update.validated"];
    let event_type = rng.text(&types);
    // What a catalogue table generates is kept for the flow; here it is only a name among others.
    let event_type = if event_type.ends_with("validated") { "note.updated".to_owned() } else { event_type };
    let subject = format!("{}/{}", rng.text(&["note", "page"]), rng.below(30));
    let data = match rng.below(8) {
        0 => "no object".to_owned(),
        1 => "null".to_owned(),
        2 => r#"{"a":null,"b":{"c":"deep words","d":null}}"#.to_owned(),
        _ => format!(r#"{{"f{}":{},"a":"word{} und"}}"#, rng.below(12), rng.below(100), rng.below(50)),
    };
    let event = event(&event_type, &subject, &data, *second);
    // What was adopted, as these types all are at times, is appended by users and systems alone.
    match rng.below(4) {
        0 => event,
        1 | 2 => event.actor(Actor::system("scribe")),
        _ => event.actor(Actor::user(rng.text(&["alice", "bob"]))).on_behalf_of("carol"),
    }
}

#[test]
fn tables_equal_the_log_however_they_came_about() {
    for seed in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let options = || Store::options().segment_bytes(annals::limits::SEGMENT_BYTES_MIN);
        let mut store = options().open(directory.path()).unwrap();
        let (mut rng, mut second) = (Rng::new(seed), 0);
        for step in 0..60 {
            let batch: Vec<NewEvent> = (0..1 + rng.below(40)).map(|_| random(&mut rng, &mut second)).collect();
            store.append(batch).unwrap();
            match rng.below(10) {
                0 => update_all(&store),
                1 => drop(sql(&store, "SELECT count(*) FROM subjects")),
                2 => drop(sql(&store, "SELECT count(*) FROM search WHERE search MATCH 'word7'")),
                3 => drop(store.seal().unwrap()),
                4 => {
                    // Stopped after the first transaction.
                    store.update_tables(None, |_, _| ControlFlow::Break(())).unwrap();
                }
                5 => {
                    drop(store);
                    store = options().open(directory.path()).unwrap();
                }
                _ => {}
            }
            if step == 25 {
                store.add_table(notes(), by()).unwrap();
            }
            if step == 45 {
                store.add_table(notes().adopting("other", Action::Update).with_owner("dave"), by()).unwrap();
            }
        }
        update_all(&store);
        equal_the_log(&store);
        are_right(&store);
        for row in store.sql("SELECT id, data FROM notes", ()).unwrap() {
            let row = row.unwrap();
            let subject = format!("note/{}", row.get(0).unwrap().as_text().unwrap());
            let state = store.reader().document(&subject).unwrap().unwrap().state.document.unwrap();
            assert_eq!(row.get(1).unwrap().as_text().unwrap(), state.to_json());
        }
    }
}

#[test]
fn search_finds_what_is_there_now() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store
        .append([
            event("page.made", "page/1", r#"{"title":"Der Käse","body":{"text":"rolls downhill"}}"#, 1),
            event("page.made", "page/2", r#"{"title":"Wine","list":["red","white"]}"#, 2),
            event("page.changed", "page/1", r#"{"body":{"text":"lies still"}}"#, 3),
        ])
        .unwrap();
    let found = |words: &str| {
        sql(&store, &format!("SELECT subject, position FROM search WHERE search MATCH '{words}' ORDER BY subject"))
    };
    assert_eq!(found("kase"), ["page/1|3"]);
    assert_eq!(found("downhill"), Vec::<String>::new());
    assert_eq!(found("kase still"), ["page/1|3"]);
    assert_eq!(found("white OR still"), ["page/1|3", "page/2|2"]);
    store.append([event("page.changed", "page/2", r#"{"list":null,"title":"Beer"}"#, 4)]).unwrap();
    assert_eq!(found("white"), Vec::<String>::new());
    assert_eq!(found("beer"), ["page/2|4"]);
}

#[test]
fn the_tables_follow_a_running_application() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let tables = store.project_tables().unwrap();
    store.append([event("note.created", "note/n-1", r#"{"content":"A"}"#, 1)]).unwrap();
    let added = store.add_table(notes(), by()).unwrap();
    assert!(tables.wait_for(added, LONG).unwrap());
    let file = rusqlite::Connection::open(directory.path().join("projections/tables.sqlite")).unwrap();
    let content = || {
        file.query_row("SELECT content, version FROM notes", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })
    };
    assert_eq!(content().unwrap(), ("A".to_owned(), 1));
    for n in 0..20 {
        let done = store.append([event("note.updated", "note/n-1", &format!(r#"{{"content":"B{n}"}}"#), n)]).unwrap();
        assert!(tables.wait_for(done.last, LONG).unwrap());
        assert_eq!(content().unwrap(), (format!("B{n}"), n + 2));
    }
    // A reader in another process reads what is there; it cannot bring it up, and need not.
    let reader = Store::options().read_only(true).open(directory.path()).unwrap();
    assert_eq!(sql(&reader, "SELECT content FROM notes"), ["B19"]);
    assert_eq!(reader.update_tables(None, |_, _| ControlFlow::Continue(())).unwrap_err().kind(), ErrorKind::Locked);
    drop(tables);
    store.append([event("note.updated", "note/n-1", r#"{"content":"C"}"#, 99)]).unwrap();
    assert_eq!(sql(&reader, "SELECT content FROM notes"), ["C"], "brought up by a process that only reads the log");
}

fn spoil_file(file: &Path, how: u32) {
    let mut bytes = std::fs::read(file).unwrap();
    match how {
        0 => bytes.truncate(1_000),
        1 => bytes.fill(0x55),
        2 => bytes[16..200].fill(0xff),
        _ => bytes.clear(),
    }
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_file_that_is_no_good_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.add_table(notes(), by()).unwrap();
    for n in 0..50 {
        store.append([event("note.created", &format!("note/{n}"), r#"{"content":"A"}"#, n)]).unwrap();
    }
    update_all(&store);
    let file = directory.path().join("projections/tables.sqlite");
    for how in 0..4 {
        spoil_file(&file, how);
        update_all(&store);
        equal_the_log(&store);
        are_right(&store);
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(sql(&store, "SELECT count(*) FROM notes"), ["50"]);
    // Another store's file, however right it is there.
    let other_directory = tempfile::tempdir().unwrap();
    let other = Store::open(other_directory.path()).unwrap();
    other.append([event("note.created", "note/x", r#"{"content":"foreign"}"#, 1)]).unwrap();
    update_all(&other);
    drop(other);
    std::fs::copy(other_directory.path().join("projections/tables.sqlite"), &file).unwrap();
    update_all(&store);
    equal_the_log(&store);
    are_right(&store);
}

#[test]
fn damage_that_is_met_while_the_tables_follow_the_log_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.add_table(notes(), by()).unwrap();
    store.append((0..50).map(|n| event("note.created", &format!("note/{n}"), r#"{"content":"A"}"#, n))).unwrap();
    let tables = store.project_tables().unwrap();
    let file = directory.path().join("projections/tables.sqlite");
    let mut held = Vec::new();
    for way in 0..spoil::WAYS {
        assert!(tables.wait_for(store.reader().tail(), LONG).unwrap());
        held.push(spoil::spoil_live(&file, way));
        let data = format!(r#"{{"content":"B{way}"}}"#);
        let done = store.append([event("note.updated", "note/7", &data, 100 + i64::from(way))]).unwrap();
        assert!(tables.wait_for(done.last, LONG).unwrap(), "{:?}", tables.status());
        let status = tables.status();
        assert_eq!((status.rebuilds, status.error), (u64::from(way) + 1, None));
        assert_eq!(sql(&store, "SELECT content FROM notes WHERE id = '7'"), [format!("B{way}")]);
        equal_the_log(&store);
        are_right(&store);
    }
}

#[test]
fn a_wrong_row_is_found_by_a_check_and_mended_by_a_rebuild() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.add_table(notes(), by()).unwrap();
    store.append((0..20).map(|n| event("note.created", &format!("note/{n}"), r#"{"content":"A"}"#, n))).unwrap();
    update_all(&store);
    let file = directory.path().join("projections/tables.sqlite");
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch(
            "UPDATE notes SET content = 'forged' WHERE id = '7'; DELETE FROM subjects WHERE subject = 'note/3'",
        )
        .unwrap();
    let differences = || -> BTreeMap<String, (u64, u64)> {
        let checked = store.check_tables(None, |_, _| ControlFlow::Continue(())).unwrap().unwrap();
        let wrong = checked.into_iter().filter(|table| table.differences != Some((0, 0)));
        wrong.map(|table| (table.name, table.differences.unwrap())).collect()
    };
    assert_eq!(differences(), BTreeMap::from([("notes".to_owned(), (1, 1)), ("subjects".to_owned(), (0, 1))]));
    let names = ["notes".to_owned()];
    let rebuilt = store.rebuild_tables(Some(&names), |_, _| ControlFlow::Continue(())).unwrap().unwrap();
    assert_eq!(rebuilt.iter().map(|table| table.differences).collect::<Vec<_>>(), [Some((1, 1))]);
    assert_eq!(differences(), BTreeMap::from([("subjects".to_owned(), (0, 1))]));
    // Again and again: nothing of the one that went stands in the way of the next.
    for _ in 0..3 {
        store.rebuild_tables(None, |_, _| ControlFlow::Continue(())).unwrap().unwrap();
        equal_the_log(&store);
    }
    let nobody = ["nobody".to_owned()];
    let error = store.rebuild_tables(Some(&nobody), |_, _| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_table_of_another_version_says_in_what_it_differs() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append((0..20).map(|n| event("note.created", &format!("note/{n}"), r#"{"content":"A"}"#, n))).unwrap();
    update_all(&store);
    let file = directory.path().join("projections/tables.sqlite");
    // As an older program would have left them, which folded some of it otherwise.
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch(
            "UPDATE annals_checkpoint SET version = version - 1 WHERE name IN ('subjects', 'stats', 'search'); \
             UPDATE subjects SET version = 7 WHERE subject = 'note/3'; DELETE FROM search WHERE subject = 'note/5'",
        )
        .unwrap();
    let tables = store.project_tables().unwrap();
    let expected = [
        "subjects: 1 rows only in the old one, 1 only in the new one",
        "search: 0 rows only in the old one, 1 only in the new one",
    ];
    let deadline = std::time::Instant::now() + LONG;
    while tables.status().differences.is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!((tables.status().differences, tables.status().error), (expected.map(str::to_owned).to_vec(), None));
    drop(tables);
    equal_the_log(&store);
    are_right(&store);
}

#[test]
fn several_may_bring_the_tables_up_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for round in 0..20 {
        let tables = (round % 2 == 1).then(|| store.project_tables().unwrap());
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..10 {
                        let subject = format!("note/{thread}-{n}");
                        store.append([event("note.created", &subject, r#"{"content":"A"}"#, n)]).unwrap();
                        sql(store, "SELECT sum(events) FROM stats");
                    }
                });
            }
            scope.spawn(|| store.rebuild_tables(None, |_, _| ControlFlow::Continue(())).unwrap());
        });
        if let Some(tables) = tables {
            assert!(tables.wait_for(store.reader().tail(), LONG).unwrap());
            assert_eq!(tables.status().error, None);
        }
        are_right(&store);
        equal_the_log(&store);
    }
}

/// A table that a statement misses may be there, and level with the log, a moment later.
#[test]
fn several_may_ask_for_tables_that_nobody_made_yet() {
    for _ in 0..200 {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.append([event("note.created", "note/a", r#"{"content":"A"}"#, 0)]).unwrap();
        let together = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    together.wait();
                    assert_eq!(sql(&store, "SELECT sum(events) FROM stats"), ["1"]);
                });
            }
        });
    }
}

/// Where another statement has brought a table further than this one's view of the log goes, the table is not of
/// another history.
#[test]
fn a_table_that_others_bring_up_meanwhile_is_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append([event("note.created", "note/a", r#"{"content":"A"}"#, 0)]).unwrap();
    update_all(&store);
    // A row that no event makes stays until the table is made anew.
    let file = directory.path().join("projections/tables.sqlite");
    let wrong = "UPDATE subjects SET version = 77 WHERE subject = 'note/a'";
    rusqlite::Connection::open(&file).unwrap().execute_batch(wrong).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..300 {
                    let subject = format!("note/{thread}-{n}");
                    store.append([event("note.created", &subject, r#"{"content":"A"}"#, n)]).unwrap();
                    sql(store, "SELECT count(*) FROM subjects");
                    assert!(store.tables().unwrap().iter().all(|table| table.outdated.is_none()));
                }
            });
        }
    });
    assert_eq!(sql(&store, "SELECT version FROM subjects WHERE subject = 'note/a'"), ["77"]);
}

#[test]
fn only_users_add_tables_and_nobody_forges_the_event() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for by in [
        Actor::agent("scribe"),
        Actor::new(annals::ActorKind::System, "s"),
        Actor::new(annals::ActorKind::Unknown, "alice"),
    ] {
        assert_eq!(store.add_table(notes(), by).unwrap_err().kind(), ErrorKind::Denied);
    }
    let forged = NewEvent::json("annals.table.added", "annals.table/notes", &notes()).unwrap();
    assert_eq!(store.append([forged]).unwrap_err().kind(), ErrorKind::Reserved);
    let first = store.add_table(notes(), by()).unwrap();
    assert_eq!(store.add_table(notes(), by()).unwrap(), first, "it is there already");
    assert_eq!(store.add_table(Table::new("search"), by()).unwrap_err().kind(), ErrorKind::Reserved);
    assert_eq!(store.add_table(Table::new("memos").with_kind("note"), by()).unwrap_err().kind(), ErrorKind::Conflict);
    let before = store.reader().as_of(annals::AsOf::Position(annals::Position::ORIGIN));
    assert_eq!((before.catalog().unwrap().own_tables().len(), store.catalog().unwrap().own_tables().len()), (0, 1));
}
