//! One step at a time: look at the log up to a position, decide, and append under the condition that nothing that
//! matters came behind that position. Whoever is second looks again. There is no other way in which the flow writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::authority::Authority;
use super::index::{Index, Lapse};
use super::policy::{DefaultPolicy, Policy};
use super::request::RequestId;
use super::rules::{Rules, shipped};
use super::wanted::Wanted;
use crate::append::{Append, Appended};
use crate::catalog::Table;
use crate::error::{AppendError, Error, ErrorKind, Result};
use crate::io::Clock;
use crate::log::timekeeper::Timekeeper;
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;
use crate::store::Store;
use crate::time::Timestamp;

/// How often a step is tried when others are first each time.
const TRIES_MAX: u32 = 1000;
/// Tries before each further one waits a little.
const TRIES_AT_ONCE: u32 = 16;

/// What carries out a table's changes.
pub(crate) enum Handling {
    /// This program, by these rules or none.
    Here(Option<Arc<dyn Rules>>),
    /// A program that has the rules in its code.
    Elsewhere,
}

/// What all handles of a flow share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) index: Mutex<Index>,
    /// The policy that this program brought; `None`: the stored rules, as far as they are all there is.
    policy: Option<Arc<dyn Policy>>,
    /// Rules that this program brought, by table.
    rules: HashMap<String, Arc<dyn Rules>>,
    /// Requests of one agent that may wait.
    pub(crate) agent_waiting_max: u64,
    /// The position of the index, for who only wants to know whether there is something new. Written under the lock of
    /// the index; who reads less looks once too often.
    seen: AtomicU64,
    /// Appends of requests that are under way here; whoever makes them looks at what they brought.
    own: AtomicUsize,
    /// How often something was found that is to be done.
    stirred: AtomicU64,
    clock: Arc<dyn Clock>,
    /// Tells the time as the log does: a clock that jumps ahead is not believed, so it ends nothing.
    keeper: Mutex<Timekeeper>,
}

/// What a step is decided on: everything up to the index's position, which is the reader's tail.
pub(crate) struct Look<'l> {
    pub(crate) index: &'l mut Index,
    pub(crate) reader: &'l Reader,
    pub(crate) now: Timestamp,
}

/// What has to stand still from a look until what it led to is appended.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    always: Arc<Query>,
    position: Position,
}

impl Look<'_> {
    /// How a request has ended by itself, whether or not the log says so yet.
    pub(crate) fn lapse(&self, id: RequestId) -> Option<Lapse> {
        self.index.live.get(&id).and_then(|live| live.lapsed(&self.index.authority, self.now))
    }

    pub(crate) fn guard(&self) -> Guard {
        Guard { always: Arc::clone(&self.index.always.0), position: self.index.position }
    }
}

impl Guard {
    /// The append, to be done only if nothing that the change was judged by came behind the look: nothing that says who
    /// may do what or who is told, no event of the subject (all of a request's life are), no use of the grant. More than
    /// has to stand still does, since whoever is second only looks again.
    pub(crate) fn around(&self, wanted: &Wanted, grant: Option<Position>, append: Append) -> Append {
        if cfg!(annals_no_decision_condition) {
            return append;
        }
        let append = append.unless_any_of(&self.always, self.position);
        let append = match wanted.is_unheard_of {
            true => append,
            false => append.unless(Query::all().subject(&wanted.subject), self.position),
        };
        match grant {
            Some(id) => append.unless(Query::all().tag(grant_tag(id)), self.position),
            None => append,
        }
    }

    /// The same for several changes of different subjects.
    pub(crate) fn around_all(&self, subjects: Vec<String>, append: Append) -> Append {
        if cfg!(annals_no_decision_condition) {
            return append;
        }
        append.unless_any_of(&self.always, self.position).unless(Query::all().subjects(subjects), self.position)
    }
}

impl Engine {
    pub(crate) fn new(
        store: Store,
        policy: Option<Arc<dyn Policy>>,
        rules: HashMap<String, Arc<dyn Rules>>,
        agent_waiting_max: u64,
    ) -> Engine {
        let clock = store.clock();
        let keeper = Mutex::new(Timekeeper::new(&*clock, Timestamp::from_nanos(i64::MIN)));
        Engine {
            store,
            index: Mutex::new(Index::default()),
            policy,
            rules,
            agent_waiting_max,
            seen: AtomicU64::new(0),
            own: AtomicUsize::new(0),
            stirred: AtomicU64::new(0),
            clock,
            keeper,
        }
    }

    /// Looks, lets `step` decide what to append, and appends it; again from the start where something came between.
    /// `None` if there is nothing to append.
    pub(crate) fn act<T>(
        &self,
        mut step: impl FnMut(&mut Look<'_>) -> Result<Option<(Append, T)>>,
    ) -> Result<Option<(Appended, T)>> {
        for attempt in 0..TRIES_MAX {
            let Some((append, made)) = self.look(&mut step)? else { return Ok(None) };
            match self.store.append_reserved(append) {
                Ok(done) => return Ok(Some((done, made))),
                Err(AppendError::Conflict { .. } | AppendError::TooLate { .. }) => {
                    if attempt >= TRIES_AT_ONCE {
                        std::thread::sleep(std::time::Duration::from_micros(u64::from(attempt)));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(ErrorKind::Conflict, "others changed the same subject each time that this was tried")
            .hinting("try again"))
    }

    pub(crate) fn note(&self, position: Position) {
        self.seen.fetch_max(position.get(), Ordering::Relaxed);
    }

    /// How often something was found that is to be done, for [`Engine::has_news`].
    pub(crate) fn stirred(&self) -> u64 {
        self.stirred.load(Ordering::Relaxed)
    }

    /// Whether the log has events that nobody looks at, or something was found since that is to be done.
    pub(crate) fn has_news(&self, stirred: u64) -> bool {
        let is_behind = self.store.inner.log.tail().get() > self.seen.load(Ordering::Relaxed);
        (is_behind && self.own.load(Ordering::Relaxed) == 0) || self.stirred() > stirred
    }

    /// For as long as it lives, what is appended here is looked at by whoever appends it.
    pub(crate) fn under_way(&self) -> UnderWay<'_> {
        self.own.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.own)
    }

    /// Looks at the log as it is now.
    pub(crate) fn look<T>(&self, step: impl FnOnce(&mut Look<'_>) -> Result<T>) -> Result<T> {
        let now = self.keeper.lock().now(&*self.clock).recorded_at;
        let mut index = self.index.lock();
        let reader = self.store.reader();
        index.catch_up(&reader)?;
        self.note(index.position);
        self.stirred.store(index.stirred, Ordering::Relaxed);
        // The log's time does not run backwards, whatever a clock says that was set back.
        let now = now.max(index.recorded_at);
        step(&mut Look { index: &mut index, reader: &reader, now })
    }

    /// The policy that decides requests that nobody was asked about; `None` if it is code that this program lacks.
    pub(crate) fn policy(&self, authority: &Authority) -> Option<&dyn Policy> {
        match &self.policy {
            Some(policy) => Some(&**policy),
            None if authority.code.is_some() => None,
            None => Some(&DEFAULT_POLICY),
        }
    }

    /// The policy by which it is judged who may answer.
    pub(crate) fn policy_for_answers(&self, authority: &Authority) -> &dyn Policy {
        self.policy(authority).unwrap_or(&DEFAULT_POLICY)
    }

    /// Who carries out the changes of a table.
    pub(crate) fn handling(&self, table: &Table) -> Handling {
        match (self.rules.get(table.name()), table.rules()) {
            (Some(rules), _) => Handling::Here(Some(Arc::clone(rules))),
            (None, None) => Handling::Here(None),
            (None, Some(name)) => shipped(name).map_or(Handling::Elsewhere, |rules| Handling::Here(Some(rules))),
        }
    }

    /// Waits until what was appended survives power loss: before a person's decision is acknowledged, and before
    /// anything happens outside of the log.
    pub(crate) fn make_durable(&self) -> Result<()> {
        self.store.sync()
    }
}

/// See [`Engine::under_way`].
pub(crate) struct UnderWay<'e>(&'e AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

static DEFAULT_POLICY: DefaultPolicy = DefaultPolicy::new();

/// The tag by which uses of a grant are counted.
pub(crate) fn grant_tag(id: Position) -> String {
    format!("annals.grant/{id}")
}
