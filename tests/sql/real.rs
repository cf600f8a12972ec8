//! Real histories: what SQL counts is what a plain count of the file's lines counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use annals::{Durability, ImportEvent, ImportOptions, SqlValue, Store};

use crate::{files, rows};

type Counts = BTreeMap<Option<String>, i64>;

fn counted(store: &Store, expression: &str) -> Counts {
    answered(store, &format!("SELECT {expression}, count(*) FROM events GROUP BY 1"))
}

fn answered(store: &Store, statement: &str) -> Counts {
    let rows = rows(store, statement, ());
    rows.iter()
        .map(|row| {
            let name = row.get(0).unwrap();
            assert!(name.is_null() || name.as_text().is_some());
            (name.as_text().map(str::to_owned), row.get(1).and_then(SqlValue::as_integer).unwrap())
        })
        .collect()
}

#[test]
fn counts_are_those_of_the_file() {
    let optional = files::KNOWN.iter().filter_map(|stem| files::optional(stem));
    std::iter::once(files::sample()).chain(optional).for_each(|path| check(&path));
}

/// The data of a line, to the last byte.
#[derive(serde::Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

fn check(path: &Path) {
    let lines: Vec<String> =
        BufReader::new(zstd::Decoder::new(File::open(path).unwrap()).unwrap()).lines().map(Result::unwrap).collect();
    let mut plain: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut data_bytes = 0;
    for line in &lines {
        data_bytes += serde_json::from_str::<Data<'_>>(line).unwrap().data.get().len() as i64;
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let time: jiff::Timestamp = text("time").unwrap().parse().unwrap();
        let mut add = |what, name| *plain.entry(what).or_default().entry(name).or_default() += 1;
        add("type", text("type"));
        add("actor", text("actor"));
        add("subject", Some(format!("{}/{}", text("subject_type").unwrap(), text("subject").unwrap())));
        add("kind", text("subject_type"));
        add("substr(occurred_at, 1, 10)", Some(time.strftime("%Y-%m-%d").to_string()));
    }
    let scratch = tempfile::tempdir().unwrap();
    let options = Store::options().durability(Durability::Written { sync_every: Duration::from_millis(50) });
    let store = options.open(scratch.path()).unwrap();
    let events = lines.iter().map(|line| ImportEvent::from_json(line.as_bytes()).unwrap());
    store.import(events, ImportOptions::new()).unwrap();
    for form in ["raw", "sealed"] {
        for (expression, expected) in &plain {
            assert_eq!(&counted(&store, expression), expected, "{} by {expression}, {form}", path.display());
        }
        // One by one too, where the log's index finds them.
        for (name, expected) in plain["type"].iter().chain(plain["type"].iter().rev()).take(20) {
            let found = rows(&store, "SELECT count(*) FROM events WHERE type = ?1", [name.clone()]);
            assert_eq!(found[0].get(0), Some(&SqlValue::Integer(*expected)), "{name:?}");
        }
        for (name, expected) in plain["subject"].iter().step_by(plain["subject"].len().div_ceil(50)) {
            let found = rows(&store, "SELECT count(*), count(data) FROM events WHERE subject = ?1", [name.clone()]);
            assert_eq!(found[0].get(0), Some(&SqlValue::Integer(*expected)), "{name:?}");
        }
        let found = rows(&store, "SELECT sum(length(CAST(data AS BLOB))) FROM events", ());
        assert_eq!(found[0].get(0), Some(&SqlValue::Integer(data_bytes)), "{form}");
        // And by the tables that are folded from the log.
        for (statement, what) in [
            ("SELECT type, sum(events) FROM stats GROUP BY 1", "type"),
            ("SELECT actor, sum(events) FROM stats GROUP BY 1", "actor"),
            ("SELECT day, sum(events) FROM stats GROUP BY 1", "substr(occurred_at, 1, 10)"),
            ("SELECT subject, version FROM subjects", "subject"),
            ("SELECT kind, sum(version) FROM subjects GROUP BY 1", "kind"),
        ] {
            assert_eq!(answered(&store, statement), plain[what], "{}: {statement}, {form}", path.display());
        }
        store.seal().unwrap();
    }
}
