//! `annals sql`, as its users meet it.

use std::process::Stdio;

use crate::run::{Ended, Place};

fn place() -> Place {
    let place = Place::new();
    let lines: String = (1..=10)
        .map(|n| {
            format!(
                "{{\"id\":\"e-{n}\",\"type\":\"notes.create.done\",\"subject\":\"note/n-{}\",\"time\":\"2026-11-0{}T12:00:00Z\",\
                 \"authid\":\"alice\",\"data\":{{\"n\":{n}}}}}\n",
                n % 3,
                1 + n / 5,
            )
        })
        .collect();
    place.write("in.jsonl", lines);
    place.good(&["import", "pod", "in.jsonl"]);
    place
}

#[test]
fn rows_for_a_person() {
    let place = place();
    let out = place.good(&[
        "sql",
        "pod",
        "SELECT subject, count(*) AS events, max(data->>'n') AS newest FROM events GROUP BY 1",
    ]);
    assert_eq!(
        out,
        "subject   events  newest\n\
         ────────  ──────  ──────\n\
         note/n-0       3       9\n\
         note/n-1       4      10\n\
         note/n-2       3       8\n"
    );
    let out = place.good(&[
        "sql",
        "pod",
        "SELECT NULL AS a, 1.0 AS b, 'x\ny' || char(27) AS c, x'0102' AS d, 'long' AS \"e\nf\"",
    ]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "a       b  c           d      e\\nf");
    assert_eq!(lines[2], "NULL  1.0  x\\ny\\u{1b}  (2 B)  long");
    let none = place.run(&["sql", "pod", "SELECT * FROM events WHERE position > 10"]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "note: no rows\n"));
    let plan = place.good(&["sql", "pod", "EXPLAIN QUERY PLAN SELECT 1 FROM events WHERE subject = 'note/n-1'"]);
    assert!(plan.contains("log: subject=?"), "{plan}");
}

#[test]
fn rows_for_a_program() {
    let place = place();
    let statement = "SELECT position, id, 0.5 AS half, NULL AS none, x'ff00' AS bytes, 1 AS id FROM events LIMIT 2";
    let rows = place.run(&["sql", "pod", statement, "--format", "jsonl"]);
    assert_eq!(
        rows.out,
        "{\"position\":1,\"id\":\"e-1\",\"half\":0.5,\"none\":null,\"bytes\":\"/wA=\",\"id_2\":1}\n\
         {\"position\":2,\"id\":\"e-2\",\"half\":0.5,\"none\":null,\"bytes\":\"/wA=\",\"id_2\":1}\n"
    );
    assert_eq!(rows.err, "warning: two columns are called \"id\": the second one is \"id_2\"\n");
    assert_eq!(place.json(&["sql", "pod", "SELECT count(*) AS n FROM events"]), serde_json::json!([{"n": 10}]));
    assert_eq!(place.json(&["sql", "pod", "SELECT 1 WHERE 0"]), serde_json::json!([]));
    let day = "SELECT substr(occurred_at, 1, 10) AS day, count(*) AS n FROM events GROUP BY day ORDER BY day";
    let days = place.jsonl(&["sql", "pod", day]);
    assert_eq!(days[0], serde_json::json!({"day": "2026-11-01", "n": 4}));
    assert_eq!(days.len(), 3);
}

#[test]
fn parameters_standard_input_and_the_environment() {
    let mut place = place();
    let statement = "SELECT count(*) AS n FROM events WHERE subject = ?1 AND position > ?2";
    let counted = place.json(&["sql", "pod", statement, "--param", "note/n-1", "--param", "5"]);
    assert_eq!(counted[0]["n"], 2);
    let types = place.json(&[
        "sql",
        "pod",
        "SELECT typeof(?1) a, typeof(?2) b, typeof(?3) c",
        "--param",
        "-5",
        "--param=1.5",
        "--param",
        "'5'",
    ]);
    assert_eq!(types[0], serde_json::json!({"a": "integer", "b": "real", "c": "text"}));
    let piped = place.run_with(&["sql", "pod", "-", "--format", "jsonl"], "SELECT 7 AS n;\n-- done\n");
    assert_eq!((piped.code, piped.out.as_str()), (0, "{\"n\":7}\n"));
    place.set("ANNALS_STORE", "pod");
    assert_eq!(place.json(&["sql", "SELECT count(*) AS n FROM events"])[0]["n"], 10);
}

#[test]
fn what_does_not_read_is_misuse() {
    let place = place();
    let before = place.good(&["export", "pod"]);
    for statement in [
        "DELETE FROM events",
        "DROP TABLE events",
        "ATTACH 'made' AS x",
        "VACUUM INTO 'made'",
        "PRAGMA journal_mode=WAL",
    ] {
        let refused = place.bad(&["sql", "pod", statement], 2, "only statements that read are answered, and this has ");
        assert!(refused.err.contains("hint: ask with SELECT"), "{refused:?}");
    }
    place.bad(&["sql", "pod", "SELECT 1; SELECT 2"], 2, "more than one statement was given");
    place.bad(&["sql", "pod", ""], 2, "no statement was given");
    place.bad(&["sql", "pod", "SELEC 1"], 2, "near \"SELEC\": syntax error, at character 1 of the statement");
    let unknown = place.bad(&["sql", "pod", "SELECT * FROM notes"], 2, "no such table: notes");
    assert!(unknown.err.contains("hint: the only table is events"), "{unknown:?}");
    let unknown = place.bad(&["sql", "pod", "SELECT nope FROM events"], 2, "no such column: nope, at character 8");
    assert!(unknown.err.contains("position, version, id, type"), "{unknown:?}");
    place.bad(&["sql", "pod", "SELECT ?1"], 2, "the statement has 1 parameter, but 0 values came with it");
    place.bad(&["sql", "nowhere", "SELECT 1"], 3, "there is no store at nowhere");
    place.bad(&["sql", "in.jsonl", "SELECT 1"], 3, "");
    assert!(!place.exists("made") && !place.exists("nowhere"));
    assert_eq!(place.good(&["export", "pod"]), before);
}

#[test]
fn a_damaged_event_is_named() {
    let place = place();
    let file = place.json(&["segments", "pod"])[0]["file"].as_str().unwrap().to_owned();
    let path = place.path("pod").join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used - 40] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
    let told = place.run(&["sql", "pod", "SELECT count(*), max(data) FROM events"]);
    told.is_bad(5, "");
    assert!(told.err.contains("position") && told.err.contains("log/"), "{told:?}");
}

#[test]
#[cfg(unix)]
fn it_reads_beside_a_writer_and_in_a_directory_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = place();
    let held = annals::Store::open(place.path("pod")).unwrap();
    assert_eq!(place.json(&["sql", "pod", "SELECT count(*) AS n FROM events"])[0]["n"], 10);
    held.append([annals::NewEvent::bytes("t", "note/n-9", "", b"")]).unwrap();
    assert_eq!(place.json(&["sql", "pod", "SELECT max(position) AS n FROM events"])[0]["n"], 11);
    held.close().unwrap();
    let set = |mode| std::fs::set_permissions(place.path("pod"), std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let answer =
        place.run(&["sql", "pod", "SELECT type, count(*) FROM events GROUP BY type ORDER BY 2", "--format", "jsonl"]);
    set(0o755);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 2), "{answer:?}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_statement_and_a_closed_pipe_is_no_error() {
    let place = place();
    let endless = "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x";
    let child = place.command(&["sql", "pod", endless]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (130, "", ""));

    for format in ["table", "json", "jsonl"] {
        let rows = "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT n FROM x";
        let mut command = place.command(&["sql", "pod", rows, "--format", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        std::io::Read::read_exact(&mut out, &mut [0; 4096]).unwrap();
        drop(out);
        let ended = Ended::of(&child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{format}");
    }
}
