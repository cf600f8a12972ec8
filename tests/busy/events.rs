//! The events of the writers. All in one follows from who wrote it, its number and the bounds of its batch.

use annals::{Append, EventRef, ImportEvent, NewEvent, Query};
use serde::{Deserialize, Serialize};

use super::ledger::Bounds;
use super::{Dice, Verdict};

/// Subjects of each writer.
const SUBJECTS: u64 = 20;

/// Events that one import brings.
pub const CHUNK: u64 = 120;

/// The data of an event of a writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub writer: u64,
    pub number: u64,
    pub first: u64,
    pub last: u64,
    fill: String,
}

impl Work {
    fn new(writer: u64, number: u64, (first, last): Bounds) -> Work {
        let long = Dice(number * 8 + writer).below(900) * u64::from(!number.is_multiple_of(3));
        let fill = (0..long).map(|at| char::from(b'a' + ((number + at) % 26) as u8)).collect();
        Work { writer, number, first, last, fill }
    }

    fn version(&self) -> u64 {
        // The first event of subject 0 is the one with the number `SUBJECTS`.
        self.number / SUBJECTS + u64::from(!self.number.is_multiple_of(SUBJECTS))
    }

    fn subject(&self) -> String {
        format!("work/{}-{}", self.writer, self.number % SUBJECTS)
    }

    fn event_type(&self) -> &'static str {
        if self.version() == 1 { "work.begun" } else { "work.noted" }
    }

    /// Whether the worker takes it up.
    pub fn is_job(&self) -> bool {
        self.writer == 0 && self.number.is_multiple_of(2)
    }
}

/// A batch of a writer. It has a key, so that it can be sent again when nobody knows what became of it.
pub fn batch(writer: u64, bounds: Bounds) -> Append {
    let events = (bounds.0..=bounds.1).map(|number| {
        let work = Work::new(writer, number, bounds);
        let data = serde_json::to_vec(&work).unwrap_or_default();
        let event = NewEvent::bytes(work.event_type(), work.subject(), "application/json", data);
        if work.is_job() { event.tag("job") } else { event }
    });
    Append::new(events).key(format!("batch-{writer}-{}", bounds.0))
}

/// What the worker takes up.
pub fn jobs() -> Query {
    Query::all().types(["work.*"]).tag("job")
}

/// An event of a writer, if all in it is as it was written.
pub fn work(event: &EventRef<'_>) -> Verdict<Work> {
    let found: Work = event.json()?;
    let made = Work::new(found.writer, found.number, (found.first, found.last));
    let tags: &[&str] = if made.is_job() { &["job"] } else { &[] };
    let right = found == made
        && (event.event_type(), event.subject(), event.version())
            == (made.event_type(), &made.subject(), made.version())
        && event.tags().eq(tags.iter().copied())
        && (made.first..=made.last).contains(&made.number);
    if right { Ok(made) } else { Err(format!("an event that nobody wrote: {event:?}").into()) }
}

/// What is imported as chunk `chunk`.
pub fn chunk(chunk: u64) -> Vec<ImportEvent> {
    let line = |row| {
        format!(
            r#"{{"id":"import-{chunk}-{row}","type":"row.imported","subject":"row/{chunk}-{}","data":{{"row":{row}}}}}"#,
            row % 10
        )
    };
    (0..CHUNK).filter_map(|row| ImportEvent::from_json(line(row).as_bytes()).ok()).collect()
}

/// Which event of which chunk this is.
pub fn imported(event: &EventRef<'_>) -> Verdict<(u64, u64)> {
    let wrong = || format!("an imported event that nobody had: {event:?}");
    let id = event.id();
    let (chunk_text, row_text) = id.strip_prefix("import-").and_then(|id| id.split_once('-')).ok_or_else(wrong)?;
    let (chunk, row): (u64, u64) = (chunk_text.parse()?, row_text.parse()?);
    let right = event.subject() == format!("row/{chunk}-{}", row % 10)
        && event.data() == format!(r#"{{"row":{row}}}"#).as_bytes()
        && event.version() == row / 10 + 1;
    if right { Ok((chunk, row)) } else { Err(wrong().into()) }
}
