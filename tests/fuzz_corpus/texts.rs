//! Seeds of what people and other programs write: histories, patches, tables, rules, calls, statements.

use std::path::Path;
use std::sync::Arc;

use annals::sim::{ManualClock, SimStorage};
use annals::{Actor, Command, Flow, Grant, NoteRules, Query, Request, Role, Store, Table, write_event};
use serde_json::json;

use super::{damaged, seed};

const RULES: &str = r#"# The first that matches decides.
[[rule]]
name = "billing writes invoices"
actor = "external:billing"
action = "invoices.*"
then = "approve"

[[rule]]
name = "nobody deletes"
action = "*.delete"
then = "reject"
reason = "rows stay"

[[rule]]
name = "agents ask alice"
actor = "agent:*"
on_behalf_of = "al*e"
subject = "n*e/*1"
tag = "workspace:w*"
then = "ask"
reason = "an agent wants it"
whom = ["user:alice", "user:user:bob"]
answer_within = "2h"
"#;

const SQL: [(&str, &str); 13] = [
    ("sorted", "SELECT DISTINCT subject FROM events ORDER BY type DESC, recorded_at, position LIMIT 3 OFFSET 1"),
    ("count", "SELECT count(*) FROM events"),
    ("group", "SELECT type, count(*) AS n, max(position) FROM events GROUP BY type ORDER BY n DESC LIMIT 5"),
    ("by-subject", "SELECT position, data FROM events WHERE subject = 'note/a' AND version > 2 ORDER BY position DESC"),
    ("by-time", "SELECT * FROM events WHERE recorded_at >= '2026-01-01' AND occurred_at < '2026-01-01T00:00:01Z'"),
    ("json", "SELECT t.value, json_extract(meta, '$.m') FROM events, json_each(tags) AS t WHERE kind IN ('note', 'x')"),
    ("join", "SELECT a.id, b.type FROM events a JOIN events b ON b.causation = a.position WHERE a.actor = 'alice'"),
    ("endless", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"),
    ("large", "SELECT length(hex(zeroblob(100000000))), randomblob(1 << 20)"),
    ("explain", "EXPLAIN QUERY PLAN SELECT * FROM events WHERE id = 'again' OR correlation = 'c-1'"),
    ("pragma", "/* who */ PRAGMA table_info(events)"),
    ("writes", "DELETE FROM events; ATTACH 'x' AS y"),
    ("tables", "SELECT * FROM notes, search WHERE search MATCH 'a'"),
];

/// A log in which a flow has done what a flow does, as lines; and the calls that it would take over its socket.
fn flow() {
    let disk = SimStorage::new();
    let clock = Arc::new(ManualClock::new(1_767_225_600_000_000_000));
    let options = Store::options().background(false).clock(clock);
    let store = options.open_on(disk, Path::new("simulated")).unwrap();
    let flow = Flow::builder(&store).table("notes", NoteRules).background(false).start().unwrap();
    let (alice, scribe) = (|| Actor::user("alice"), || Actor::agent("scribe").on_behalf_of("alice"));
    flow.request(Request::create("notes", &json!({"content": "A"})).id("n-1").by(alice())).unwrap();
    let wish = Request::update("notes", "n-1", &json!({"content": "B"})).by(scribe());
    let wanted = flow.request(wish.clone()).unwrap().request;
    let seen = flow.pending_for(&alice(), 10).unwrap().remove(0).digest;
    flow.approve(wanted, &seen, alice(), "fine").unwrap();
    let other = flow.request(Request::delete("notes", "n-1").by(scribe())).unwrap().request;
    flow.reject(other, alice(), "not that").unwrap();
    let third = flow.request(Request::create("notes", &json!({"content": "C"})).id("n-2").by(scribe())).unwrap();
    flow.withdraw(third.request, scribe()).unwrap();
    let grant = flow.grant(Grant::to("scribe").action("notes.update").subject("note/*").uses(1), alice()).unwrap();
    flow.request(Request::update("notes", "n-1", &json!({"content": "D"})).by(scribe())).unwrap();
    flow.revoke(grant, alice()).unwrap();
    flow.set_role("bob", "w", Role::Editor, alice()).unwrap();
    flow.set_policy(RULES, alice()).unwrap();
    store.add_table(Table::new("invoices").indexing("customer"), alice()).unwrap();
    let hook = json!({"url": "https://example.org/h", "events": ["notes.**"], "active": true});
    flow.request(Request::create("webhookSubscriptions", &hook).id("h").by(alice())).unwrap();
    let edit = flow.request(Request::update("notes", "n-1", &json!({"content": "E"})).by(alice())).unwrap();
    flow.undo(edit.request, alice()).unwrap();
    flow.settle().unwrap();
    let lines: Vec<Vec<u8>> = store
        .reader()
        .read(&Query::all())
        .map(|event| {
            let mut line = Vec::new();
            write_event(&event.unwrap().as_ref(), &mut line);
            line
        })
        .collect();
    assert!(lines.len() > 20);
    let whole = lines.join(&b'\n');
    seed("flow", "whole", &whole);
    damaged("flow", "whole", &whole);
    seed("flow", "first", &lines[..6].join(&b'\n'));
    seed("flow", "last", &lines[lines.len() - 8..].join(&b'\n'));
    // No event has been decided that never was requested; and a table may want to be called like a word of SQL.
    seed("flow", "odd", br#"{"type":"notes.update.approved","subject":"note/n-1","causationid":"1","data":{"digest":"","basis":9}}
{"type":"annals.table.added","subject":"annals.table/events","data":{"name":"events","kind":"note"}}
{"type":"annals.policy.set","subject":"annals.policy/rules","data":{"rules":"[[rule]]","code":"mine"}}
{"type":"notes.create.requested","subject":"note/n-9","authtype":"agent","authid":"a","annals.answer_by":"2026-01-01","data":[1]}"#);

    let calls = [
        Command::Request { request: Box::new(wish.id("n-1")) },
        Command::Approve { request: wanted, seen, by: alice(), reason: "fine".to_owned() },
        Command::Amend { request: wanted, by: scribe(), data: r#"{"content":"F"}"#.to_owned(), reason: String::new() },
        Command::Grant { grant: Grant::to("scribe").uses(2), by: alice() },
        Command::SetRole { user: "bob".into(), workspace: "w".into(), role: Some(Role::Viewer), by: alice() },
        Command::SetPolicy { rules: RULES.to_owned(), by: alice() },
        Command::AddTable { table: Table::new("invoices"), by: alice() },
        Command::Skip { worker: "mail".into(), position: 1.into(), by: alice(), reason: "no".into() },
        Command::Append {
            event: r#"{"type":"t","subject":"k/i","data":{"a":1}}"#.to_owned(),
            caused_by: Some(1.into()),
            expect: Some(annals::Expected::NoSubject),
            key: Some("k".to_owned()),
        },
        Command::Undo { request: wanted, by: alice() },
    ];
    let mut all = Vec::new();
    for (number, command) in calls.iter().enumerate() {
        let mut call = serde_json::to_value(command).unwrap();
        call["version"] = json!(1);
        call["id"] = json!(format!("call-{number}"));
        all.push(serde_json::to_vec(&call).unwrap());
        seed("control", &format!("call-{number}"), all.last().unwrap());
    }
    let all = all.join(&b'\n');
    seed("control", "all", &all);
    damaged("control", "all", &all);
    seed("control", "answer", br#"{"ok":{"reply":"done","position":7}}"#);
    let error = json!({"error": {"kind": "conflict", "message": "it is decided", "hint": "look"}});
    seed("control", "error", error.to_string().as_bytes());
    seed("control", "newer", br#"{"version":2,"id":"x","command":"undo","request":1,"by":"user:alice"}"#);
}

fn tables() {
    let mut lines = Vec::new();
    for table in [
        Table::new("notes").indexing("title").with_rules("notes"),
        Table::new("pages").with_kind("page").adopting("page.edited", annals::Action::Update).with_owner("alice"),
        Table::new("documents").adopting("document.made", annals::Action::Create),
        Table::new("notes").with_kind("note").indexing("a").indexing("b"),
        Table::new("Notes"),
    ] {
        lines.push(serde_json::to_vec(&table).unwrap());
    }
    seed("table", "one", &lines[0]);
    seed("table", "all", &lines.join(&b'\n'));
    damaged("table", "all", &lines.join(&b'\n'));
    seed("table", "core", br#"{"name":"DOCUMENTS","kind":"x"}"#);
}

pub(super) fn write_seeds(exported: &str) {
    flow();
    tables();
    seed("rules", "three", RULES.as_bytes());
    seed("rules", "none", b"");
    seed(
        "rules",
        "inline",
        b"rule = [{name = 'a', then = 'approve', actor = '*:\\u007f'}, {name = 'b', then = \"ask\"}]",
    );
    damaged("rules", "three", RULES.as_bytes());
    for (name, text) in SQL {
        seed("sql", name, text.as_bytes());
    }
    let lines: Vec<&str> = exported.lines().collect();
    let some = lines.iter().step_by(5).copied().collect::<Vec<_>>().join("\n");
    seed("import", "golden", some.as_bytes());
    damaged("import", "golden", some.as_bytes());
    seed(
        "import",
        "causes",
        br#"{"id":"1","type":"t","subject":"k/i","sequence":"5","data":{"a":1}}
{"id":"2","type":"t","subject":"k/i","sequence":"6","causationid":"5"}
{"type":"annals.grant.given","subject":"k/j","causationid":"99","time":"2015-01-01T00:00:00Z","data":"x"}
{"id":"3","type":"t","subject":"k/i","sequence":"9","causationid":"6"}
{"id":"1","type":"t","subject":"k/i","data":{"a":1}}"#,
    );
    for (name, text) in [
        (
            "plain",
            "{\"a\":1,\"b\":{\"c\":[1,2.50],\"d\":null}}\n{\"b\":{\"c\":null,\"e\":\"x\"},\"a\":null}\n{\"a\":2}",
        ),
        ("deep", "{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}\n{\"a\":{\"a\":{\"a\":7}}}\n{\"a\":{\"a\":{\"a\":{\"b\":null}}}}"),
        (
            "twice",
            "{\"a\":1,\"a\":{\"b\":1,\"b\":null}}\n{\"a\":{\"b\":2},\"\\u0061\":{\"b\":3}}\n[1]\n{\"a\": \"\\ud83d\"}",
        ),
        ("kept", "{\"a\":null,\"b\":[null,{\"c\":null}]}\r\n{ \"b\" : {\"x\":null} }"),
    ] {
        seed("merge", name, text.as_bytes());
    }
    for (name, text) in [
        ("position", "00000000000000000042"),
        ("time", "2026-01-02T03:04:05.678901234Z"),
        (
            "head",
            "annals-head 1 07070707070707070707070707070707 3 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ),
        ("kind", "unknown"),
        ("role", "editor"),
        ("phase", "validated"),
        ("subject", "note/a/b"),
    ] {
        seed("words", name, text.as_bytes());
    }
}
