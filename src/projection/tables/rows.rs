//! A table of the catalogue: a row for each subject of its kind that lives, folded from its `validated` and adopted
//! events.
//!
//! Beside the columns that every such table has, each top-level field of the rows' objects gets one when it first
//! comes, up to [`COLUMNS_MAX`] in all. A field whose name is that of another column, in any case, stays in `data`
//! alone, since SQL would not tell them apart.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::model::{Model, quoted, sql_value, version_of};
use crate::actor::ActorKind;
use crate::catalog::{Action, OWNER, Table};
use crate::event::EventRef;
use crate::json::merge::Document;
use crate::query::Query;

/// Remembers the versions of rows that are gone, so that one that comes again goes on with its version.
pub(super) const GONE_TABLE: &str = "annals_gone";

/// Columns that every table has.
const FIXED: [&str; 6] = ["id", "owner", "created_at", "updated_at", "version", "data"];
/// Columns of a table at most.
const COLUMNS_MAX: usize = 200;

pub(super) struct Rows {
    table: Table,
    /// The fields that have a column, by their name in lower case; `None` until the table was looked at.
    columns: Option<HashMap<String, String>>,
    /// The fields in the order of their columns.
    order: Vec<String>,
    /// Rows that were read or changed in this transaction.
    rows: HashMap<String, Row>,
    skipped: u64,
}

#[derive(Debug, Default)]
struct Row {
    live: bool,
    changed: bool,
    owner: Option<String>,
    created_at: String,
    updated_at: String,
    version: u64,
    data: Document,
}

impl Rows {
    pub(super) fn new(table: Table) -> Rows {
        Rows { table, columns: None, order: Vec::new(), rows: HashMap::new(), skipped: 0 }
    }

    /// Finds out which fields have columns.
    fn look(&mut self, db: &Connection, table: &str) -> rusqlite::Result<&mut HashMap<String, String>> {
        if self.columns.is_none() {
            let mut listed = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
            let names = listed.query_map([table], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            self.order = names.into_iter().filter(|name| !FIXED.contains(&name.as_str())).collect();
            self.columns = Some(self.order.iter().map(|name| (name.to_lowercase(), name.clone())).collect());
        }
        Ok(self.columns.get_or_insert_default())
    }

    /// Makes columns for fields that have none yet and can have one.
    fn make_columns(&mut self, db: &Connection, table: &str, id: &str) -> rusqlite::Result<()> {
        self.look(db, table)?;
        let (Some(columns), Some(row)) = (self.columns.as_mut(), self.rows.get(id)) else { return Ok(()) };
        let mut made = false;
        for (field, _) in row.data.fields() {
            let lower = field.to_lowercase();
            if columns.contains_key(&lower)
                || FIXED.contains(&lower.as_str())
                || FIXED.len() + columns.len() >= COLUMNS_MAX
                || field.is_empty()
                || field.len() > 255
                || field.contains('\0')
            {
                continue;
            }
            db.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {}", quoted(table), quoted(field)))?;
            columns.insert(lower, field.to_owned());
            self.order.push(field.to_owned());
            made = true;
        }
        if made && table == self.table.name() { self.index(db) } else { Ok(()) }
    }

    fn load(&mut self, db: &Connection, table: &str, id: &str) -> rusqlite::Result<()> {
        if self.rows.contains_key(id) {
            return Ok(());
        }
        let mut select = db.prepare_cached(&format!(
            "SELECT owner, created_at, updated_at, version, data FROM {} WHERE id = ?1",
            quoted(table)
        ))?;
        let live = select.query_row([id], |row| {
            let (version, data): (i64, String) = (row.get(3)?, row.get(4)?);
            // What is no object there was not written here; the row is then begun anew.
            let data = Document::from_object(data.as_bytes()).unwrap_or_default();
            Ok(Row {
                live: true,
                changed: false,
                owner: row.get(0)?,
                created_at: row.get(1)?,
                updated_at: row.get(2)?,
                version: version.max(0) as u64,
                data,
            })
        });
        let row = match live.optional()? {
            Some(row) => row,
            None => {
                let mut gone =
                    db.prepare_cached(&format!("SELECT version FROM {GONE_TABLE} WHERE tbl = ?1 AND id = ?2"))?;
                let version: Option<i64> = gone.query_row(params![table, id], |row| row.get(0)).optional()?;
                Row { version: version.unwrap_or(0).max(0) as u64, ..Row::default() }
            }
        };
        self.rows.insert(id.to_owned(), row);
        Ok(())
    }
}

impl Model for Rows {
    fn name(&self) -> &str {
        self.table.name()
    }

    fn version(&self) -> i64 {
        // A table always has a text.
        version_of(1, &serde_json::to_string(&self.table).unwrap_or_default())
    }

    fn query(&self) -> Query {
        // A type is meant as it is, not as a pattern.
        let types = self.table.changing_types().map(|name| name.replace('\\', "\\\\").replace('*', "\\*"));
        Query::all().kind(self.table.kind()).types(types)
    }

    fn needs_data(&self) -> bool {
        true
    }

    fn create(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        db.execute_batch(&format!(
            "CREATE TABLE {} (id TEXT NOT NULL PRIMARY KEY, owner TEXT, created_at TEXT NOT NULL, \
             updated_at TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL)",
            quoted(table)
        ))?;
        db.execute(&format!("DELETE FROM {GONE_TABLE} WHERE tbl = ?1"), [table])?;
        self.forget();
        Ok(())
    }

    fn index(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let name = self.table.name().to_owned();
        let asked: Vec<String> = self.table.indexes().map(str::to_lowercase).collect();
        let columns = self.look(db, &name)?;
        let fields = asked.iter().filter_map(|field| columns.get(field)).map(String::as_str);
        for column in ["owner", "updated_at"].into_iter().chain(fields) {
            let index = quoted(&format!("{name} by {column}"));
            db.execute_batch(&format!("CREATE INDEX IF NOT EXISTS {index} ON {} ({})", quoted(&name), quoted(column)))?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.columns = None;
        self.order.clear();
        self.rows.clear();
    }

    fn take(&mut self, db: &Connection, table: &str, event: &EventRef<'_>) -> rusqlite::Result<()> {
        let Some(action) =
            (event.kind() == self.table.kind()).then(|| self.table.action_of(event.event_type())).flatten()
        else {
            return Ok(());
        };
        let id = event.subject_id();
        self.load(db, table, id)?;
        let default_owner = self.table.owner();
        let Some(row) = self.rows.get_mut(id) else { return Ok(()) };
        if action == Action::Delete {
            if row.live {
                *row = Row { version: row.version + 1, changed: true, ..Row::default() };
            }
            return Ok(());
        }
        let merged = match action {
            Action::Create => Document::from_object(event.data()).map(|data| row.data = data),
            _ => row.data.merge(event.data()),
        };
        if merged.is_err() {
            self.skipped += 1;
            return Ok(());
        }
        let at = event.occurred_at().to_string();
        if !row.live {
            let by_user = event.actor().filter(|actor| actor.kind() == ActorKind::User).map(|actor| actor.id());
            row.owner =
                event.meta_value(OWNER).or(event.on_behalf_of()).or(by_user).or(default_owner).map(str::to_owned);
            row.created_at.clone_from(&at);
        }
        row.updated_at = at;
        row.version += 1;
        (row.live, row.changed) = (true, true);
        self.make_columns(db, table, id)
    }

    fn flush(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        if !self.rows.values().any(|row| row.changed) {
            self.rows.clear();
            return Ok(());
        }
        self.look(db, table)?;
        let columns: Vec<String> =
            FIXED.iter().map(|name| quoted(name)).chain(self.order.iter().map(|name| quoted(name))).collect();
        let places = vec!["?"; columns.len()].join(", ");
        let mut write =
            db.prepare_cached(&format!("REPLACE INTO {} ({}) VALUES ({places})", quoted(table), columns.join(", ")))?;
        let mut remove = db.prepare_cached(&format!("DELETE FROM {} WHERE id = ?1", quoted(table)))?;
        let mut bury =
            db.prepare_cached(&format!("REPLACE INTO {GONE_TABLE} (tbl, id, version) VALUES (?1, ?2, ?3)"))?;
        let mut dig = db.prepare_cached(&format!("DELETE FROM {GONE_TABLE} WHERE tbl = ?1 AND id = ?2"))?;
        let mut rows: Vec<(String, Row)> = self.rows.drain().filter(|(_, row)| row.changed).collect();
        rows.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (id, row) in rows {
            let version = row.version as i64;
            if !row.live {
                remove.execute([&id])?;
                bury.execute(params![table, id, version])?;
                continue;
            }
            dig.execute(params![table, id])?;
            let mut values = vec![
                Value::Text(id),
                row.owner.map_or(Value::Null, Value::Text),
                Value::Text(row.created_at),
                Value::Text(row.updated_at),
                Value::Integer(version),
                Value::Text(row.data.to_json()),
            ];
            values.extend(
                self.order.iter().map(|name| row.data.field(name).map_or(Value::Null, |json| sql_value(&json))),
            );
            write.execute(params_from_iter(values))?;
        }
        Ok(())
    }

    fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }
}
