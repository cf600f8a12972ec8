//! What is due without anybody calling: requests that nobody decided yet, changes that were approved and wait to be
//! made, and requests that have run out or become stale.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::decide::{Course, Step};
use super::engine::{Engine, Look};
use super::index::{Lapse, Live};
use super::life::Life;
use super::make::within;
use super::payload;
use super::request::RequestId;
use super::wanted::Wanted;
use crate::append::Append;
use crate::catalog::Phase;
use crate::error::{AppendError, Result};
use crate::event::NewEvent;
use crate::log::commit::Ticket;
use crate::position::Position;
use crate::time::Timestamp;

/// Requests that are dealt with before any of them is waited for.
const AT_A_TIME: usize = 256;
/// Requests whose next events go down in one append, and the bytes of data at which it is closed.
const TOGETHER: usize = 64;
const TOGETHER_BYTES: usize = 1 << 20;
/// How long until something that could not be done is tried again: at first, and at most.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What is left out for a while, and why nothing is tried again at once.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Left to another program, until what is in force changes.
    left: HashSet<RequestId>,
    /// Tried in vain: how often, and when again.
    later: HashMap<RequestId, (u32, Instant)>,
    /// The newest event that said who may do what when those were left.
    under: Position,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// Something was appended, or has to be looked at again.
    pub(crate) is_moving: bool,
    /// When something ends by itself, or is tried again.
    pub(crate) next: Option<Duration>,
}

impl Engine {
    /// Deals with everything that is due, and says when to come again.
    pub(crate) fn round(&self, waiting: &mut Waiting) -> Result<Round> {
        let mut round = Round::default();
        let (together, alone) = self.look(|look| self.plan(look, waiting, &mut round))?;
        let mut tickets: Vec<(Vec<RequestId>, Ticket)> = Vec::new();
        let mut again = Vec::new();
        for (ids, append) in together {
            tickets.push((ids, self.store.submit_reserved(append)));
        }
        for (ids, ticket) in tickets.drain(..) {
            if !done(ticket, &ids, waiting, &mut round)? {
                again.extend(ids);
            }
        }
        // Those that stood together with one that was in the way are done one by one.
        for id in alone.into_iter().chain(again) {
            if let Next::Append(append) = self.look(|look| Ok(self.next_of(look, id)?.0))? {
                tickets.push((vec![id], self.store.submit_reserved(append)));
            }
        }
        for (ids, ticket) in tickets {
            done(ticket, &ids, waiting, &mut round)?;
        }
        Ok(round)
    }

    /// What is to be appended for what is due: as much as can be together, and the requests that have to go alone.
    fn plan(&self, look: &mut Look<'_>, waiting: &mut Waiting, round: &mut Round) -> Result<Planned> {
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        let mut batch = Batch::default();
        let mut subjects = HashSet::new();
        for id in due(look, waiting, round) {
            let (next, subject) = self.next_of(look, id)?;
            match next {
                Next::Nothing => {}
                Next::Leave => {
                    waiting.left.insert(id);
                }
                Next::Later => waiting.put_off(id),
                Next::Append(append) => {
                    // Of what follows on the same subject nothing is known yet.
                    if !subjects.insert(subject.clone()) {
                        round.is_moving = true;
                    } else if append.is_plain() {
                        batch.add(id, subject, append.into_events());
                        if batch.is_full() {
                            together.push(std::mem::take(&mut batch).append(self, look));
                        }
                    } else {
                        alone.push(id);
                    }
                }
            }
        }
        if !batch.ids.is_empty() {
            together.push(batch.append(self, look));
        }
        Ok((together, alone))
    }

    /// Deals with everything until nothing more can be done now.
    pub(crate) fn settle(&self) -> Result<()> {
        let mut waiting = Waiting::default();
        while self.round(&mut waiting)?.is_moving {}
        Ok(())
    }

    /// The next event of a request's life that nobody has to be asked for, and its subject.
    fn next_of(&self, look: &mut Look<'_>, id: RequestId) -> Result<(Next, String)> {
        let Some(live) = look.index.live.get(&id) else { return Ok((Next::Nothing, String::new())) };
        let subject = live.subject.to_string();
        Ok((self.next_step(look, id, live.clone())?, subject))
    }

    fn next_step(&self, look: &mut Look<'_>, id: RequestId, live: Live) -> Result<Next> {
        let (phase, grant, lapse) = (live.phase, live.grant, live.lapsed(&look.index.authority, look.now));
        let authority = std::sync::Arc::clone(&look.index.authority);
        let life = match phase {
            // The index says that nothing has followed.
            Phase::Requested => Life::begin(look.reader, &authority.catalog, id)?,
            _ => Life::read(look.reader, &authority.catalog, id)?,
        };
        let mut wanted = Wanted::of(&life)?;
        if let Some(lapse) = lapse {
            let event = match lapse {
                Lapse::Expired(answer_by) => wanted.flow_says(Phase::Expired, &payload::Expired { answer_by }),
                Lapse::Stale(because, event) => wanted.flow_says(Phase::Stale, &payload::Stale { because, event }),
            };
            return Ok(Next::Append(self.guarded(look, &wanted, None, Append::new([event]))));
        }
        let course = match phase {
            Phase::Requested => self.decide(look, &mut wanted)?,
            Phase::Approved => {
                let approver = self.approver(look, &life, grant)?;
                self.carry_out(look, &wanted, approver.as_deref())?
            }
            _ => return Ok(Next::Nothing),
        };
        let steps = match course {
            Course::Leave => return Ok(Next::Leave),
            Course::Later => return Ok(Next::Later),
            Course::Steps(steps) => steps,
        };
        let events = self.events(look, &wanted, &steps, 0);
        let grant = steps.iter().find_map(Step::grant).or(grant);
        let append = self.guarded(look, &wanted, grant, Append::new(events));
        Ok(Next::Append(within(append, look, &wanted, &steps, phase, grant)))
    }

    /// Who stands behind an approval: the user who gave it, or who gave the grant.
    fn approver(&self, look: &Look<'_>, life: &Life, grant: Option<RequestId>) -> Result<Option<String>> {
        let granter = grant.and_then(|id| look.index.authority.grants.get(&id)).map(|grant| grant.by.clone());
        Ok(match granter {
            Some(user) => Some(user),
            None => life.approved()?.and_then(|approved| approved.by),
        })
    }
}

/// Appends for several requests each, and requests that have to go alone.
type Planned = (Vec<(Vec<RequestId>, Append)>, Vec<RequestId>);

/// Steps of requests of different subjects that go down in one append.
#[derive(Default)]
struct Batch {
    ids: Vec<RequestId>,
    subjects: Vec<String>,
    events: Vec<NewEvent>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, id: RequestId, subject: String, events: Vec<NewEvent>) {
        self.bytes += events.iter().map(|event| event.data().len()).sum::<usize>();
        // What they are caused by within their append is counted from where they stand now.
        let first = self.events.len();
        self.events.extend(events.into_iter().map(|event| event.moved_in_batch(first)));
        self.ids.push(id);
        self.subjects.push(subject);
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= TOGETHER || self.bytes >= TOGETHER_BYTES
    }

    fn append(self, engine: &Engine, look: &Look<'_>) -> (Vec<RequestId>, Append) {
        (self.ids, engine.guarded_all(look, self.subjects, Append::new(self.events)))
    }
}

/// Waits for an append; `false` if something was in its way and it is to be tried again.
fn done(ticket: Ticket, ids: &[RequestId], waiting: &mut Waiting, round: &mut Round) -> Result<bool> {
    match ticket.wait() {
        Ok(_) => {
            waiting.later.retain(|id, _| !ids.contains(id));
            round.is_moving = true;
        }
        // Somebody else was first, or its time has come: it is looked at again.
        Err(AppendError::Conflict { .. } | AppendError::TooLate { .. }) => {
            round.is_moving = true;
            return Ok(false);
        }
        Err(AppendError::TooLarge(_)) if ids.len() > 1 => return Ok(false),
        Err(AppendError::Full(_) | AppendError::TooLarge(_)) => ids.iter().for_each(|id| waiting.put_off(*id)),
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// What follows in a request's life.
enum Next {
    Append(Append),
    Nothing,
    Leave,
    Later,
}

/// Requests that something is to be done about now; tells when more will be.
fn due(look: &mut Look<'_>, waiting: &mut Waiting, round: &mut Round) -> Vec<RequestId> {
    let index = &*look.index;
    if waiting.under != index.ruled {
        waiting.left.clear();
        waiting.under = index.ruled;
    }
    let instant = Instant::now();
    waiting.later.retain(|id, _| index.live.contains_key(id));
    waiting.left.retain(|id| index.live.contains_key(id));
    let mut ids: Vec<RequestId> = Vec::new();
    let run_out = index.due.iter().take_while(|(time, _)| *time <= look.now).map(|(_, id)| *id);
    // What has run out ends, whoever would have dealt with it.
    let run_out = run_out.map(|id| (id, true));
    for (id, is_over) in run_out.chain(index.todo.iter().map(|id| (*id, false))) {
        let is_put_off = waiting.later.get(&id).is_some_and(|(_, again)| *again > instant);
        if !is_put_off && (is_over || !waiting.left.contains(&id)) && !ids.contains(&id) {
            ids.push(id);
        }
        if ids.len() >= AT_A_TIME {
            round.is_moving = true;
            break;
        }
    }
    let ends = index.due.iter().find(|(time, _)| *time > look.now).map(|(time, _)| until(look.now, *time));
    let again = waiting.later.values().map(|(_, again)| again.saturating_duration_since(instant)).min();
    round.next = [ends, again].into_iter().flatten().min();
    ids
}

fn until(now: Timestamp, time: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(time.as_nanos().saturating_sub(now.as_nanos())).unwrap_or_default())
}

impl Waiting {
    fn put_off(&mut self, id: RequestId) {
        let tries = self.later.get(&id).map_or(0, |(tries, _)| *tries);
        let pause = RETRY_MIN.saturating_mul(1 << tries.min(16)).min(RETRY_MAX);
        self.later.insert(id, (tries + 1, Instant::now() + pause));
    }
}
