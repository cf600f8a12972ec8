//! `annals append`: one event, under a condition if need be.

use std::path::Path;
use std::str::FromStr;

use annals::{
    Actor, Append, Appended, Command, Durability, Expected, NewEvent, Position, Reply, Store, Timestamp, limits,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::args::{Place, StoreArg, actor, time, writing_actor};
use super::data::{Data, is_json};
use super::fail::{Code, Done, Failure, warn};
use super::out::{Format, Out};
use super::{door, open, text};

/// What a request's event is called at its end.
const REQUESTED: &str = ".requested";

/// Append one event
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// What happened, such as note.created
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// What it is about, such as note/n-1
    #[arg(long, value_name = "KIND/ID")]
    subject: String,
    /// The data: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<Data>,
    /// What the data is; data of any other type than JSON is kept as it is
    #[arg(long, value_name = "TYPE", requires = "data")]
    content_type: Option<String>,
    /// Who did it: user:alice, agent:scribe, external:.., system:.., or a bare name; ANNALS_ACTOR stands in for it
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<Actor>,
    /// The user for whom the actor acts
    #[arg(long, value_name = "USER")]
    on_behalf_of: Option<String>,
    /// An id of your own
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Where the event comes from
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// A tag; may be given several times
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// When it happened, if that is not now
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    occurred_at: Option<Timestamp>,
    /// What ties events of one undertaking together
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// The event that caused it: a position, or id:ID
    #[arg(long, value_name = "P")]
    caused_by: Option<Place>,
    /// Idempotency key: the same key with the same event is appended once
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only if the subject has exactly N events, none, or any
    #[arg(long, value_name = "N|none|exists")]
    expect: Option<Expect>,
}

/// `--expect`
#[derive(Debug, Clone, Copy)]
struct Expect(Expected);

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Expect, String> {
        Ok(Expect(match text {
            "none" => Expected::NoSubject,
            "exists" => Expected::Exists,
            number => match number.parse() {
                Ok(version) => Expected::Exactly(version),
                Err(_) => return Err("give the number of its events, none, or exists".to_owned()),
            },
        }))
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    position: u64,
    subject: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    version: u64,
    recorded_at: Timestamp,
    duplicate: bool,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let actor = writing_actor(args.actor.as_ref())?;
    // Everything that can be wrong with the event itself is found before a store is made for it.
    let content = args.data.as_ref().map(|data| data.content(args.content_type.as_deref())).transpose()?;
    let content = content.unwrap_or_default();
    let event = event(args, actor.as_ref(), &content)?;
    let data_bytes = event.data().len();
    let caused_by = args.caused_by.as_ref().map(|place| cause(place, &path)).transpose()?;
    let event = caused_by.into_iter().fold(event, |event, position| event.caused_by(position));

    let command = Command::Append {
        event: line(args, actor.as_ref(), &content)?,
        caused_by,
        expect: args.expect.map(|Expect(expected)| expected),
        key: args.key.clone(),
    };
    let own = |store: &Store| {
        let appended = append(args, event, store, &path)?;
        if args.event_type.ends_with(REQUESTED) {
            // It may be a request, which is decided like any other.
            door::settle(store, &path)?;
        }
        Ok(Reply::Appended { appended })
    };
    let Reply::Appended { appended } = door::run_with(&path, Durability::Synced, &command, own)? else {
        return Err(Failure::new(Code::Failure, "the application that writes the store gave another answer"));
    };
    let event = open::reading(&path)?.reader().event(appended.first);
    let version = event.map_err(|error| Failure::of_store(&error, &path))?.map_or(0, |event| event.version());

    if data_bytes > limits::DATA_BYTES_WARN {
        warn(format_args!(
            "{} of data: events are small facts; keep the document beside the log and its digest in the event",
            text::bytes(data_bytes as u64)
        ));
    }
    let answer = Answer {
        position: appended.first.get(),
        subject: &args.subject,
        event_type: &args.event_type,
        version,
        recorded_at: appended.recorded_at,
        duplicate: appended.duplicate,
    };
    match format {
        Format::Table => summary(&answer, out),
        _ => out.json(&answer, format),
    }
}

fn summary(answer: &Answer<'_>, out: &mut Out) -> Done {
    let subject = text::clean(answer.subject);
    let verb = if answer.duplicate { out.paint.yellow("was there") } else { out.paint.green("appended") };
    out.line(format_args!(
        "{verb} {} at position {}, {subject} version {}",
        text::clean(answer.event_type),
        text::count(answer.position),
        text::count(answer.version)
    ))
}

fn append(args: &Args, event: NewEvent, store: &annals::Store, path: &Path) -> Done<Appended> {
    let mut append = Append::new([event]);
    if let Some(Expect(expected)) = args.expect {
        append = append.expect(&args.subject, expected);
    }
    if let Some(key) = &args.key {
        append = append.key(key);
    }
    store.append_with(append).map_err(|error| Failure::of_append(error, path))
}

fn cause(place: &Place, path: &Path) -> Done<Position> {
    place.existing(&open::reading(path)?.reader(), path)
}

fn event(args: &Args, actor: Option<&Actor>, (content_type, data): &(String, Vec<u8>)) -> Done<NewEvent> {
    let mut event = NewEvent::bytes(&args.event_type, &args.subject, content_type, data.clone());
    if let Some(actor) = actor {
        event = event.actor(actor.clone());
    }
    if let Some(user) = &args.on_behalf_of {
        event = event.on_behalf_of(user);
    }
    if let Some(id) = &args.id {
        event = event.id(id);
    }
    if let Some(source) = &args.source {
        event = event.source(source);
    }
    if let Some(time) = args.occurred_at {
        event = event.occurred_at(time);
    }
    if let Some(correlation) = &args.correlation {
        event = event.correlation(correlation);
    }
    annals::subject::validate(&args.subject).map_err(|error| Failure::usage(format!("{error}, --subject")))?;
    Ok(args.tag.iter().fold(event, |event, tag| event.tag(tag)))
}

/// The event as a line that an import takes, for the application that writes the store.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authtype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    onbehalfof: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<&'a str>,
    tags: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

fn line(args: &Args, actor: Option<&Actor>, (content_type, data): &(String, Vec<u8>)) -> Done<String> {
    let raw = if is_json(content_type) { serde_json::from_slice::<&RawValue>(data).ok() } else { None };
    let line = Line {
        event_type: &args.event_type,
        subject: &args.subject,
        id: args.id.as_deref(),
        source: args.source.as_deref().map(|source| {
            // What reads like the mark of no source is marked as meant literally.
            let is_mark = source.strip_prefix("annals:none").is_some_and(|rest| rest.chars().all(|char| char == '~'));
            if is_mark { format!("{source}~") } else { source.to_owned() }
        }),
        time: args.occurred_at,
        authtype: actor.map(|actor| actor.kind().as_str()),
        authid: actor.map(Actor::id),
        onbehalfof: args.on_behalf_of.as_deref(),
        correlationid: args.correlation.as_deref(),
        tags: &args.tag,
        datacontenttype: content_type,
        data: raw,
        data_base64: (raw.is_none() && !data.is_empty()).then(|| STANDARD.encode(data)),
    };
    serde_json::to_string(&line).map_err(|error| Failure::new(Code::Failure, error.to_string()))
}
