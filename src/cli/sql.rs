//! `annals sql`: a question in SQL over the log and over what was projected from it.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use annals::{Error, ErrorKind, Row, Rows, SqlValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::args::StoreArg;
use super::fail::{Code, Done, Failure, note, warn};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{interrupt, open, text};

/// Rows by which the columns of a table are judged: numbers or texts, short or long.
const SAMPLE_ROWS: usize = 256;
/// Texts wider than this give way first on a narrow terminal.
const SHORT_COLUMNS: usize = 32;
/// How soon Ctrl-C is heard.
const LOOK_AROUND: Duration = Duration::from_millis(10);
/// Bytes of a statement from standard input; the library has a smaller limit and says so.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Ask in SQL: over `events`, which is the log, and over the projected tables
#[derive(Debug, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "`events` has the columns position, version, id, type, subject, kind, subject_id, actor, actor_kind, \
                  on_behalf_of, source, recorded_at, occurred_at, correlation, causation, tags, content_type and data. \
                  Only statements that read are answered."
)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The statement, such as "SELECT type, count(*) FROM events GROUP BY type"; `-` reads it from standard input
    #[arg(value_name = "STATEMENT", allow_hyphen_values = true)]
    statement: String,
    /// A value for ?1, the next one for ?2 and so on: a number, else a text; in single quotes a text in any case
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    params: Vec<String>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let statement = statement(&args.statement)?;
    let store = open::reading(&path)?;
    let params: Vec<SqlValue> = args.params.iter().map(|text| param(text)).collect();
    interrupt::listen();
    let mut rows = store.sql(&statement, params).map_err(|error| failure(&error, &path))?;
    let interrupter = rows.interrupter();
    std::thread::spawn(move || {
        while !interrupt::asked() {
            std::thread::sleep(LOOK_AROUND);
        }
        interrupter.interrupt();
    });
    for (table, lag) in rows.lags().filter(|(_, lag)| *lag > 0) {
        note(format_args!("{table} is {} behind the log", text::counted(lag, "event")));
    }
    let printed = match format {
        Format::Table => table(&mut rows, &path, out),
        _ => documents(&mut rows, format, &path, out),
    };
    if interrupt::asked() {
        return Err(Failure::Quiet(Code::Interrupted));
    }
    if printed? == 0 && format == Format::Table {
        out.flush()?;
        note("no rows");
    }
    Ok(())
}

fn statement(given: &str) -> Done<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::io("read the statement from standard input", &error))?;
    Ok(text)
}

/// A parameter as SQL would read it, but that a text needs no quotes.
fn param(text: &str) -> SqlValue {
    if let Some(quoted) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return SqlValue::from(quoted.replace("''", "'"));
    }
    // Only what is printed as it was given is a number: `007` and `1e5` may be names.
    if let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return SqlValue::Integer(number);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && format!("{number:?}") == text => SqlValue::Real(number),
        _ => SqlValue::from(text),
    }
}

/// A statement that cannot be answered as it is written is misuse of the command line.
fn failure(error: &Error, store: &Path) -> Failure {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::TooLarge => {
            let failure = Failure::usage(error.message());
            match error.hint() {
                Some(hint) => failure.hinting(hint),
                None => failure,
            }
        }
        _ => Failure::of_store(error, store),
    }
}

/// Prints rows for a person; returns how many.
fn table(rows: &mut Rows, store: &Path, out: &mut Out) -> Done<u64> {
    let names: Vec<String> = rows.columns().iter().map(|name| text::clean(name).into_owned()).collect();
    let mut sample: Vec<Row> = Vec::new();
    let mut ended = None;
    while sample.len() < SAMPLE_ROWS {
        match rows.next() {
            Some(Ok(row)) => sample.push(row),
            Some(Err(error)) => {
                ended = Some(Err(failure(&error, store)));
                break;
            }
            None => {
                ended = Some(Ok(()));
                break;
            }
        }
    }
    let columns = names.into_iter().enumerate().map(|(index, name)| column(name, index, &sample));
    let mut grid = Grid::new(columns);
    let mut count = 0;
    for row in sample {
        grid.row(out, row.values().iter().map(cell))?;
        count += 1;
    }
    if ended.is_none() {
        for row in rows {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    ended = Some(Err(failure(&error, store)));
                    break;
                }
            };
            grid.row(out, row.values().iter().map(cell))?;
            count += 1;
        }
    }
    grid.settle(out)?;
    ended.unwrap_or(Ok(())).map(|()| count)
}

fn column(name: String, index: usize, sample: &[Row]) -> Column {
    let mut values = sample.iter().filter_map(|row| row.get(index)).filter(|value| !value.is_null()).peekable();
    let is_empty = values.peek().is_none();
    let mut is_number = !is_empty;
    let mut is_long = false;
    for value in values {
        is_number &= matches!(value, SqlValue::Integer(_) | SqlValue::Real(_));
        is_long |= value.as_text().is_some_and(|text| text.len() > SHORT_COLUMNS);
    }
    // The columns of a grid are known when the program is built, but for these few; they live until it ends.
    let name: &'static str = Box::leak(name.into_boxed_str());
    match (is_number, is_long) {
        (true, _) => Column::number(name),
        (false, true) => Column::text(name).giving_way(),
        (false, false) => Column::text(name),
    }
}

fn cell(value: &SqlValue) -> Cell {
    match value {
        SqlValue::Integer(number) => Cell::from(number.to_string()),
        SqlValue::Real(number) => Cell::from(format!("{number:?}")),
        SqlValue::Text(text) => Cell::from(text.as_str()),
        SqlValue::Blob(bytes) => Cell::styled(format!("({})", text::bytes(bytes.len() as u64)), Style::Dim),
        _ => Cell::styled("NULL", Style::Dim),
    }
}

/// Prints rows for a program, one object each; returns how many.
fn documents(rows: &mut Rows, format: Format, store: &Path, out: &mut Out) -> Done<u64> {
    let keys: Vec<String> = keys(rows.columns()).iter().map(|key| format!("{}:", json_text(key))).collect();
    let mut buffer = String::new();
    let mut count = 0;
    let mut ended = Ok(());
    for row in &mut *rows {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                ended = Err(failure(&error, store));
                break;
            }
        };
        buffer.clear();
        if format == Format::Json {
            buffer.push_str(if count == 0 { "[\n" } else { ",\n" });
        }
        for (index, (key, value)) in keys.iter().zip(row.values()).enumerate() {
            buffer.push(if index == 0 { '{' } else { ',' });
            buffer.push_str(key);
            push_json(value, &mut buffer);
        }
        buffer.push('}');
        if format == Format::Jsonl {
            buffer.push('\n');
        }
        out.bytes(buffer.as_bytes())?;
        count += 1;
    }
    match format {
        Format::Json if count == 0 => out.bytes(b"[]\n")?,
        Format::Json => out.bytes(b"\n]\n")?,
        _ => {}
    }
    ended.map(|()| count)
}

/// The names of the columns, each once: a second `count(*)` becomes `count(*)_2`, since an object has one of each.
fn keys(columns: &[String]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for column in columns {
        let mut key = column.clone();
        let mut number = 2;
        while keys.contains(&key) {
            key = format!("{column}_{number}");
            number += 1;
        }
        if key != *column {
            warn(format_args!("two columns are called {column:?}: the second one is {key:?}"));
        }
        keys.push(key);
    }
    keys
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn push_json(value: &SqlValue, buffer: &mut String) {
    match value {
        SqlValue::Integer(number) => buffer.push_str(&number.to_string()),
        SqlValue::Real(number) if number.is_finite() => buffer.push_str(&serde_json::Value::from(*number).to_string()),
        SqlValue::Text(text) => buffer.push_str(&json_text(text)),
        SqlValue::Blob(bytes) => {
            buffer.push('"');
            BASE64.encode_string(bytes, buffer);
            buffer.push('"');
        }
        _ => buffer.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_a_number_only_if_it_is_written_as_one() {
        for (text, value) in [
            ("5", SqlValue::Integer(5)),
            ("-5", SqlValue::Integer(-5)),
            ("007", "007".into()),
            ("+5", "+5".into()),
            ("1.5", SqlValue::Real(1.5)),
            ("1e5", "1e5".into()),
            ("inf", "inf".into()),
            ("'5'", "5".into()),
            ("'it''s'", "it's".into()),
            ("note/n-1", "note/n-1".into()),
            ("", "".into()),
            ("'", "'".into()),
        ] {
            assert_eq!(param(text), value, "{text}");
        }
    }

    #[test]
    fn every_key_is_there_once() {
        let columns = ["a", "b", "a", "a", "a_2"].map(str::to_owned);
        assert_eq!(keys(&columns), ["a", "b", "a_2", "a_3", "a_2_2"]);
    }
}
