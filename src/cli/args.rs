//! Arguments that several verbs take: the store, times, places in the log, actors.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use annals::time::parse_duration;
use annals::{Actor, ActorKind, Deadline, Position, Reader, Timestamp};
use clap::{Args, ValueHint};

use super::fail::{Code, Done, Failure};

/// The store of a verb, which the environment may name instead.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArg {
    /// The store's directory; ANNALS_STORE stands in for it
    #[arg(value_name = "STORE", value_hint = ValueHint::DirPath)]
    store: Option<PathBuf>,
}

impl StoreArg {
    pub(crate) fn new(store: Option<PathBuf>) -> StoreArg {
        StoreArg { store }
    }

    pub(crate) fn path(&self) -> Done<PathBuf> {
        let given = self.store.clone().or_else(|| from_environment("ANNALS_STORE").map(PathBuf::from));
        match given {
            Some(path) if !path.as_os_str().is_empty() => Ok(path),
            _ => Err(Failure::usage("no store was given")
                .hinting("name its directory as the first argument, or set ANNALS_STORE")),
        }
    }
}

/// A variable that is set to something.
fn from_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The actor that writes: the flag, else ANNALS_ACTOR, else none.
pub(crate) fn writing_actor(flag: Option<&Actor>) -> Done<Option<Actor>> {
    match (flag, from_environment("ANNALS_ACTOR")) {
        (Some(actor), _) => Ok(Some(actor.clone())),
        (None, Some(text)) => match text.to_str().map(actor) {
            Some(Ok(actor)) => Ok(Some(actor)),
            Some(Err(reason)) => Err(Failure::usage(format!("{reason}, ANNALS_ACTOR"))),
            None => Err(Failure::usage("the actor is no Unicode text, ANNALS_ACTOR")),
        },
        (None, None) => Ok(None),
    }
}

/// The actor that a verb cannot do without: the flag, else ANNALS_ACTOR.
pub(crate) fn needed_actor(flag: Option<&Actor>, verb: &str) -> Done<Actor> {
    writing_actor(flag)?.ok_or_else(|| {
        Failure::usage(format!("nobody does it: {verb} needs an actor"))
            .hinting("say who does it with --actor user:NAME or agent:NAME, or set ANNALS_ACTOR")
    })
}

/// The user who decides: the flag, else ANNALS_ACTOR, else who is logged in.
pub(crate) fn person(flag: Option<&Actor>) -> Done<Actor> {
    if let Some(actor) = writing_actor(flag)? {
        return Ok(actor);
    }
    match login() {
        Some(login) => Ok(Actor::user(login)),
        None => Err(Failure::usage("nobody is logged in by name, and no actor was given")
            .hinting("name yourself with --actor user:NAME, or set ANNALS_ACTOR")),
    }
}

/// The name under which somebody is logged in.
fn login() -> Option<String> {
    let told = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(from_environment);
    told.and_then(|name| name.into_string().ok()).or_else(name_of_process)
}

/// The owner of this process as the system's list of users names it: services and containers often have no `USER`.
#[cfg(unix)]
fn name_of_process() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find_map(|fields| {
        (fields.get(2) == Some(&uid.as_str())).then(|| fields.first().map(|name| (*name).to_owned()))?
    })
}

#[cfg(not(unix))]
fn name_of_process() -> Option<String> {
    None
}

/// An actor as it is written: a known kind before the first `:`, else a bare name of unknown kind.
pub(crate) fn actor(text: &str) -> Result<Actor, String> {
    let (kind, id) = match text.split_once(':') {
        Some((word, id)) => match known_kind(word) {
            Some(kind) => (kind, id),
            None => (ActorKind::Unknown, text),
        },
        None => (ActorKind::Unknown, text),
    };
    if id.is_empty() {
        return Err(format!("{text:?} names no actor"));
    }
    Ok(Actor::new(kind, id))
}

/// The kinds that are prefixes on the command line; an actor of unknown kind is written without any.
fn known_kind(word: &str) -> Option<ActorKind> {
    ActorKind::from_word(word).filter(|kind| *kind != ActorKind::Unknown)
}

/// TIME: RFC 3339, a date, `-2h`, `yesterday 14:00`.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_relative(text, Timestamp::now()).map_err(|error| error.to_string())
}

/// A time to come: a duration from now such as 2h, or any TIME.
pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    match parse_duration(text) {
        Ok(length) => Ok(Deadline::Within(length)),
        Err(_) => time(text).map(Deadline::At).map_err(|error| format!("{error}; or give a duration such as 2h")),
    }
}

/// How long: `30s`, `2h`.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// The number of a request: the position of its event.
pub(crate) fn request_id(text: &str) -> Result<Position, String> {
    match text.parse::<Position>() {
        Ok(position) if position > Position::ORIGIN => Ok(position),
        _ => Err("give the number of a request, such as 17; `annals requests STORE` lists them".to_owned()),
    }
}

/// A user, with or without the kind before the name.
pub(crate) fn user(text: &str) -> Result<String, String> {
    let actor = actor(text)?;
    match actor.kind() {
        ActorKind::User | ActorKind::Unknown => Ok(actor.id().to_owned()),
        kind => Err(format!("{text} is of kind {kind}: give a user, such as user:alice")),
    }
}

/// A place in the log: a bare number is a position, `id:..` an event's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    At(Position),
    Id(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        match text.strip_prefix("id:") {
            Some("") => Err("no id follows `id:`".to_owned()),
            Some(id) => Ok(Place::Id(id.to_owned())),
            None => text.parse().map(Place::At).map_err(|_| "give a position such as 17, or id:ID".to_owned()),
        }
    }
}

impl Place {
    /// The position, looked up where an id was given.
    pub(crate) fn position(&self, reader: &Reader, store: &Path) -> Done<Position> {
        match self {
            Place::At(position) => Ok(*position),
            Place::Id(id) => match reader.event_by_id(id).map_err(|error| Failure::of_store(&error, store))? {
                Some(event) => Ok(event.position()),
                None => Err(no_such_id(id, store)),
            },
        }
    }

    /// The position, at which there has to be an event.
    pub(crate) fn existing(&self, reader: &Reader, store: &Path) -> Done<Position> {
        let position = self.position(reader, store)?;
        if (1..=reader.tail().get()).contains(&position.get()) {
            return Ok(position);
        }
        Err(no_such_position(position, reader, store))
    }
}

pub(crate) fn no_such_position(position: Position, reader: &Reader, store: &Path) -> Failure {
    let failure = Failure::new(Code::NotFound, format!("no event at position {position}, {}", store.display()));
    failure.hinting(match reader.tail().get() {
        0 => "the log is empty".to_owned(),
        tail => format!("the log holds positions 1 to {tail}"),
    })
}

pub(crate) fn no_such_id(id: &str, store: &Path) -> Failure {
    Failure::new(Code::NotFound, format!("no event has the id {id:?}, {}", store.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_kinds_are_prefixes() {
        for (text, kind, id) in [
            ("user:alice", ActorKind::User, "alice"),
            ("agent:scribe", ActorKind::Agent, "scribe"),
            ("external:billing", ActorKind::External, "billing"),
            ("system:clock", ActorKind::System, "clock"),
            ("alice", ActorKind::Unknown, "alice"),
            ("unknown:alice", ActorKind::Unknown, "unknown:alice"),
            ("spotify:artist:1", ActorKind::Unknown, "spotify:artist:1"),
            ("user:a:b", ActorKind::User, "a:b"),
        ] {
            let actor = actor(text).unwrap();
            assert_eq!((actor.kind(), actor.id()), (kind, id), "{text}");
        }
        assert!(actor("").is_err());
        assert!(actor("user:").is_err());
    }

    #[test]
    fn a_bare_number_is_a_position() {
        assert_eq!("17".parse(), Ok(Place::At(Position::new(17))));
        assert_eq!("id:17".parse(), Ok(Place::Id("17".to_owned())));
        for text in ["", "id:", "-1", "seventeen", "1.5"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
