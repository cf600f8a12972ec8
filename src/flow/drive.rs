//! What is due without anybody calling: requests that nobody decided yet, changes that were approved and wait to be
//! made, and requests that have run out or become stale.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::decide::{Course, Step};
use super::engine::{Engine, Look};
use super::index::Lapse;
use super::life::Life;
use super::make::within;
use super::payload;
use super::request::RequestId;
use super::wanted::Wanted;
use crate::append::Append;
use crate::catalog::Phase;
use crate::error::{AppendError, Result};
use crate::log::commit::Ticket;
use crate::time::Timestamp;

/// Requests that are dealt with before any of them is waited for.
const AT_A_TIME: usize = 256;
/// How long until something that could not be done is tried again: at first, and at most.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What is left out for a while, and why nothing is tried again at once.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Left to another program, until what is in force changes.
    left: std::collections::HashSet<RequestId>,
    /// Tried in vain: how often, and when again.
    later: HashMap<RequestId, (u32, Instant)>,
    /// What was in force when those were left.
    under: usize,
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
        let mut tickets: Vec<(RequestId, Ticket)> = Vec::new();
        let mut round = Round::default();
        let ids = self.look(|look| Ok(due(look, waiting, &mut round)))?;
        for id in ids {
            match self.look(|look| self.next_of(look, id))? {
                Next::Append(append) => tickets.push((id, self.store.submit_reserved(append))),
                Next::Nothing => {}
                Next::Leave => {
                    waiting.left.insert(id);
                }
                Next::Later => waiting.put_off(id),
            }
        }
        for (id, ticket) in tickets {
            match ticket.wait() {
                Ok(_) => {
                    waiting.later.remove(&id);
                    round.is_moving = true;
                }
                // Somebody else was first, or its time has come: it is looked at again.
                Err(AppendError::Conflict { .. } | AppendError::TooLate { .. }) => round.is_moving = true,
                Err(AppendError::Full(_) | AppendError::TooLarge(_)) => waiting.put_off(id),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(round)
    }

    /// Deals with everything until nothing more can be done now.
    pub(crate) fn settle(&self) -> Result<()> {
        let mut waiting = Waiting::default();
        while self.round(&mut waiting)?.is_moving {}
        Ok(())
    }

    /// The next event of a request's life that nobody has to be asked for.
    fn next_of(&self, look: &mut Look<'_>, id: RequestId) -> Result<Next> {
        let Some(live) = look.index.live.get(&id) else { return Ok(Next::Nothing) };
        let (phase, grant, lapse) = (live.phase, live.grant, live.lapsed(&look.index.authority, look.now));
        let authority = std::sync::Arc::clone(&look.index.authority);
        let life = Life::read(look.reader, &authority.catalog, id)?;
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
    let under = std::sync::Arc::as_ptr(&index.authority) as usize;
    if waiting.under != under {
        waiting.left.clear();
        waiting.under = under;
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
