//! States: what a load takes with a stored one and without, and what storing them takes from appends.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::{BoxError, EventRef, NewEvent, Position, Query, State, Store};
use serde::{Deserialize, Serialize};

use super::report::{Report, Row};
use super::sample::{Latencies, median};
use super::workload::Workload;
use super::{Effort, Scratch, WRITTEN, remove, unless_interrupted};
use crate::cli::fail::{Done, Failure};
use crate::cli::open::close;
use crate::cli::text;

const SUBJECT: &str = "account/1";
const BATCH: u64 = 100;
/// Events behind the newest stored state.
const BEHIND: u64 = 500;
/// Loads of which a latency is made up.
const LOADS: usize = 200;
/// A load with a stored state takes so much less.
const TIMES_FASTER: f64 = 100.0;
/// Percent that storing states may take from appends.
const COST_AIM: f64 = 5.0;
/// Loads, each with a state to be stored, in one run of appends.
const ROUNDS: u64 = 20;
const WAIT_MAX: Duration = Duration::from_secs(10);

/// About a kilobyte that every event changes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    events: u64,
    bytes: u64,
    by_type: BTreeMap<String, u64>,
}

impl State for Account {
    const NAME: &'static str = "bench.account";

    fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
        self.events += 1;
        self.bytes += event.data().len() as u64;
        match self.by_type.get_mut(event.event_type()) {
            Some(count) => *count += 1,
            None => drop(self.by_type.insert(event.event_type().to_owned(), 1)),
        }
        Ok(())
    }
}

fn open(path: &Path, every: u64) -> Done<Store> {
    let options = Store::options().durability(WRITTEN).snapshot_every(every);
    options.open(path).map_err(|error| Failure::of_store(&error, path))
}

/// Appends events of one subject and gives the time that the appends took.
fn fill(store: &Store, workload: &mut Workload, events: u64, path: &Path) -> Done<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..events.div_ceil(BATCH) {
        let batch: Vec<NewEvent> = (0..BATCH).map(|_| workload.about(1, SUBJECT.to_owned())).collect();
        let began = Instant::now();
        store.append(batch).map_err(|error| Failure::of_append(error, path))?;
        took += began.elapsed();
    }
    Ok(took)
}

fn load(store: &Store, path: &Path) -> Done<u64> {
    let loaded = store.reader().load::<Account>(SUBJECT).map_err(|error| Failure::of_store(&error, path))?;
    Ok(loaded.replayed)
}

/// Folds the newest events and forgets what came of it.
fn fold_last(store: &Store, events: u64, path: &Path) -> Done {
    let reader = store.reader();
    let after = Position::new(reader.tail().get().saturating_sub(events));
    let mut account = Account::default();
    let folded = reader.scan(&Query::all().subject(SUBJECT).after(after), |event| match account.apply(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
    folded.map(|_| ()).map_err(|error| Failure::of_store(&error, path))
}

/// Waits until a state is stored.
fn wait(store: &Store) {
    let began = Instant::now();
    while store.stats().snapshots_written == 0 && began.elapsed() < WAIT_MAX {
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn all(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    loads(scratch, effort, report)?;
    cost(scratch, effort, report)
}

fn loads(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("states");
    let events = (effort.events / 10).max(2 * BEHIND);
    let mut workload = Workload::new(3);
    let store = open(&path, 0)?;
    fill(&store, &mut workload, events - BEHIND, &path)?;
    let mut without = Latencies::default();
    for _ in 0..effort.runs {
        unless_interrupted()?;
        without.time(|| load(&store, &path))?;
    }
    close(&store, &path)?;
    let store = open(&path, events / 2)?;
    store.sync().map_err(|error| Failure::of_store(&error, &path))?;
    load(&store, &path)?;
    wait(&store);
    fill(&store, &mut workload, BEHIND, &path)?;
    let mut with = Latencies::default();
    let mut replayed = 0;
    for _ in 0..LOADS {
        replayed = with.time(|| load(&store, &path))?;
    }
    let events = text::counted(events, "event");
    let note = format!("{events} of the subject");
    let row = Row::time("aims", "a subject's state, from its first event", &mut without).noting(note);
    let aim = row.value / TIMES_FASTER;
    report.add(row);
    let note = format!("{} behind it", text::counted(replayed, "event"));
    report.add(Row::time("aims", "the same, from a stored state", &mut with).aiming(aim).noting(note));
    close(&store, &path)?;
    remove(&path);
    Ok(())
}

/// Appends while states are stored, and the same while none are, in turn.
fn cost(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let events = (effort.events / 1000).clamp(BATCH, 1000);
    let mut ratios = Vec::new();
    for _ in 0..effort.runs {
        let mut took = [Duration::ZERO; 2];
        for storing in [true, false, false, true] {
            unless_interrupted()?;
            let path = scratch.fresh("states");
            let store = open(&path, if storing { events } else { 0 })?;
            let mut workload = Workload::new(4);
            for _ in 0..ROUNDS {
                took[usize::from(storing)] += fill(&store, &mut workload, events, &path)?;
                store.sync().map_err(|error| Failure::of_store(&error, &path))?;
                // The state is stored beside the appends of the next round. Else as many events are folded, for nothing.
                match storing {
                    true => load(&store, &path).map(|_| ())?,
                    false => fold_last(&store, events, &path)?,
                }
            }
            close(&store, &path)?;
        }
        let [without, with] = took.map(|took| took.as_secs_f64().max(1e-9));
        ratios.push(100.0 * (with / without - 1.0));
    }
    remove(&scratch.fresh("states"));
    let note = format!("a state every {events} events, {ROUNDS} in a run");
    let row = Row::new("aims", "what storing states takes from appends", "percent", median(ratios.clone()));
    report.add(Row { runs: ratios, ..row.aiming(COST_AIM).noting(note) });
    Ok(())
}
