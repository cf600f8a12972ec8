//! What is due without anybody calling: requests that nobody decided yet, changes that were approved and wait to be
//! made, and requests that have run out or become stale.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::carry::Errand;
use super::decide::{Course, Step};
use super::engine::{Engine, Guard, Look};
use super::index::{Lapse, Live};
use super::life::Life;
use super::make::deadlines;
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
        let plan = self.look(|look| self.plan(look, waiting, &mut round))?;
        let submit = |(ids, append)| (ids, self.store.submit_reserved(append));
        let together: Vec<(Vec<RequestId>, Ticket)> = plan.together.into_iter().map(submit).collect();
        let mut again = Vec::new();
        for (ids, ticket) in together {
            if !done(ticket, &ids, waiting, &mut round)? {
                again.extend(ids);
            }
        }
        // Those that stood together with one that was in the way are done one by one.
        let mut tickets = Vec::new();
        for id in plan.alone.into_iter().chain(again) {
            let append = self.look(|look| match self.next_of(look, id)?.0 {
                Next::Append(ready) => Ok(Some(ready.append(&look.guard()))),
                Next::Run(_) | Next::Nothing | Next::Leave | Next::Later => Ok(None),
            })?;
            tickets.extend(append.map(|append| (vec![id], self.store.submit_reserved(append))));
        }
        for (ids, ticket) in tickets {
            done(ticket, &ids, waiting, &mut round)?;
        }
        for (id, errand) in plan.errands {
            self.run(id, *errand, waiting, &mut round)?;
        }
        Ok(round)
    }

    /// What is to be appended for what is due: as much as can be together, and the requests that have to go alone.
    fn plan(&self, look: &mut Look<'_>, waiting: &mut Waiting, round: &mut Round) -> Result<Plan> {
        let mut plan = Plan::default();
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
                // Of what follows on the same subject nothing is known yet.
                Next::Append(_) | Next::Run(_) if !subjects.insert(subject.clone()) => round.is_moving = true,
                Next::Append(ready) if ready.may_share() => {
                    batch.add(id, subject, ready.events);
                    if batch.is_full() {
                        plan.together.push(std::mem::take(&mut batch).append(&look.guard()));
                    }
                }
                Next::Append(_) => plan.alone.push(id),
                Next::Run(errand) => plan.errands.push((id, errand)),
            }
        }
        if !batch.ids.is_empty() {
            plan.together.push(batch.append(&look.guard()));
        }
        Ok(plan)
    }

    /// Has rules that do more than compute carry a change out, and appends what they say.
    fn run(&self, id: RequestId, errand: Errand, waiting: &mut Waiting, round: &mut Round) -> Result<()> {
        // Nothing happens outside of the log on the word of what power loss may take back.
        self.make_durable()?;
        let (grant, guard) = (errand.grant, errand.guard.clone());
        let (wanted, course) = errand.run();
        let Course::Steps(steps) = course else {
            waiting.put_off(id);
            return Ok(());
        };
        let ready = |look: &mut Look<'_>| Ok(self.ready(look, wanted, &steps, Phase::Approved, grant));
        let append = self.look(ready)?.append(&guard);
        done(self.store.submit_reserved(append), &[id], waiting, round)?;
        Ok(())
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
            return Ok(Next::Append(Box::new(Ready {
                wanted,
                events: vec![event],
                grant: None,
                deadlines: Vec::new(),
            })));
        }
        let course = match phase {
            Phase::Requested => self.decide(look, &mut wanted)?,
            Phase::Approved => {
                let approver = self.approver(look, &life, grant)?;
                self.carry_out(look, &wanted, grant, approver.as_deref())?
            }
            _ => return Ok(Next::Nothing),
        };
        Ok(match course {
            Course::Leave => Next::Leave,
            Course::Later => Next::Later,
            Course::Run(errand) => Next::Run(errand),
            Course::Steps(steps) => {
                let grant = steps.iter().find_map(Step::grant).or(grant);
                Next::Append(Box::new(self.ready(look, wanted, &steps, phase, grant)))
            }
        })
    }

    /// The events of steps from a phase on, and what they stand on.
    fn ready(&self, look: &Look<'_>, wanted: Wanted, steps: &[Step], from: Phase, grant: Option<Position>) -> Ready {
        let events = self.events(look, &wanted, steps, 0);
        let deadlines = deadlines(look, &wanted, steps, from, grant);
        Ready { wanted, events, grant, deadlines }
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

/// What a round does.
#[derive(Default)]
struct Plan {
    /// Appends for several requests each.
    together: Vec<(Vec<RequestId>, Append)>,
    /// Requests that have to go alone.
    alone: Vec<RequestId>,
    /// What rules have to be asked about first.
    errands: Vec<(RequestId, Box<Errand>)>,
}

/// What follows in a request's life.
enum Next {
    Append(Box<Ready>),
    Run(Box<Errand>),
    Nothing,
    Leave,
    Later,
}

/// Events that follow in a request's life, and what they stand on.
struct Ready {
    wanted: Wanted,
    events: Vec<NewEvent>,
    grant: Option<Position>,
    deadlines: Vec<Timestamp>,
}

impl Ready {
    /// Whether it stands on nothing that others in the same append do not stand on.
    fn may_share(&self) -> bool {
        self.grant.is_none() && self.deadlines.is_empty()
    }

    fn append(self, guard: &Guard) -> Append {
        let append = guard.around(&self.wanted, self.grant, Append::new(self.events));
        self.deadlines.into_iter().fold(append, Append::before)
    }
}

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

    fn append(self, guard: &Guard) -> (Vec<RequestId>, Append) {
        (self.ids, guard.around_all(self.subjects, Append::new(self.events)))
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
