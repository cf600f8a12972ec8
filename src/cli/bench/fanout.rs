//! Fan-out: what subscribers get and what they cost the writer, and how fast projections are made.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annals::{Batch, BoxError, NewEvent, Position, Projection, Query, StartAt, Store};

use super::append::{open, refused};
use super::report::{Report, Row};
use super::sample::{Latencies, median};
use super::workload::Workload;
use super::{Effort, Scratch, WRITTEN, remove, unless_interrupted};
use crate::cli::fail::{Code, Done, Failure};
use crate::cli::open::close;
use crate::cli::text;

/// Subscribers, and projections, that run at once.
const TOGETHER: usize = 4;
const BATCH: usize = 100;
/// Between two appends whose delivery is timed: none of them waits for an earlier one.
const PACE: Duration = Duration::from_micros(500);
const DELIVERY_AIM: f64 = 30e-6;
const IDLE: usize = 100;
/// Percent that idle subscribers cost the writer at most.
const IDLE_AIM: f64 = 5.0;
/// Four projections together take so much longer than one at most.
const TOGETHER_AIM: f64 = 1.5;
/// Longer than any of this takes.
const WAIT_MAX: Duration = Duration::from_secs(600);

pub(super) fn all(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    live(scratch, effort, report)?;
    delivery(scratch, effort, report)?;
    idle(scratch, effort, report)?;
    projections(scratch, effort, report)
}

fn of_store(path: &Path) -> impl Fn(annals::Error) -> Failure + '_ {
    move |error| Failure::of_store(&error, path)
}

/// Batches made outside the clock.
fn batches(workload: &mut Workload, events: u64) -> Vec<Vec<NewEvent>> {
    (0..events.div_ceil(BATCH as u64)).map(|_| (0..BATCH).map(|_| workload.event()).collect()).collect()
}

/// Events a second that each of some subscribers gets while the writer appends as fast as it can.
fn live(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let mut rates = Vec::new();
    for _ in 0..effort.runs {
        unless_interrupted()?;
        let path = scratch.fresh("fan-out");
        let store = open(&path, WRITTEN)?;
        let batches = batches(&mut Workload::new(5), (effort.events / 4).max(1000));
        let last = Position::new((batches.len() * BATCH) as u64);
        let began = Instant::now();
        let read = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..TOGETHER)
                .map(|_| {
                    let mut subscription = store.subscribe(Query::all(), StartAt::Start);
                    scope.spawn(move || -> annals::Result<()> {
                        while subscription.position() < last {
                            subscription.next_timeout(WAIT_MAX)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            for batch in batches {
                store.append(batch).map_err(|error| refused(error, &path))?;
            }
            readers.into_iter().try_for_each(|reader| joined(reader.join(), &path))
        });
        read?;
        rates.push(last.get() as f64 / began.elapsed().as_secs_f64());
        close(&store, &path)?;
        remove(&path);
    }
    let name = "each of four subscribers, while the writer appends";
    report.add(Row { runs: rates.clone(), ..Row::new("read", name, "events/s", median(rates)) });
    Ok(())
}

fn joined<T>(thread: std::thread::Result<annals::Result<T>>, path: &Path) -> Done<T> {
    match thread {
        Ok(done) => done.map_err(of_store(path)),
        Err(_) => Err(Failure::new(Code::Failure, "a thread of the measurement panicked")),
    }
}

/// From just before an append to the moment when each subscriber has its event.
fn delivery(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("fan-out");
    let store = open(&path, WRITTEN)?;
    let mut workload = Workload::new(6);
    let events = (effort.run.as_micros() / PACE.as_micros()).max(100) as usize;
    let began = Instant::now();
    // By position: nanoseconds from the beginning to the append.
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..=events).map(|_| AtomicU64::new(0)).collect());
    let taken = std::thread::scope(|scope| -> Done<Latencies> {
        let readers: Vec<_> = (0..TOGETHER)
            .map(|_| {
                let (mut subscription, sent) = (store.subscribe(Query::all(), StartAt::Start), Arc::clone(&sent));
                scope.spawn(move || -> annals::Result<Latencies> {
                    let mut latencies = Latencies::default();
                    while subscription.position().get() < events as u64 {
                        let Some(batch) = subscription.next_timeout(WAIT_MAX)? else { continue };
                        let now = began.elapsed().as_nanos() as u64;
                        for event in batch.iter() {
                            let before = sent[event.position().get() as usize].load(Ordering::Relaxed);
                            latencies.add(Duration::from_nanos(now.saturating_sub(before)));
                        }
                    }
                    Ok(latencies)
                })
            })
            .collect();
        for sent in sent.iter().skip(1) {
            let event = workload.event();
            std::thread::sleep(PACE);
            sent.store(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
            store.append([event]).map_err(|error| refused(error, &path))?;
        }
        let mut all = Latencies::default();
        for reader in readers {
            all.extend(joined(reader.join(), &path)?);
        }
        Ok(all)
    });
    let row = Row::time("aims", "from an append to each of four subscribers", &mut taken?).aiming(DELIVERY_AIM);
    report.add(row);
    close(&store, &path)?;
    remove(&path);
    Ok(())
}

/// Appends with many subscribers that do not ask for anything, and without, in turn.
fn idle(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let mut ratios = Vec::new();
    for _ in 0..effort.runs {
        let mut took = [Duration::ZERO; 2];
        for with in [true, false, false, true] {
            unless_interrupted()?;
            let path = scratch.fresh("fan-out");
            let store = open(&path, WRITTEN)?;
            let mut idle = Vec::new();
            for _ in 0..if with { IDLE } else { 0 } {
                let mut subscription = store.subscribe(Query::all(), StartAt::Now);
                subscription.next_timeout(Duration::ZERO).map_err(of_store(&path))?;
                idle.push(subscription);
            }
            let batches = batches(&mut Workload::new(7), (effort.events / 4).max(1000));
            let began = Instant::now();
            for batch in batches {
                store.append(batch).map_err(|error| refused(error, &path))?;
            }
            took[usize::from(with)] += began.elapsed();
            close(&store, &path)?;
            remove(&path);
        }
        let [without, with] = took.map(|took| took.as_secs_f64().max(1e-9));
        ratios.push(100.0 * (with / without - 1.0));
    }
    let row = Row::new("aims", "what 100 idle subscribers cost the writer", "percent", median(ratios.clone()));
    report.add(Row { runs: ratios, ..row.aiming(IDLE_AIM) });
    Ok(())
}

/// The least that a projection can do.
#[derive(Default)]
struct Count {
    name: String,
    events: u64,
    bytes: u64,
}

impl Projection for Count {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
        for event in batch.iter() {
            (self.events, self.bytes) = (self.events + 1, self.bytes + event.data().len() as u64);
        }
        Ok(())
    }
}

/// Projections over a sealed log: one, four together, and one into SQLite.
fn projections(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("projections");
    let store = open(&path, WRITTEN)?;
    for batch in batches(&mut Workload::new(8), effort.events) {
        store.append(batch).map_err(|error| refused(error, &path))?;
    }
    store.sync().map_err(of_store(&path))?;
    store.seal().map_err(of_store(&path))?;
    let last = store.reader().durable();
    let made = |count: usize| -> Done<f64> {
        let began = Instant::now();
        let names = (0..count).map(|number| Count { name: format!("count-{number}"), ..Count::default() });
        let running: annals::Result<Vec<_>> = names.map(|count| store.project(count)).collect();
        for handle in running.map_err(of_store(&path))? {
            handle.wait_for(last, WAIT_MAX).map_err(of_store(&path))?;
        }
        Ok(began.elapsed().as_secs_f64().max(1e-9))
    };
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..effort.runs {
        unless_interrupted()?;
        let (one, four) = (made(1)?, made(TOGETHER)?);
        rates.push(last.get() as f64 / one);
        ratios.push(four / one);
    }
    let note = format!("{}, sealed", text::counted(last.get(), "event"));
    let row = Row::new("read", "a projection catches up", "events/s", median(rates.clone())).noting(note);
    report.add(Row { runs: rates, ..row });
    let row = Row::new("aims", "four projections together, against one", "times", median(ratios.clone()));
    report.add(Row { runs: ratios, ..row.aiming(TOGETHER_AIM) });
    #[cfg(feature = "sqlite")]
    sqlite(&store, last, &path, report)?;
    close(&store, &path)?;
    remove(&path);
    Ok(())
}

#[cfg(feature = "sqlite")]
#[derive(Default)]
struct Rows;

#[cfg(feature = "sqlite")]
impl annals::SqlFold for Rows {
    fn name(&self) -> &str {
        "rows"
    }

    fn create(&self, tx: &annals::SqlTx<'_>) -> Result<(), BoxError> {
        Ok(tx.execute_all("CREATE TABLE rows (position INTEGER PRIMARY KEY, subject TEXT, type TEXT, bytes INTEGER)")?)
    }

    fn apply(&mut self, tx: &annals::SqlTx<'_>, event: annals::EventRef<'_>) -> Result<(), BoxError> {
        let row = (event.position(), event.subject(), event.event_type(), event.data().len() as i64);
        tx.execute("INSERT INTO rows VALUES (?1, ?2, ?3, ?4)", row)?;
        Ok(())
    }
}

/// A row for each event, checkpoint and effects in one transaction a batch; and the tables that nobody programs.
#[cfg(feature = "sqlite")]
fn sqlite(store: &Store, last: Position, path: &Path, report: &mut Report) -> Done {
    let began = Instant::now();
    let rows = store.project(annals::SqliteProjection::new(Rows)).map_err(of_store(path))?;
    rows.wait_for(last, WAIT_MAX).map_err(of_store(path))?;
    let rate = last.get() as f64 / began.elapsed().as_secs_f64();
    report.add(Row::new("read", "a projection into SQLite, a row an event", "events/s", rate));
    drop(rows);
    unless_interrupted()?;
    let names = ["subjects", "stats"].map(str::to_owned);
    let began = Instant::now();
    let tell = |_, _| match crate::cli::interrupt::asked() {
        true => std::ops::ControlFlow::Break(()),
        false => std::ops::ControlFlow::Continue(()),
    };
    store.update_tables(Some(&names), tell).map_err(of_store(path))?;
    unless_interrupted()?;
    let rate = last.get() as f64 / began.elapsed().as_secs_f64();
    report.add(Row::new("read", "the tables subjects and stats, from nothing", "events/s", rate));
    Ok(())
}
