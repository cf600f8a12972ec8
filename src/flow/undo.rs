//! The inverse of a change that was made: of an update, only of the fields that it set.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::engine::{Engine, Look};
use super::life::Life;
use super::outcome::Ticketed;
use super::request::{Request, RequestId};
use super::rows::{Facts, WORKSPACE, literal};
use crate::actor::Actor;
use crate::catalog::{Action, Phase};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Position;
use crate::query::Query;
use crate::reader::{AsOf, Reader};

/// The members of a JSON object.
type Members = BTreeMap<String, Box<RawValue>>;

impl Engine {
    /// Asks for the inverse of a change, as a request that is decided like any other.
    pub(crate) fn undo(&self, id: RequestId, by: &Actor) -> Result<Ticketed> {
        let request = self.look(|look| inverse_of(look, id, by))?;
        self.request(&request)
    }
}

fn inverse_of(look: &mut Look<'_>, id: RequestId, by: &Actor) -> Result<Request> {
    let authority = Arc::clone(&look.index.authority);
    let life = Life::read(look.reader, &authority.catalog, id)?;
    let Some(made) = life.step(Phase::Validated) else {
        let text = format!("request {id} changed nothing: {}", life.outcome()?);
        return Err(Error::new(ErrorKind::Conflict, text).hinting("only what was validated can be undone"));
    };
    let (subject, at) = (life.requested.subject(), made.position());
    let before = look.reader.as_of(AsOf::Position(Position::new(at.get() - 1)));
    let after = look.reader.as_of(AsOf::Position(at));
    let (name, row) = (life.table.name(), life.requested.subject_id());
    let facts = look.index.facts(look.reader, subject)?;
    let changed = |what: &str| -> Result<Request> {
        let last = Query::all().subject(subject).types(literal(life.table.changing_types())).after(at).rev().limit(1);
        let who = look.reader.read(&last).next().transpose()?;
        let who = who.map_or(String::new(), |event| {
            let actor = event.actor().map_or("nobody".to_owned(), |actor| actor.to_string());
            format!(" by {actor} at position {}", event.position())
        });
        let text = format!("request {id} cannot be undone: {what} was changed since{who}");
        Err(Error::new(ErrorKind::Conflict, text).hinting("look at it as it is now, and ask for what should be"))
    };
    let mut request = match life.action {
        Action::Create if facts.basis != at => return changed(subject),
        Action::Create => Request::delete(name, row),
        Action::Delete if facts.basis != at => return changed(subject),
        Action::Delete => {
            let old = Facts::of(&before, &life.table, subject)?;
            let mut request =
                Request::from_json(name, Action::Create, Some(row.to_owned()), json_of(&before, subject)?);
            request.tags.extend(old.workspace.map(|workspace| format!("{WORKSPACE}{workspace}")));
            request.actor = old.owner.map(|owner| by.clone().on_behalf_of(owner));
            request
        }
        Action::Update => {
            let patch = members(made.data())?;
            let states = [&before, &after, look.reader].map(|reader| json_of(reader, subject));
            let [old, new, now] = states;
            let (old, new, now) = (members(&old?)?, members(&new?)?, members(&now?)?);
            match inverse(&patch, &old, &new, &now, "")? {
                Err(field) => return changed(&format!("{subject} {field}")),
                Ok(patch) => Request::from_json(name, Action::Update, Some(row.to_owned()), patch),
            }
        }
    };
    request.actor = request.actor.or_else(|| Some(by.clone()));
    (request.cause, request.undoes) = (Some(id), true);
    Ok(request)
}

fn json_of(reader: &Reader, subject: &str) -> Result<Vec<u8>> {
    let document = reader.document(subject)?.and_then(|loaded| loaded.state.document);
    Ok(document.map_or_else(|| b"{}".to_vec(), |document| document.to_json().into_bytes()))
}

fn members(json: &[u8]) -> Result<Members> {
    serde_json::from_slice(json).map_err(|error| Error::invalid(format!("a change that is no JSON object: {error}")))
}

/// The members, if it is an object.
fn as_object(value: Option<&RawValue>) -> Option<Members> {
    value.filter(|value| value.get().starts_with('{')).and_then(|value| serde_json::from_str(value.get()).ok())
}

/// The merge patch that takes back what `patch` made of `old`, if what it set is as it left it (`new`); else the field
/// that is not.
fn inverse(
    patch: &Members,
    old: &Members,
    new: &Members,
    now: &Members,
    path: &str,
) -> Result<Result<Vec<u8>, String>> {
    let mut back: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
    let raw = |json: String| RawValue::from_string(json).map_err(|error| Error::invalid(error.to_string()));
    for (name, part) in patch {
        let (was, became, is) = (old.get(name), new.get(name), now.get(name));
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let objects =
            [Some(&**part), was.map(|value| &**value), became.map(|value| &**value), is.map(|value| &**value)];
        if let [Some(part), Some(was), Some(became), Some(is)] = objects.map(as_object) {
            match inverse(&part, &was, &became, &is, &path)? {
                Err(field) => return Ok(Err(field)),
                Ok(json) => back.insert(name, raw(String::from_utf8_lossy(&json).into_owned())?),
            };
            continue;
        }
        if became.map(|value| value.get()) != is.map(|value| value.get()) {
            return Ok(Err(path));
        }
        back.insert(name, was.cloned().map_or_else(|| raw("null".to_owned()), Ok)?);
    }
    serde_json::to_vec(&back).map(Ok).map_err(|error| Error::invalid(error.to_string()))
}
