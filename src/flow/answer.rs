//! Answers: a person approves, rejects; who asked withdraws or asks for something else.

use serde::Serialize;

use super::authority::{self, DENIED};
use super::decide::{may_do, proposal};
use super::engine::{Engine, Look};
use super::index::Lapse;
use super::life::{Life, actor_of};
use super::make::{Made, deadlines, ticketed};
use super::outcome::{AlreadyDecided, Answered};
use super::payload;
use super::request::{Request, RequestId};
use super::transition::{Who, step};
use super::wanted::{FLOW, Wanted};
use crate::actor::{Actor, ActorKind};
use crate::append::Append;
use crate::catalog::Phase;
use crate::error::{Error, ErrorKind, Result};
use crate::event::NewEvent;
use crate::position::Position;

/// Why somebody may not do something: an error for them, an event for everybody.
pub(crate) struct Denial {
    pub(crate) attempt: &'static str,
    pub(crate) request: Option<RequestId>,
    pub(crate) reason: String,
}

/// What a try to answer came to, where nothing is appended.
enum Unanswered {
    Denied(Denial),
    Failed(Error),
}

/// What is appended for an answer, and the request that takes the place of the one that was answered.
type Answer = (Append, Option<Made>);

impl From<Error> for Unanswered {
    fn from(error: Error) -> Unanswered {
        Unanswered::Failed(error)
    }
}

impl Engine {
    /// A person approves what they were shown.
    pub(crate) fn approve(&self, id: RequestId, seen: &str, by: &Actor, reason: &str) -> Result<Answered> {
        self.answer(id, by, &mut |look, life| {
            let asked = self.to_be_answered(look, life, by, "approve")?;
            if asked.digest != seen && !cfg!(annals_no_digest_check) {
                let text = format!("request {id} is not what was seen: its digest is {}", asked.digest);
                let hint = "look at it again; `annals requests STORE` shows what would change, and the digest";
                return Err(Error::new(ErrorKind::Conflict, text).hinting(hint).into());
            }
            let wanted = Wanted::of(life)?;
            let approved = payload::Approved {
                rule: None,
                grant: None,
                by: Some(by.id().to_owned()),
                reason: reason.to_owned(),
                digest: asked.digest,
                basis: asked.basis,
                execute_by: wanted.execute_by,
                change: asked.change,
            };
            let steps = self.approve_asked(look, &wanted, approved, by)?;
            let events = self.events(look, &wanted, &steps, 0);
            let append = look.guard().around(&wanted, None, Append::new(events));
            let deadlines = deadlines(look, &wanted, &steps, Phase::Asked, None);
            Ok((deadlines.into_iter().fold(append, Append::before), None))
        })
    }

    /// A person rejects.
    pub(crate) fn reject(&self, id: RequestId, by: &Actor, reason: &str) -> Result<Answered> {
        self.answer(id, by, &mut |look, life| {
            self.to_be_answered(look, life, by, "reject")?;
            let wanted = Wanted::of(life)?;
            let rejected =
                payload::Rejected { by: Some(by.id().to_owned()), reason: reason.to_owned(), ..Default::default() };
            let event = wanted.says(Phase::Rejected, by.clone(), &rejected);
            Ok((look.guard().around(&wanted, None, Append::new([event])), None))
        })
    }

    /// Who asked, or who approved, no longer wants it.
    pub(crate) fn withdraw(&self, id: RequestId, by: &Actor, reason: &str) -> Result<Answered> {
        self.answer(id, by, &mut |look, life| {
            self.check_withdrawer(look, life, by, "withdraw")?;
            let wanted = Wanted::of(life)?;
            let withdrawn = payload::Withdrawn { reason: reason.to_owned(), amended: false };
            let event = wanted.says(Phase::Withdrawn, by.clone(), &withdrawn);
            Ok((look.guard().around(&wanted, None, Append::new([event])), None))
        })
    }

    /// Something else takes a request's place: by who made it, or by a person who was asked.
    pub(crate) fn amend(&self, id: RequestId, by: &Actor, data: &[u8], reason: &str) -> Result<Answered> {
        self.answer(id, by, &mut |look, life| {
            let is_requester = is_same(by, &actor_of(&life.requested.as_ref()));
            let wanted = Wanted::of(life)?;
            let end = if is_requester {
                self.check_withdrawer(look, life, by, "amend")?;
                let withdrawn = payload::Withdrawn { reason: reason.to_owned(), amended: true };
                wanted.says(Phase::Withdrawn, by.clone(), &withdrawn)
            } else {
                self.to_be_answered(look, life, by, "amend")?;
                let rejected = payload::Rejected {
                    by: Some(by.id().to_owned()),
                    reason: reason.to_owned(),
                    edited: true,
                    ..Default::default()
                };
                wanted.says(Phase::Rejected, by.clone(), &rejected)
            };
            let request = successor(life, &wanted, by, is_requester, data);
            let made = self.make(look, &request, life.requested.subject_id(), 1)?;
            // Both are about one subject, so nobody can have answered the old one meanwhile either.
            Ok((self.append_of(look, vec![end], &made, &request), Some(made)))
        })
    }

    /// Reads a request's life, lets `step` answer it, and appends that; whoever may not is written down.
    fn answer(
        &self,
        id: RequestId,
        by: &Actor,
        step: &mut dyn FnMut(&mut Look<'_>, &Life) -> Result<Answer, Unanswered>,
    ) -> Result<Answered> {
        let mut denial = None;
        let done = self.act(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            let life = Life::read(look.reader, &authority.catalog, id)?;
            match step(look, &life) {
                Ok((append, made)) => Ok(Some((append, made))),
                Err(Unanswered::Failed(error)) => Err(error),
                Err(Unanswered::Denied(why)) => {
                    denial = Some(why);
                    Ok(None)
                }
            }
        })?;
        let Some((done, made)) = done else {
            return Err(self.deny(by, denial));
        };
        self.make_durable()?;
        let successor = made.map(|made| ticketed(&done, &made));
        let (position, outcome) = self.look(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            let life = Life::read(look.reader, &authority.catalog, id)?;
            Ok((life.last(), life.outcome()?))
        })?;
        Ok(Answered { request: id, position, outcome, successor })
    }

    /// What a person was asked, if it can still be answered, and by them.
    fn to_be_answered(
        &self,
        look: &mut Look<'_>,
        life: &Life,
        by: &Actor,
        attempt: &'static str,
    ) -> Result<payload::Asked, Unanswered> {
        let id = life.id();
        let denied = |reason: String| Err(Unanswered::Denied(Denial { attempt, request: Some(id), reason }));
        if by.kind() != ActorKind::User {
            return denied(format!("{by} is no user, and only users answer"));
        }
        if is_same(by, &actor_of(&life.requested.as_ref())) {
            return denied(format!("{by} asked for it, and nobody answers their own request"));
        }
        if let Some(decided) = life.decided()? {
            return Err(decided.into_error(id).into());
        }
        let Some(asked) = life.asked()? else {
            return Err(Error::new(ErrorKind::Conflict, format!("request {id} is open: nobody has been asked yet"))
                .hinting("the application that keeps the policy decides it")
                .into());
        };
        check_force(life)?;
        self.check_lapse(look, life)?;
        if asked.only {
            return match asked.whom.contains(&by.to_string()) {
                true => Ok(asked),
                false => denied(format!("only {} may answer", asked.whom.join(", "))),
            };
        }
        let authority = std::sync::Arc::clone(&look.index.authority);
        let wanted = Wanted::of(life)?;
        let facts = look.index.facts(look.reader, &wanted.subject)?;
        let policy = self.policy_for_answers(&authority);
        let actor = Actor::user(by.id());
        match may_do(policy, proposal(&authority, &wanted, &facts), &actor) {
            true => Ok(asked),
            false => denied(format!("{by} could not make this change themselves")),
        }
    }

    /// Refuses what has ended by itself, whether or not the log says so yet.
    fn check_lapse(&self, look: &Look<'_>, life: &Life) -> Result<(), Error> {
        let id = life.id();
        let Some(lapse) = look.lapse(id) else { return Ok(()) };
        let text = match lapse {
            Lapse::Expired(time) => format!("request {id} has expired: nobody answered before {time}"),
            Lapse::Stale(because, Some(event)) => format!("request {id} is stale: {because}, position {event}"),
            Lapse::Stale(because, None) => format!("request {id} is stale: {because}"),
        };
        Err(Error::new(ErrorKind::Conflict, text).hinting("ask for it again, on what is there now"))
    }

    /// Whether this actor may take a request back.
    fn check_withdrawer(
        &self,
        look: &Look<'_>,
        life: &Life,
        by: &Actor,
        attempt: &'static str,
    ) -> Result<(), Unanswered> {
        let is_requester = is_same(by, &actor_of(&life.requested.as_ref()));
        let approver = life.step(Phase::Approved).map(|event| actor_of(&event.as_ref()));
        let is_decider = by.kind() == ActorKind::User && approver.is_some_and(|approver| is_same(by, &approver));
        if !is_requester && !is_decider {
            let reason = format!("{by} neither asked for it nor approved it");
            return Err(Unanswered::Denied(Denial { attempt, request: Some(life.id()), reason }));
        }
        match step(Some(life.phase()), Phase::Withdrawn).map(|step| step.who) {
            None => return Err(ended(life)?.into()),
            Some(Who::RequesterOrDecider) => {}
            Some(_) if is_requester => {}
            Some(_) => {
                let reason = format!("{by} did not ask for it");
                return Err(Unanswered::Denied(Denial { attempt, request: Some(life.id()), reason }));
            }
        }
        check_force(life)?;
        Ok(self.check_lapse(look, life)?)
    }

    /// Writes an attempt down and makes the error of it.
    pub(crate) fn deny(&self, by: &Actor, denial: Option<Denial>) -> Error {
        let Some(Denial { attempt, request, reason }) = denial else {
            return Error::new(ErrorKind::Denied, "this is not allowed");
        };
        let of = request.map_or(String::new(), |id| format!(" request {id}"));
        let error = Error::new(ErrorKind::Denied, format!("{by} may not {attempt}{of}: {reason}"));
        let subject = request.map_or("annals.flow/denied".to_owned(), |id| format!("annals.request/{id}"));
        let data = payload::Denied { attempt: attempt.to_owned(), request, reason };
        let written = NewEvent::json(DENIED, subject, &data).and_then(|event| {
            let event = request.into_iter().fold(event.actor(by.clone()), |event, id| event.caused_by(id));
            Ok(self.store.append_reserved(Append::new([event]))?)
        });
        match written {
            Ok(_) => error,
            // Nothing was allowed either way; that it is not in the log has to be known.
            Err(why) => error.hinting(format!("the attempt could not be written down: {why}")),
        }
    }

    /// Appends an event that changes who may do what, unless something else did meanwhile.
    pub(crate) fn rule<T: Serialize>(
        &self,
        by: &Actor,
        event_type: &'static str,
        mut judge: impl FnMut(&Look<'_>) -> Result<Result<Ruling<T>, Denial>>,
    ) -> Result<Position> {
        let mut denial = None;
        let done = self.act(|look| match judge(look)? {
            Err(why) => {
                denial = Some(why);
                Ok(None)
            }
            Ok(ruling) => {
                let event = NewEvent::json(event_type, ruling.subject, &ruling.data)?.actor(by.clone());
                let event = ruling.cause.into_iter().fold(event, |event, cause| event.caused_by(cause));
                let nothing_new = crate::query::Query::all().types(authority::TYPES);
                Ok(Some((Append::new([event]).unless(nothing_new, look.index.position), ())))
            }
        })?;
        let Some((done, ())) = done else { return Err(self.deny(by, denial)) };
        self.make_durable()?;
        Ok(done.last)
    }
}

/// An event that changes who may do what.
pub(crate) struct Ruling<T> {
    pub(crate) subject: String,
    pub(crate) data: T,
    pub(crate) cause: Option<Position>,
}

/// Whether two actors are the same one; for whom they act plays no part.
pub(crate) fn is_same(one: &Actor, other: &Actor) -> bool {
    one.kind() == other.kind() && one.id() == other.id()
}

/// How a request ended, for who comes too late.
fn ended(life: &Life) -> Result<Error> {
    let Some((phase, event)) = life.steps.last() else {
        return Ok(Error::new(ErrorKind::Conflict, format!("request {} cannot be taken back", life.id())));
    };
    let by = event.actor().map_or_else(|| FLOW.to_owned(), |actor| actor.to_string());
    let decided = AlreadyDecided { by, at: event.recorded_at(), position: event.position(), outcome: *phase };
    Ok(decided.into_error(life.id()))
}

/// What was imported is history: nobody answers it.
fn check_force(life: &Life) -> Result<(), Error> {
    if !life.requested.is_imported() {
        return Ok(());
    }
    let text = format!("request {} was imported: it is history and waits for nobody", life.id());
    Err(Error::new(ErrorKind::Conflict, text).hinting("ask for it anew"))
}

/// The request that takes the place of another.
fn successor(life: &Life, old: &Wanted, by: &Actor, is_requester: bool, data: &[u8]) -> Request {
    let mut request =
        Request::from_json(life.table.name(), life.action, Some(life.requested.subject_id().to_owned()), data);
    // A decider asks as themselves, for whom the first one was asked.
    let actor = if is_requester { old.actor.clone() } else { Actor::user(by.id()) };
    request.actor = Some(match (is_requester, &old.actor.on_behalf_of) {
        (false, Some(user)) => actor.on_behalf_of(user),
        _ => actor,
    });
    request.tags = old.tags.clone();
    request.correlation = old.correlation.clone();
    request.answer_by = old.answer_by.map(Into::into);
    request.execute_by = old.execute_by.map(Into::into);
    request.cause = Some(life.id());
    request
}
