//! What tables and kinds may be called.

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a table's name or kind: it becomes part of types and subjects, and the name of a table in SQL.
const NAME_BYTES_MAX: usize = 63;

/// What every store has in SQL beside its tables.
const OF_SQL: &[&str] = &["events", "event", "subjects", "subject", "search", "stats"];

/// Whether a table or a kind can have this name.
pub(super) fn check(what: &str, name: &str) -> Result<()> {
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
    if !begins || name.len() > NAME_BYTES_MAX || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Error::invalid(format!(
            "{name:?} is no name of a {what}: a letter, then up to {} letters, digits and '_'",
            NAME_BYTES_MAX - 1
        )));
    }
    let lower = name.to_ascii_lowercase();
    if OF_SQL.contains(&lower.as_str()) || lower.starts_with("sqlite_") || lower.starts_with("annals") {
        let text = format!("{name} is a name of the store itself");
        return Err(Error::new(ErrorKind::Reserved, text).hinting("choose another name"));
    }
    Ok(())
}
