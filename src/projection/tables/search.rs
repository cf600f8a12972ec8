//! `search`: the full text of every subject as it is now, for FTS5.
//!
//! A row is a subject. Its text is that of all string fields of its folded object, whatever their depth, each on a line
//! of its own; `fields` says which line came from where, so that a later patch finds what it replaces. Subjects of
//! catalogue tables are folded from what changes their rows, all others from every event whose data is an object.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, params};
use serde_json::Value;

use super::model::{Model, quoted, version_of};
use crate::catalog::{Action, Catalog};
use crate::event::EventRef;
use crate::query::Query;
use crate::subject;

/// Rows are numbered by the hash of their subject; where two subjects have the same, the next numbers are taken.
const NEIGHBOURS: i64 = 4;

pub(super) struct Search {
    catalog: Catalog,
    /// What was read or changed in this transaction.
    texts: HashMap<String, Text>,
    /// The numbers of those rows.
    numbers: HashSet<i64>,
    skipped: u64,
}

/// The text of a subject, by JSON pointer to the field.
#[derive(Debug, Default)]
struct Text {
    row: i64,
    stored: bool,
    changed: bool,
    position: u64,
    fields: BTreeMap<String, String>,
}

impl Search {
    pub(super) fn new(catalog: Catalog) -> Search {
        Search { catalog, texts: HashMap::new(), numbers: HashSet::new(), skipped: 0 }
    }

    fn load(&mut self, db: &Connection, table: &str, subject: &str) -> rusqlite::Result<()> {
        if self.texts.contains_key(subject) {
            return Ok(());
        }
        let first = (xxhash_rust::xxh3::xxh3_64(subject.as_bytes()) >> 2) as i64;
        let mut select = db.prepare_cached(&format!(
            "SELECT rowid, subject, position, fields, text FROM {} WHERE rowid BETWEEN ?1 AND ?2",
            quoted(table)
        ))?;
        let mut rows = select.query([first, first + NEIGHBOURS - 1])?;
        let mut stored = Vec::new();
        let mut found = None;
        while let Some(row) = rows.next()? {
            let (id, known): (i64, String) = (row.get(0)?, row.get(1)?);
            stored.push(id);
            if known == subject {
                let (position, lines, text): (i64, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let fields = parted(&lines, &text);
                found = Some(Text { row: id, stored: true, changed: false, position: position.max(0) as u64, fields });
            }
        }
        let is_free = |row: &i64| !stored.contains(row) && !self.numbers.contains(row);
        let free = (first..first + NEIGHBOURS).find(is_free).unwrap_or(first);
        let text = found.unwrap_or(Text { row: free, ..Text::default() });
        self.numbers.insert(text.row);
        self.texts.insert(subject.to_owned(), text);
        Ok(())
    }
}

impl Model for Search {
    fn name(&self) -> &str {
        "search"
    }

    fn version(&self) -> i64 {
        let tables: Vec<String> = self
            .catalog
            .tables()
            .iter()
            .map(|table| format!("{} {} {:?}", table.name(), table.kind(), table.adopts().collect::<Vec<_>>()))
            .collect();
        version_of(1, &tables.join("\n"))
    }

    fn query(&self) -> Query {
        Query::all()
    }

    fn needs_data(&self) -> bool {
        true
    }

    fn create(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        db.execute_batch(&format!(
            "CREATE VIRTUAL TABLE {} USING fts5 (subject UNINDEXED, position UNINDEXED, fields UNINDEXED, text, \
             tokenize = 'unicode61 remove_diacritics 2')",
            quoted(table)
        ))
    }

    fn forget(&mut self) {
        self.texts.clear();
        self.numbers.clear();
    }

    fn take(&mut self, db: &Connection, table: &str, event: &EventRef<'_>) -> rusqlite::Result<()> {
        let of_table = self.catalog.table_of_kind(subject::kind_of(event.subject()));
        let action = match of_table.map(|table| table.action_of(event.event_type())) {
            Some(Some(action)) => action,
            Some(None) => return Ok(()),
            None if event.event_type().starts_with("annals.") => return Ok(()),
            None => Action::Update,
        };
        let patch = match serde_json::from_slice::<Value>(event.data()) {
            Ok(Value::Object(patch)) => Value::Object(patch),
            _ if action == Action::Delete => Value::Null,
            _ => {
                self.skipped += u64::from(of_table.is_some());
                return Ok(());
            }
        };
        self.load(db, table, event.subject())?;
        let Some(text) = self.texts.get_mut(event.subject()) else { return Ok(()) };
        text.position = event.position().get();
        text.changed = true;
        if action != Action::Update {
            text.fields.clear();
        }
        if action != Action::Delete {
            merge(&mut text.fields, "", &patch);
        }
        Ok(())
    }

    fn flush(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        self.numbers.clear();
        let table = quoted(table);
        let mut remove = db.prepare_cached(&format!("DELETE FROM {table} WHERE rowid = ?1"))?;
        let mut insert = db.prepare_cached(&format!(
            "INSERT INTO {table} (rowid, subject, position, fields, text) VALUES (?1, ?2, ?3, ?4, ?5)"
        ))?;
        // FTS5 writes what it holds whenever a row comes that is not behind the last one.
        let mut changed: Vec<(String, Text)> = self.texts.drain().filter(|(_, text)| text.changed).collect();
        changed.sort_unstable_by_key(|(_, text)| text.row);
        for (_, text) in changed.iter().filter(|(_, text)| text.stored) {
            remove.execute([text.row])?;
        }
        for (subject, text) in changed.iter().filter(|(_, text)| !text.fields.is_empty()) {
            let (lines, joined) = joined(&text.fields);
            insert.execute(params![text.row, subject, text.position as i64, lines, joined])?;
        }
        Ok(())
    }

    fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    fn compared(&self) -> Option<&'static [&'static str]> {
        Some(&["subject", "position", "text"])
    }
}

/// Applies a merge patch to the texts below a JSON pointer.
fn merge(fields: &mut BTreeMap<String, String>, at: &str, patch: &Value) {
    let Value::Object(members) = patch else { return };
    for (name, value) in members {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Value::Object(_) = value {
            fields.remove(&pointer);
            merge(fields, &pointer, value);
            continue;
        }
        // Whatever stood there, and below it, is replaced.
        let below = format!("{pointer}/");
        fields.retain(|known, _| *known != pointer && !known.starts_with(&below));
        let mut text = String::new();
        strings(value, &mut text);
        if !text.is_empty() {
            fields.insert(pointer, text);
        }
    }
}

/// The strings in a value that is no object of the document, one after the other.
fn strings(value: &Value, text: &mut String) {
    match value {
        Value::String(found) => {
            if !text.is_empty() && !found.is_empty() {
                text.push(' ');
            }
            text.push_str(found);
        }
        Value::Array(values) => values.iter().for_each(|value| strings(value, text)),
        Value::Object(members) => members.values().for_each(|value| strings(value, text)),
        _ => {}
    }
}

/// The fields as one text, and the list of pointers with the bytes of each.
fn joined(fields: &BTreeMap<String, String>) -> (String, String) {
    let lines: Vec<(&str, usize)> = fields.iter().map(|(pointer, text)| (pointer.as_str(), text.len())).collect();
    let texts: Vec<&str> = fields.values().map(String::as_str).collect();
    (serde_json::to_string(&lines).unwrap_or_default(), texts.join("\n"))
}

/// The fields of a joined text; none where the two do not fit.
fn parted(lines: &str, text: &str) -> BTreeMap<String, String> {
    let lines: Vec<(String, usize)> = serde_json::from_str(lines).unwrap_or_default();
    let mut at = 0usize;
    let mut fields = BTreeMap::new();
    for (pointer, bytes) in lines {
        let Some(piece) = at.checked_add(bytes).and_then(|end| text.get(at..end)) else { return BTreeMap::new() };
        fields.insert(pointer, piece.to_owned());
        at += bytes + 1;
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(patches: &[Value]) -> Vec<(String, String)> {
        let mut fields = BTreeMap::new();
        for patch in patches {
            merge(&mut fields, "", patch);
            let (lines, text) = joined(&fields);
            assert_eq!(parted(&lines, &text), fields);
        }
        fields.into_iter().collect()
    }

    #[test]
    fn a_patch_replaces_what_it_names_and_nothing_else() {
        let first = json!({"title": "A", "body": {"de": "eins\nzwei", "en": "one"}, "n": 1, "tags": ["x", ["y"]]});
        let texts = |patch: Value| after(&[first.clone(), patch]).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(json!({})), ["eins\nzwei", "one", "x y", "A"]);
        assert_eq!(texts(json!({"body": {"en": null}})), ["eins\nzwei", "x y", "A"]);
        assert_eq!(texts(json!({"body": "B"})), ["B", "x y", "A"]);
        assert_eq!(texts(json!({"body": null, "title": 5})), ["x y"]);
        assert_eq!(texts(json!({"title": {"a/b": "C", "~": "D"}})), ["eins\nzwei", "one", "x y", "C", "D"]);
    }

    #[test]
    fn names_that_look_like_paths_stay_apart() {
        let fields = after(&[json!({"a/b": "1", "a": {"b": "2"}, "a~1b": "3"}), json!({"a": null})]);
        let texts: Vec<&str> = fields.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["3", "1"]);
    }
}
