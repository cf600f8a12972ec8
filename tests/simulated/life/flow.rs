//! The flow in a life: users, agents and systems ask, people answer, time passes. And what must be so of any log,
//! whatever happened: no change without its approval, one decision for each request.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use annals::{Actor, ErrorKind, Flow, Grant, Outcome, Phase, Position, Query, Request, RequestId, Store};
use serde_json::{Value, json};

use super::Trouble;
use super::told::{Fact, Told};
use crate::simulated::Dice;

/// What the people know.
#[derive(Default)]
pub(crate) struct Desk {
    /// Requests that were asked about, with what was shown.
    pub(crate) waiting: Vec<(RequestId, String)>,
    validated: Vec<RequestId>,
    grants: Vec<Position>,
    number: u64,
}

/// Errors that say no, and are no failure.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::Invalid)
}

fn unless_refused<T>(done: annals::Result<T>) -> Result<Option<T>, Trouble> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if is_refusal(error.kind()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Desk {
    pub(crate) fn numbering_from(number: u64) -> Desk {
        Desk { number, ..Desk::default() }
    }

    /// Somebody asks for a change.
    pub(crate) fn request(&mut self, flow: &Flow, told: &Told, dice: &mut Dice) -> Result<(), Trouble> {
        self.number += 1;
        let (id, content) = (format!("t-{}", dice.below(4)), json!({ "n": self.number }));
        let request = if dice.below(4) == 0 {
            Request::create("tags", &content).id(id)
        } else {
            Request::update("tags", id, &content)
        };
        let by = match dice.below(5) {
            0 | 1 => Actor::user("alice"),
            2 | 3 => Actor::agent("scribe").on_behalf_of("alice"),
            _ => Actor::external("feed"),
        };
        let request = request.by(by).answer_by(Duration::from_secs(3_600));
        let request = if dice.below(3) == 0 { request.key(format!("request-{}", self.number)) } else { request };
        let made = flow.request(request)?;
        self.note(flow, told, made.request)
    }

    /// What was shown of a request, or what became of it.
    fn note(&mut self, flow: &Flow, told: &Told, request: RequestId) -> Result<(), Trouble> {
        let asked = flow.store().reader().read(&Query::all().caused_by(request).types(["tags.*.asked"])).next();
        if let Some(asked) = asked {
            let digest = asked?.json::<Value>()?["digest"].as_str().unwrap_or_default().to_owned();
            self.waiting.push((request, digest));
        }
        self.learn(told, request, &flow.outcome(request, Duration::ZERO)?);
        Ok(())
    }

    fn learn(&mut self, told: &Told, request: RequestId, outcome: &Outcome) {
        // Those that only read as ended may be written down as something else.
        if let Outcome::Validated { .. } | Outcome::Rejected { .. } | Outcome::Withdrawn = outcome
            && let Some(phase) = outcome.phase()
        {
            told.now(Fact::Outcome(request, phase));
        }
        if let Outcome::Validated { .. } = outcome {
            self.validated.push(request);
        }
        if outcome.is_final() {
            self.waiting.retain(|(id, _)| *id != request);
        }
    }

    /// One of those that wait is answered, or taken back.
    pub(crate) fn answer(&mut self, flow: &Flow, told: &Told, dice: &mut Dice) -> Result<(), Trouble> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (request, digest) = self.waiting[dice.below(self.waiting.len() as u64) as usize].clone();
        let event = flow.store().reader().event(request)?.ok_or("a request is gone")?;
        let actor = event.actor().map(|actor| Actor::new(actor.kind(), actor.id())).ok_or("nobody asked")?;
        self.number += 1;
        let way = dice.below(8);
        let done = match way {
            0..=3 => flow.approve(request, digest, Actor::user("alice"), "ok"),
            4 => flow.reject(request, Actor::user("alice"), "no"),
            5 => flow.approve(request, "0123456789abcdef0123456789abcdef", Actor::user("alice"), "not what was shown"),
            6 => flow.withdraw(request, actor),
            _ => flow.amend(request, actor, json!({ "n": self.number })),
        };
        if let Some(answered) = unless_refused(done)? {
            if way == 5 {
                return Err(Trouble::Wrong(format!("request {request} was approved as something else than was shown")));
            }
            self.learn(told, request, &answered.outcome);
            if let Some(successor) = answered.successor {
                self.note(flow, told, successor.request)?;
            }
        }
        self.waiting.retain(|(id, _)| *id != request || dice.below(2) == 0);
        Ok(())
    }

    pub(crate) fn undo(&mut self, flow: &Flow, told: &Told) -> Result<(), Trouble> {
        let Some(request) = self.validated.pop() else { return Ok(()) };
        match unless_refused(flow.undo(request, Actor::user("alice")))? {
            Some(made) => self.note(flow, told, made.request),
            None => Ok(()),
        }
    }

    pub(crate) fn rule(&mut self, flow: &Flow, dice: &mut Dice) -> Result<(), Trouble> {
        let alice = || Actor::user("alice");
        match self.grants.pop().filter(|_| dice.below(2) == 0) {
            Some(grant) => drop(unless_refused(flow.revoke(grant, alice()))?),
            None => {
                let grant = Grant::to("scribe").action("tags.update").subject("tag/*").uses(2);
                self.grants.push(flow.grant(grant, alice())?);
            }
        }
        Ok(())
    }
}

/// What the log says of each request: phases in order, with the digests of those that have one.
type Lives = BTreeMap<Position, Vec<(Phase, Option<String>)>>;

fn lives(store: &Store) -> Result<Lives, Trouble> {
    let (mut lives, mut wrong) = (Lives::new(), None);
    store.reader().scan(&Query::all().types(["tags.*.*"]), |event| {
        let phase = event.event_type().rsplit('.').next().and_then(Phase::parse);
        match (phase, event.causation()) {
            (Some(Phase::Requested), _) => drop(lives.insert(event.position(), Vec::new())),
            (Some(phase), Some(request)) => {
                let data: Value =
                    if phase == Phase::Validated { Value::Null } else { event.json().unwrap_or_default() };
                let digest = data["digest"].as_str().map(str::to_owned);
                match lives.get_mut(&request) {
                    Some(life) => life.push((phase, digest)),
                    None => wrong = wrong.take().or(Some(format!("{} is about what nobody asked", event.position()))),
                }
            }
            _ => wrong = wrong.take().or(Some(format!("{} is no phase of a request", event.position()))),
        }
        ControlFlow::Continue(())
    })?;
    wrong.map_or(Ok(lives), |why| Err(Trouble::Wrong(why)))
}

const ENDS: [Phase; 6] =
    [Phase::Rejected, Phase::Expired, Phase::Withdrawn, Phase::Failed, Phase::Stale, Phase::Validated];

/// Holds every life in a log against the rules. As they speak of what came before, a log that keeps them keeps them
/// wherever it is cut.
pub(crate) fn check_log(store: &Store) -> Result<(), Trouble> {
    for (id, life) in lives(store)? {
        let (mut approved, mut asked, mut ended) = (None, None, None);
        for (phase, digest) in &life {
            let told = || Err(Trouble::Wrong(format!("request {id}: {life:?}")));
            if ended.is_some() {
                return told();
            }
            match phase {
                Phase::Asked if asked.is_none() && approved.is_none() => asked = Some(digest),
                Phase::Approved if approved.is_none() && asked.is_none_or(|asked| asked == digest) => {
                    approved = Some(())
                }
                Phase::Validated if approved.is_none() => return told(),
                Phase::Rejected if approved.is_some() => return told(),
                phase if ENDS.contains(phase) => ended = Some(*phase),
                _ => return told(),
            }
        }
    }
    Ok(())
}

/// Whether the flow says of every request what the log says of it.
pub(crate) fn agrees(flow: &Flow, told: &BTreeMap<RequestId, Phase>) -> Result<(), Trouble> {
    let lives = lives(flow.store())?;
    for (request, phase) in told {
        let ended = lives.get(request).and_then(|life| life.last()).map(|(phase, _)| *phase);
        if ended != Some(*phase) {
            return Err(Trouble::Wrong(format!("request {request} was told {phase:?}, and the log says {ended:?}")));
        }
    }
    for (request, life) in lives {
        let end = life.last().map(|(phase, _)| *phase).filter(|phase| ENDS.contains(phase));
        let outcome = flow.outcome(request, Duration::ZERO)?;
        let fits = match end {
            Some(end) => outcome.phase() == Some(end),
            // Past its time, or with another basis, it reads as that before it is written.
            None => matches!(outcome, Outcome::Pending | Outcome::Expired | Outcome::Stale { .. }),
        };
        if !fits {
            return Err(Trouble::Wrong(format!("request {request} reads as {outcome:?}, and the log says {life:?}")));
        }
    }
    Ok(())
}
