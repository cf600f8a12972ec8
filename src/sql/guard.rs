//! What a statement may do: read.
//!
//! Three walls stand one behind the other. The first word of the statement has to be one that reads. SQLite asks the
//! [`authorizer`](watch) about everything that a statement would do, and only reading is allowed: no file is attached,
//! no extension loaded, no setting changed. Last, the connection itself is opened for reading only.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::events;
use crate::error::{Error, Result};

/// Words with which a statement that reads can begin.
const READING: [&str; 5] = ["SELECT", "WITH", "VALUES", "EXPLAIN", "PRAGMA"];

/// Words with which a statement begins that does anything else.
const OTHERS: [&str; 20] = [
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "CREATE",
    "DELETE",
    "DETACH",
    "DROP",
    "END",
    "INSERT",
    "REINDEX",
    "RELEASE",
    "REPLACE",
    "ROLLBACK",
    "SAVEPOINT",
    "TRUNCATE",
    "UPDATE",
    "UPSERT",
    "VACUUM",
];

/// Settings that can be asked for. Those that take a value take the name of a table or an index.
const PRAGMAS: [&str; 13] = [
    "collation_list",
    "compile_options",
    // FTS5 asks for it while it reads.
    "data_version",
    "database_list",
    "foreign_key_list",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "module_list",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Functions that reach beyond the data.
const FUNCTIONS_REFUSED: [&str; 2] = ["load_extension", "fts3_tokenizer"];

/// What the authorizer saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Tables that the statement names, those of its views too.
    pub(super) tables: BTreeSet<String>,
    /// The first thing that was refused, in words.
    pub(super) refused: Option<String>,
    /// What is asked comes from this crate, which begins the reading itself.
    pub(super) is_own: bool,
}

/// Has SQLite ask before it does anything; what it asks about is told in `seen`.
pub(super) fn watch(connection: &mut Connection, seen: &Arc<Mutex<Seen>>) -> rusqlite::Result<()> {
    let seen = Arc::clone(seen);
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        let mut seen = seen.lock();
        if seen.is_own {
            return Authorization::Allow;
        }
        match judge(&context, &mut seen.tables) {
            Ok(()) => Authorization::Allow,
            Err(what) => {
                seen.refused.get_or_insert(what);
                Authorization::Deny
            }
        }
    }))
}

fn judge(context: &AuthContext<'_>, tables: &mut BTreeSet<String>) -> std::result::Result<(), String> {
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Ok(()),
        AuthAction::Read { table_name, .. } => {
            if is_own(table_name) {
                tables.insert(table_name.to_owned());
            }
            Ok(())
        }
        AuthAction::Function { function_name } => {
            match FUNCTIONS_REFUSED.iter().any(|refused| function_name.eq_ignore_ascii_case(refused)) {
                true => Err(format!("the function {function_name}")),
                false => Ok(()),
            }
        }
        AuthAction::Pragma { pragma_name, .. } => {
            match PRAGMAS.iter().any(|allowed| pragma_name.eq_ignore_ascii_case(allowed)) {
                true => Ok(()),
                false => Err(format!("PRAGMA {pragma_name}")),
            }
        }
        AuthAction::Insert { .. } => Err("INSERT".to_owned()),
        AuthAction::Update { .. } => Err("UPDATE".to_owned()),
        AuthAction::Delete { .. } => Err("DELETE".to_owned()),
        AuthAction::Attach { .. } => Err("ATTACH".to_owned()),
        _ => Err("a statement that does more than read".to_owned()),
    }
}

/// Whether a table may be one that a projection keeps: neither the log nor one of SQLite's own.
fn is_own(table: &str) -> bool {
    let lower = table.to_ascii_lowercase();
    lower != events::NAME && !lower.starts_with("sqlite_") && !lower.starts_with("pragma_")
}

/// The error for what is refused.
pub(super) fn refusal(what: &str) -> Error {
    Error::invalid(format!("only statements that read are answered, and this has {what}"))
        .hinting("ask with SELECT; what is in the tables comes from events alone, which `annals append` adds")
}

/// Checks the first word of a statement.
pub(super) fn check_text(text: &str) -> Result<()> {
    let Some(word) = first_word(text) else {
        return Err(Error::invalid("no statement was given").hinting("such as `SELECT count(*) FROM events`"));
    };
    let word = word.to_ascii_uppercase();
    if OTHERS.contains(&word.as_str()) { Err(refusal(&word)) } else { Ok(()) }
}

/// Whether a statement that SQLite takes for one begins as one that reads.
pub(super) fn begins_reading(text: &str) -> bool {
    first_word(text).is_some_and(|word| READING.iter().any(|reading| word.eq_ignore_ascii_case(reading)))
}

/// The first word behind blanks, comments and empty statements.
fn first_word(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_whitespace() || char == ';' || char == '\u{feff}');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else if rest.is_empty() {
            return None;
        } else {
            let end = rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len());
            // What begins with no letter is no word, but something: SQLite says what is wrong with it.
            return Some(if end == 0 { rest } else { rest.get(..end).unwrap_or(rest) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_stands_behind_comments() {
        for (text, word) in [
            ("SELECT 1", Some("SELECT")),
            (" ;; -- a\n/* b */select(1)", Some("select")),
            ("", None),
            (" ; -- only this", None),
            ("/* open", None),
            ("(1)", Some("(1)")),
        ] {
            assert_eq!(first_word(text), word, "{text}");
        }
        assert!(begins_reading("with x as (select 1) select * from x"));
        assert!(!begins_reading("vacuum"));
    }

    #[test]
    fn a_statement_that_writes_is_refused_by_its_first_word() {
        for word in OTHERS {
            let error = check_text(&format!("{} x", word.to_ascii_lowercase())).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Invalid);
            assert!(error.to_string().ends_with(word), "{error}");
        }
        assert!(check_text("--").is_err());
        assert!(check_text("SELEC 1").is_ok(), "SQLite says what is wrong with it");
    }
}
