//! The columns of the table `events`.

use rusqlite::types::ToSqlOutput;
use rusqlite::vtab::Context;

use crate::event::EventRef;
use crate::time::write_time;

/// What SQLite is told of the table. The order is that of [`Column`].
pub(super) const DECLARATION: &std::ffi::CStr = c"CREATE TABLE events(
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    actor TEXT,
    actor_kind TEXT,
    on_behalf_of TEXT,
    source TEXT,
    recorded_at TEXT NOT NULL COLLATE annals_time,
    occurred_at TEXT NOT NULL COLLATE annals_time,
    correlation TEXT,
    causation INTEGER,
    tags TEXT NOT NULL,
    content_type TEXT,
    data,
    meta TEXT HIDDEN
)";

/// A column, by its place in the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Position,
    Version,
    Id,
    Type,
    Subject,
    Kind,
    SubjectId,
    Actor,
    ActorKind,
    OnBehalfOf,
    Source,
    RecordedAt,
    OccurredAt,
    Correlation,
    Causation,
    Tags,
    ContentType,
    Data,
    Meta,
}

/// All columns with their names, in the order of the declaration.
pub(super) const COLUMNS: [(Column, &str); 19] = [
    (Column::Position, "position"),
    (Column::Version, "version"),
    (Column::Id, "id"),
    (Column::Type, "type"),
    (Column::Subject, "subject"),
    (Column::Kind, "kind"),
    (Column::SubjectId, "subject_id"),
    (Column::Actor, "actor"),
    (Column::ActorKind, "actor_kind"),
    (Column::OnBehalfOf, "on_behalf_of"),
    (Column::Source, "source"),
    (Column::RecordedAt, "recorded_at"),
    (Column::OccurredAt, "occurred_at"),
    (Column::Correlation, "correlation"),
    (Column::Causation, "causation"),
    (Column::Tags, "tags"),
    (Column::ContentType, "content_type"),
    (Column::Data, "data"),
    (Column::Meta, "meta"),
];

/// Columns that stand beside the strings of an event.
const WITHOUT_TEXT: [Column; 6] =
    [Column::Position, Column::Version, Column::ActorKind, Column::RecordedAt, Column::OccurredAt, Column::Causation];

impl Column {
    /// The column that SQLite names by this number; -1 is the row's id, which is the position.
    pub(super) fn from_number(number: i32) -> Option<Column> {
        match number {
            -1 => Some(Column::Position),
            _ => usize::try_from(number).ok().and_then(|number| COLUMNS.get(number)).map(|(column, _)| *column),
        }
    }

    pub(super) fn name(self) -> &'static str {
        COLUMNS.iter().find(|(column, _)| *column == self).map_or("", |(_, name)| name)
    }

    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// The columns that a statement uses, as SQLite tells them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used(pub(super) u64);

impl Used {
    pub(super) fn data(self) -> bool {
        self.0 & Column::Data.bit() != 0
    }

    /// Whether any string of an event is used.
    pub(super) fn text(self) -> bool {
        let without = WITHOUT_TEXT.iter().fold(0, |bits, column| bits | column.bit());
        self.0 & !without != 0
    }
}

/// Gives one column of an event to SQLite.
pub(super) fn give(context: &mut Context, column: Column, event: &EventRef<'_>) -> rusqlite::Result<()> {
    // Positions and versions count events, of which no log has 2^63.
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let time = |context: &mut Context, time| {
        let mut text = Vec::with_capacity(32);
        write_time(time, &mut text);
        context.set_result(std::str::from_utf8(&text).unwrap_or_default())
    };
    match column {
        Column::Position => context.set_result(number(event.position().get())),
        Column::Version => context.set_result(number(event.version())),
        Column::Id => context.set_result(&*event.id()),
        Column::Type => context.set_result(event.event_type()),
        Column::Subject => context.set_result(event.subject()),
        Column::Kind => context.set_result(event.kind()),
        Column::SubjectId => context.set_result(event.subject_id()),
        Column::Actor => context.set_result(event.actor().map(|actor| actor.id())),
        Column::ActorKind => context.set_result(event.actor().map(|actor| actor.kind().as_str())),
        Column::OnBehalfOf => context.set_result(event.on_behalf_of()),
        Column::Source => context.set_result(event.source()),
        Column::RecordedAt => time(context, event.recorded_at()),
        Column::OccurredAt => time(context, event.occurred_at()),
        Column::Correlation => context.set_result(event.correlation()),
        Column::Causation => context.set_result(event.causation().map(|cause| number(cause.get()))),
        Column::Tags => context.set_result(tags(event)),
        Column::ContentType => context.set_result(Some(event.content_type()).filter(|text| !text.is_empty())),
        Column::Data => context.set_result(data(event)),
        Column::Meta => context.set_result(meta(event)),
    }
}

fn tags(event: &EventRef<'_>) -> String {
    let tags = event.tags();
    if tags.len() == 0 {
        return "[]".to_owned();
    }
    serde_json::Value::from_iter(tags).to_string()
}

fn meta(event: &EventRef<'_>) -> String {
    serde_json::Value::from_iter(event.meta()).to_string()
}

/// The data: a text where it says that it is one and is, else bytes; NULL where the event has none.
fn data<'a>(event: &EventRef<'a>) -> ToSqlOutput<'a> {
    use rusqlite::types::ValueRef;
    let (content, data) = (event.content_type(), event.data());
    if content.is_empty() && data.is_empty() {
        return ToSqlOutput::Borrowed(ValueRef::Null);
    }
    let says_text = content.starts_with("text/") || {
        let media = content.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json") || media.ends_with("+json")
    };
    match std::str::from_utf8(data) {
        Ok(text) if says_text => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        _ => ToSqlOutput::Borrowed(ValueRef::Blob(data)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_as_they_are_declared() {
        let declared: Vec<&str> = DECLARATION.to_str().unwrap().lines().skip(1).collect();
        for (index, (column, name)) in COLUMNS.iter().enumerate() {
            assert_eq!(*column as usize, index);
            assert_eq!(declared[index].trim().trim_end_matches(',').split(' ').next(), Some(*name));
            assert_eq!(Column::from_number(index as i32), Some(*column));
        }
        assert_eq!(declared.len(), COLUMNS.len() + 1);
        assert_eq!(Column::from_number(-1), Some(Column::Position));
        assert_eq!(Column::from_number(19), None);
    }
}
