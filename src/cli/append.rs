//! `annals append`: one event, under a condition if need be.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use annals::{Actor, Append, Appended, Durability, Expected, NewEvent, Timestamp, limits};
use serde::Serialize;

use super::args::{Place, StoreArg, actor, time, writing_actor};
use super::fail::{Code, Done, Failure, warn};
use super::out::{Format, Out};
use super::{open, text};

const JSON: &str = "application/json";

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

/// `--data`
#[derive(Debug, Clone)]
enum Data {
    Here(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for Data {
    type Err = String;

    fn from_str(text: &str) -> Result<Data, String> {
        Ok(match text.strip_prefix('@') {
            Some("") => return Err("no file follows `@`".to_owned()),
            Some(file) => Data::File(PathBuf::from(file)),
            None if text == "-" => Data::Stdin,
            None => Data::Here(text.to_owned()),
        })
    }
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
    let mut event = event(args)?;
    if let Some(actor) = actor {
        event = event.actor(actor);
    }
    let data_bytes = event.data().len();

    let store = open::writing(&path, Durability::Synced)?;
    let done = caused(args, event, &store, &path).and_then(|event| append(args, event, &store, &path));
    let answer = done.and_then(|appended| {
        let event = store.reader().event(appended.first).map_err(|error| Failure::of_store(&error, &path))?;
        let version = event.map_or(0, |event| event.version());
        Ok((appended, version))
    });
    let closed = open::close(&store, &path);
    let (appended, version) = answer?;
    closed?;

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

fn caused(args: &Args, event: NewEvent, store: &annals::Store, path: &Path) -> Done<NewEvent> {
    match &args.caused_by {
        Some(place) => Ok(event.caused_by(place.existing(&store.reader(), path)?)),
        None => Ok(event),
    }
}

fn event(args: &Args) -> Done<NewEvent> {
    let (content_type, data) = match &args.data {
        Some(data) => content(data, args.content_type.as_deref())?,
        None => (String::new(), Vec::new()),
    };
    let mut event = NewEvent::bytes(&args.event_type, &args.subject, content_type, data);
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

/// The data and its type. JSON has to be JSON; the blanks around it, such as the last line break of a file, are no
/// part of it.
fn content(data: &Data, content_type: Option<&str>) -> Done<(String, Vec<u8>)> {
    let (bytes, place) = match data {
        Data::Here(text) => (text.clone().into_bytes(), "--data".to_owned()),
        Data::File(file) => {
            let read = std::fs::File::open(file).and_then(bounded);
            let place = file.display().to_string();
            (read.map_err(|error| Failure::io(format_args!("read {place}"), &error))?, place)
        }
        Data::Stdin => {
            let read = bounded(std::io::stdin());
            (read.map_err(|error| Failure::io("read standard input", &error))?, "standard input".to_owned())
        }
    };
    if bytes.len() > limits::DATA_BYTES_MAX {
        return Err(Failure::new(
            Code::Failure,
            format!("more than {} of data, {place}", text::bytes(limits::DATA_BYTES_MAX as u64)),
        )
        .hinting("keep the document beside the log and its digest in the event"));
    }
    let content_type = content_type.unwrap_or(JSON);
    if !is_json(content_type) {
        return Ok((content_type.to_owned(), bytes));
    }
    let trimmed = bytes.trim_ascii();
    match serde_json::from_slice::<&serde_json::value::RawValue>(trimmed) {
        Ok(_) => Ok((content_type.to_owned(), trimmed.to_vec())),
        Err(error) => Err(Failure::usage(format!("the data is no JSON: {error}, {place}"))
            .hinting("quote it for the shell, as in --data '{\"a\": 1}'; --content-type text/plain takes any text")),
    }
}

/// Reads one byte more than may be appended, at most.
fn bounded(source: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limits::DATA_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `application/json`, and what ends in `+json`.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}
