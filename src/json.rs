//! The JSON shape of events: what `export` and `log --format jsonl` write and `import` reads.
//!
//! One event is one JSON object on one line, in the attribute names of CloudEvents 1.0. What is written here reads
//! back as the same event, whatever the event holds; a property test holds the two directions together.
//!
//! # What is written
//!
//! Always in this order; a member whose condition does not hold is left out.
//!
//! | member | value | written |
//! |---|---|---|
//! | `specversion` | `"1.0"` | always |
//! | `id` | the event's id, derived or given | always |
//! | `source` | the event's source; `"annals:none"` where it has none, see below | always |
//! | `type` | | always |
//! | `subject` | `kind/id` | always |
//! | `time` | occurred_at, RFC 3339 in UTC | always |
//! | `datacontenttype` | the content type; `""` if there is data of no content type | with either |
//! | `authtype` | `user`, `agent`, `external`, `system` or `unknown` | with an actor |
//! | `authid` | the actor's id | with an actor |
//! | `onbehalfof` | | if given |
//! | `correlationid` | | if given |
//! | `causationid` | position of the cause, in decimal, as a string | with a cause |
//! | `recordedtime` | recorded_at, RFC 3339 in UTC | always |
//! | `sequence` | the position as a string of 20 digits, so that lines sort as texts | always |
//! | `tags` | array of strings | if there are any |
//! | metadata | a string each, under its own name | for a *plain* name |
//! | `annalsmeta` | array of `[index, name, value]`: all other metadata | if there are any |
//! | `data` | the bytes of the data as they are | if they can stand in the line |
//! | `data_base64` | the data in base64 (RFC 4648, padded) | for all other data |
//!
//! - **Data** stands in the line as it is where the content type is JSON (`*/json` or `*/*+json`, parameters apart)
//!   and the bytes are UTF-8 and one JSON value by the grammar of RFC 8259, without line breaks in or white space
//!   around it. Anything else goes as base64. An event without data has neither member.
//! - **Source.** CloudEvents demands one, so an event without a source is given `annals:none`, which reads back as
//!   none. A source that truly is that text, or that text and any number of `~` behind it, gets one `~` more, which
//!   reading takes away.
//! - **Metadata** with a *plain* name is a member of its own, as the trace context of CloudEvents is (`traceparent`).
//!   A name is not plain if it is one of the members above or below ([`Member`]), or if an earlier entry of the same
//!   event has it: an object must not have two members of one name. Such entries stand in `annalsmeta`, each with the
//!   0-based index at which it stands among all metadata of the event, so that their order survives too.
//!
//! # What is read
//!
//! That, CloudEvents of others, and a plain envelope, which has `subject_type` (the subject is then
//! `subject_type/subject`) and `actor` (an actor of unknown kind) instead. `type` and `subject` are required.
//!
//! | what stands there | what becomes of it |
//! |---|---|
//! | any member twice | refused: which one was meant? |
//! | `null`, but for `data` | as if it was left out |
//! | an empty string | refused, but in `datacontenttype` and in metadata |
//! | `data` | kept byte for byte, `null` too; but a JSON string whose `datacontenttype` is not JSON is decoded, since CloudEvents puts text so |
//! | `datacontenttype` left out | `application/json` with `data`, `application/octet-stream` with `data_base64`, none without data |
//! | `authid` without `authtype` | an actor of unknown kind |
//! | `authtype` of CloudEvents' own | `app_user` is a user, `service_account` a system, all others unknown; the word is kept as metadata `authtype` |
//! | `authtype` without `authid` | no actor; the word is kept as metadata `authtype` |
//! | `actor` beside `authid` | `authid` is the actor, the other is kept as metadata `actor` |
//! | `sequence` that is no whole number | kept as metadata `sequence` |
//! | `causationid` that is no whole number | [`ImportCause::Other`] |
//! | any other string, number or boolean | metadata under that name; a number keeps its digits |
//! | any other array or object | refused by name |
//!
//! The bytes of a line are whatever somebody has sent. Nothing here recurses into them, however deep they are nested,
//! and no message repeats more of them than fits on a line.

mod import;
mod line;
pub(crate) mod merge;
#[cfg(test)]
mod tests;
mod write;

pub use import::{ImportCause, ImportEvent};
pub use merge::{Document, FieldChange, NotAnObject};
pub use write::write_event;

/// Stands for the source of an event that has none.
const NO_SOURCE: &str = "annals:none";
/// Behind `NO_SOURCE`, as often as it takes: the source is meant literally.
const LITERAL: char = '~';

/// Says whether a source reads `annals:none`, with or without `~` behind it.
fn looks_like_none(source: &str) -> bool {
    source.strip_prefix(NO_SOURCE).is_some_and(|rest| rest.chars().all(|char| char == LITERAL))
}

/// Says whether data of this content type is JSON: subtype `json` or a suffix `+json`, in any case.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim_ascii();
    let Some((_, subtype)) = essence.split_once('/') else {
        return false;
    };
    let suffix = subtype.rsplit('+').next().unwrap_or_default();
    suffix.eq_ignore_ascii_case("json")
}

macro_rules! members {
    ($($variant:ident $name:literal,)*) => {
        /// The members that mean something of their own; every other name is metadata.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Member {
            $($variant,)*
        }

        impl Member {
            const ALL: &[Member] = &[$(Member::$variant),*];

            fn name(self) -> &'static str {
                match self {
                    $(Member::$variant => $name,)*
                }
            }

            fn of(name: &str) -> Option<Member> {
                match name {
                    $($name => Some(Member::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

members! {
    SpecVersion "specversion",
    Id "id",
    Source "source",
    Type "type",
    Subject "subject",
    Time "time",
    ContentType "datacontenttype",
    AuthType "authtype",
    AuthId "authid",
    OnBehalfOf "onbehalfof",
    CorrelationId "correlationid",
    CausationId "causationid",
    RecordedTime "recordedtime",
    Sequence "sequence",
    Tags "tags",
    OtherMeta "annalsmeta",
    Data "data",
    DataBase64 "data_base64",
    // Of the plain envelope alone.
    SubjectType "subject_type",
    Actor "actor",
}
