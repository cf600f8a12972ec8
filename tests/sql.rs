//! SQL over the log: the answers are those of looking at every event, and the log's own plan is what finds them.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
#[path = "common/real.rs"]
mod files;

#[path = "sql/answers.rs"]
mod answers;
#[path = "sql/bounds.rs"]
mod bounds;
#[path = "sql/plans.rs"]
mod plans;
#[path = "sql/real.rs"]
mod real;
#[path = "sql/tables.rs"]
mod tables;

use annals::{Row, SqlParams, SqlValue, Store};

/// All rows of an answer.
pub(crate) fn rows(store: &Store, text: &str, params: impl SqlParams) -> Vec<Row> {
    store.sql(text, params).unwrap().map(|row| row.unwrap_or_else(|error| panic!("{text}: {error}"))).collect()
}

/// The values of an answer's first column, which are whole numbers.
pub(crate) fn numbers(store: &Store, text: &str, params: impl SqlParams) -> Vec<i64> {
    rows(store, text, params).iter().map(|row| row.get(0).and_then(SqlValue::as_integer).unwrap()).collect()
}

/// What the log was asked, by SQLite's plan.
pub(crate) fn plan(store: &Store, text: &str) -> Vec<String> {
    let rows = rows(store, &format!("EXPLAIN QUERY PLAN {text}"), ());
    rows.iter().map(|row| row.named("detail").and_then(SqlValue::as_text).unwrap().to_owned()).collect()
}
