//! The whole life of a store on a simulated disk: appends of all kinds, rolling, sealing, archiving, states, a
//! projection, a worker, the flow, backup, restore, repair, verify, closing and opening again. What anybody is told on
//! the way is kept with its moment, so that whatever is found later can be held against it.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod deeds;
pub(crate) mod flow;
pub(crate) mod told;
pub(crate) mod worker;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{FileId, ManualClock, Op, SimStorage, Storage, Trace};
use annals::{
    AppendError, BoxError, Durability, Error, ErrorKind, EventRef, Flow, MemoryProjection, Options, Query,
    RepairOptions, StartAt, State, Store, Subscription,
};
use serde::{Deserialize, Serialize};

use super::simulated::{CLOCK_START, Dice, Known, Line, Mark, Mode, SEGMENT_BYTES, live_files, marks, root, signature};
pub(crate) use deeds::{Deed, script};
use told::{Fact, Sum, Told};

pub(crate) const LONG: Duration = Duration::from_secs(30);
pub(crate) const BACKUP: &str = "/backup";
pub(crate) const ARCHIVE: &str = "/archive";
/// Of the repair that a life goes through: both slots of ANCHOR are overwritten.
const ANCHOR_BYTES: usize = 8_192;

/// Why a deed came to nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A call gave an error.
    Failed(Error),
    /// A call of the test itself did.
    Own(std::io::Error),
    /// Something is not as it has to be.
    Wrong(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Failed(error)
    }
}

impl From<AppendError> for Trouble {
    fn from(error: AppendError) -> Trouble {
        Trouble::Failed(error.into())
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Trouble {
        Trouble::Wrong(error.to_string())
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Trouble {
        Trouble::Wrong(text)
    }
}

impl From<&str> for Trouble {
    fn from(text: &str) -> Trouble {
        Trouble::Wrong(text.to_owned())
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> String {
        match trouble {
            Trouble::Failed(error) => format!("{error:?}"),
            Trouble::Own(error) => format!("{error:?}"),
            Trouble::Wrong(why) => why,
        }
    }
}

/// A state that any missing, doubled or exchanged event changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) chain: u64,
}

impl State for Tally {
    const NAME: &'static str = "tally";

    fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
        self.events += 1;
        self.chain = self.chain.wrapping_mul(31).wrapping_add(signature(&event));
        Ok(())
    }
}

/// The files that mean anything after a power cut, in the store and beside it.
pub(crate) fn counts(path: &Path) -> bool {
    !path.file_name().is_some_and(|name| name == "LOCK" || name == "LIVE")
}

pub(crate) fn options(clock: &Arc<ManualClock>) -> Options {
    let options = Store::options().durability(Durability::Synced).segment_bytes(SEGMENT_BYTES).snapshot_every(3);
    options.background(false).clock(clock.clone())
}

/// Another directory of the disk.
pub(crate) fn beside(disk: &Arc<SimStorage>, path: &str) -> Result<Arc<dyn Storage>, Trouble> {
    disk.beside(Path::new(path)).map_err(|error| Trouble::Wrong(error.to_string()))
}

/// Opens for writing. Where ANCHOR was overwritten that is refused, until it was repaired.
pub(crate) fn open(disk: &Arc<SimStorage>, clock: &Arc<ManualClock>, spoilt: bool) -> annals::Result<Store> {
    let opened = options(clock).open_on(disk.clone(), root());
    match opened {
        Err(error) if spoilt && error.kind() == ErrorKind::Corruption => {
            let storage: Arc<dyn Storage> = disk.clone();
            Store::repair_on(&storage, root(), &RepairOptions::new().accept_loss(true))?;
            options(clock).open_on(disk.clone(), root())
        }
        opened => opened,
    }
}

/// What is opened at once.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) flow: Flow,
    subscription: Subscription,
}

/// A life that is being lived.
pub(crate) struct Life {
    pub(crate) disk: Arc<SimStorage>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) told: Told,
    pub(crate) opened: Option<Opened>,
    /// Every event that anybody was shown, and their fold.
    pub(crate) known: Vec<Known>,
    pub(crate) tally: Tally,
    pub(crate) dice: Dice,
    desk: flow::Desk,
    pardoned: BTreeSet<u64>,
    number: u64,
    before: Mark,
    /// Events that were found.
    found: u64,
    live_before: Option<FileId>,
}

impl Life {
    /// Opens what was found on a disk, of which so much is known; the wall clock is at so many ns after the start.
    pub(crate) fn begin(
        disk: &Arc<SimStorage>,
        nanos: i64,
        before: &Mark,
        facts: &[Fact],
        seed: u64,
    ) -> Result<Life, Trouble> {
        let mut life = Life {
            disk: disk.clone(),
            clock: Arc::new(ManualClock::new(CLOCK_START + nanos)),
            told: Told::on(disk, facts),
            opened: None,
            known: Vec::new(),
            tally: Tally::default(),
            dice: Dice(seed),
            desk: flow::Desk::numbering_from(seed % 1_000_000 * 1_000),
            pardoned: BTreeSet::new(),
            number: seed << 20,
            before: before.clone(),
            found: 0,
            live_before: disk.file_id(Path::new("LIVE")),
        };
        life.open(life.sum().spoilt)?;
        life.found = life.known.len() as u64;
        Ok(life)
    }

    /// The process dies; the next one opens what it left, with nothing lost.
    pub(crate) fn restart(&mut self) -> Result<(), Trouble> {
        self.opened = None;
        let facts: Vec<Fact> = self.told.all().into_iter().map(|(_, fact)| fact).collect();
        self.disk = self.disk.snapshot();
        self.told = Told::on(&self.disk, &facts);
        self.open(self.sum().spoilt)
    }

    /// What is known by now.
    pub(crate) fn sum(&self) -> Sum {
        Sum::of(&self.told.all(), u64::MAX)
    }

    /// Opens the store and the flow. What is found goes on with what is known.
    pub(crate) fn open(&mut self, spoilt: bool) -> Result<(), Trouble> {
        let store = open(&self.disk, &self.clock, spoilt)?;
        let subscription = store.subscribe(Query::all(), StartAt::Start);
        let flow = Flow::builder(&store).background(false).start()?;
        self.opened = Some(Opened { store, flow, subscription });
        let known = std::mem::take(&mut self.known);
        self.tally = Tally::default();
        self.look()?;
        if self.known.len() < known.len() || self.known[..known.len()] != known {
            let (now, before) = (self.known.len(), known.len());
            return Err(Trouble::Wrong(format!("{now} events are there, and {before} others had been shown")));
        }
        Ok(())
    }

    pub(crate) fn store(&self) -> Result<&Store, Trouble> {
        Ok(&self.opened.as_ref().ok_or("it is closed")?.store)
    }

    pub(crate) fn tail(&self) -> u64 {
        self.known.len() as u64
    }

    /// A subscriber is shown what is new.
    pub(crate) fn look(&mut self) -> Result<(), Trouble> {
        let Some(opened) = &mut self.opened else { return Ok(()) };
        while let Some(batch) = opened.subscription.next_timeout(Duration::ZERO)? {
            for event in batch.iter() {
                if event.position().get() != self.known.len() as u64 + 1 {
                    return Err(Trouble::Wrong(format!("a subscriber is shown {} too early", event.position())));
                }
                self.known.push(Known { signature: signature(&event), epoch: event.epoch() });
                let _ = self.tally.apply(event);
            }
        }
        self.told.now(Fact::Acked(self.known.len() as u64));
        Ok(())
    }

    /// Does something, and then looks at what came of it.
    pub(crate) fn act(&mut self, deed: Deed) -> Result<(), Trouble> {
        let before = self.disk.op_count();
        let done = self.deed(deed);
        let tail = self.opened.as_ref().map_or(0, |opened| opened.store.reader().tail().get());
        self.told.at(before, Fact::Asked(tail));
        done?;
        self.look()
    }

    /// Ends the run without closing: whatever happens to the disk next is not this store's doing.
    pub(crate) fn finish(mut self) -> Result<LifeRun, Trouble> {
        self.look()?;
        let trace = self.disk.trace();
        let store = self.store()?;
        flow::check_log(store)?;
        let facts = self.told.all();
        let live = live_files(&self.disk, &trace, self.live_before);
        let mut ends: BTreeSet<u64> = self.before.line.ends.range(..=self.found).copied().collect();
        ends.extend([0, self.found, self.tail()]);
        let published = |op: &Op| match op {
            Op::StoreWord { file, index: super::simulated::WORD_PUBLISHED, value } if live.contains(file) => {
                Some(*value)
            }
            _ => None,
        };
        // With one thread a group is a batch.
        ends.extend(trace.ops().iter().filter_map(published));
        let asked: Vec<(u64, u64)> = facts.iter().filter_map(asked).collect();
        let line = Arc::new(Line { events: self.known, ends });
        let marks = marks(&trace, Mode::Synced, &live, &self.before, line, self.found, &asked);
        let nanos = annals::sim::Clock::wall_nanos(&*self.clock) - CLOCK_START;
        let run = LifeRun { trace, marks, facts, nanos };
        // What somebody acknowledged must be among what the store itself holds for told.
        for (ops, fact) in &run.facts {
            if let Fact::Acked(position) = fact
                && run.at(*ops).must < *position
            {
                let must = run.at(*ops).must;
                return Err(Trouble::Wrong(format!("{position} was shown, and only {must} are published as durable")));
            }
        }
        Ok(run)
    }
}

fn asked((ops, fact): &(u64, Fact)) -> Option<(u64, u64)> {
    if let Fact::Asked(position) = fact { Some((*ops, *position)) } else { None }
}

/// A life that was lived, with everything that was done to its disk.
pub(crate) struct LifeRun {
    pub(crate) trace: Trace,
    marks: Vec<Mark>,
    facts: Vec<(u64, Fact)>,
    /// How far the clock went, in ns.
    pub(crate) nanos: i64,
}

impl LifeRun {
    pub(crate) fn at(&self, ops: u64) -> &Mark {
        let index = self.marks.partition_point(|mark| mark.ops <= ops);
        &self.marks[index.saturating_sub(1)]
    }

    pub(crate) fn sum(&self, ops: u64) -> Sum {
        Sum::of(&self.facts, ops)
    }

    /// Changes with every promise.
    pub(crate) fn promises(&self, ops: u64) -> u64 {
        let facts = self.facts[..self.facts.partition_point(|(at, _)| *at <= ops)].iter();
        let lasting = facts.filter(|(_, fact)| !matches!(fact, Fact::Asked(_) | Fact::Acked(_) | Fact::SkipAsked(_)));
        self.at(ops).must << 32 | lasting.count() as u64
    }

    pub(crate) fn facts(&self, ops: u64) -> Vec<Fact> {
        self.facts.iter().take_while(|(at, _)| *at <= ops).map(|(_, fact)| fact.clone()).collect()
    }
}

/// Reads a whole store and folds it.
pub(crate) fn read_and_fold(store: &Store) -> Result<(Vec<Known>, Tally), Trouble> {
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    store.reader().scan(&Query::all(), |event| {
        found.push(Known { signature: signature(&event), epoch: event.epoch() });
        let _ = tally.apply(event);
        ControlFlow::Continue(())
    })?;
    Ok((found, tally))
}

/// Runs the projection up to the tail and holds it against the fold of the log; the tail that it was shown.
pub(crate) fn project(store: &Store, expected: &Tally) -> Result<u64, Trouble> {
    let tail = store.reader().tail();
    let tally = store.project(MemoryProjection::<Tally>::default())?;
    if !tally.wait_for(tail, LONG)? {
        return Err(Trouble::Wrong(format!("the projection does not get there: {:?}", tally.status())));
    }
    let found = tally.with(|model| model.state().clone());
    tally.stop();
    if found != *expected {
        return Err(Trouble::Wrong(format!("the projection holds {found:?}, and the log {expected:?}")));
    }
    Ok(tail.get())
}

/// Loads the state of a subject and holds it against the fold of its events.
pub(crate) fn load(store: &Store, subject: &str) -> Result<(), Trouble> {
    let reader = store.reader();
    let (mut expected, mut version) = (Tally::default(), 0);
    for event in reader.read(&Query::all().subject(subject)) {
        let event = event?;
        version = event.version();
        let _ = expected.apply(event.as_ref());
    }
    let loaded = reader.load::<Tally>(subject)?;
    if (&loaded.state, loaded.version) != (&expected, version) {
        return Err(Trouble::Wrong(format!(
            "{subject} is loaded as {:?}, and the log says {expected:?}",
            loaded.state
        )));
    }
    match loaded.snapshot.filter(|at| *at > reader.tail()) {
        Some(at) => Err(Trouble::Wrong(format!("a state of {subject} at {at} is ahead of the log"))),
        None => Ok(()),
    }
}
