//! The worker of a life: each job has a step, an event that it makes, and some fail first or for good.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use annals::sim::SimStorage;
use annals::{Actor, BoxError, NewEvent, Query, Store, WorkerHandle, WorkerState};

use super::told::{Fact, Sum, Told};
use super::{LONG, Trouble};

pub(crate) const WORKER: &str = "jobs";
pub(crate) const JOB: &str = "job";
const HOUR: Duration = Duration::from_secs(3_600);

/// Starts the worker. Steps that are begun are noted in `begun`; events in `pardoned` do not fail for good, and with
/// `None` no event fails.
pub(crate) fn start(
    store: &Store,
    told: &Told,
    begun: &Arc<Mutex<Vec<u64>>>,
    pardoned: Option<BTreeSet<u64>>,
) -> annals::Result<WorkerHandle> {
    let (told, begun) = (told.clone(), begun.clone());
    store.worker(WORKER).on(Query::all().types([JOB])).backoff(HOUR, HOUR).run(move |job, step| {
        let position = job.position().get();
        step.run("send", || {
            begun.lock().unwrap().push(position);
            Ok::<_, BoxError>(format!("sent {position}"))
        })?;
        told.now(Fact::Step(position));
        step.append("make", NewEvent::bytes("made", format!("m/{position}"), "text/plain", "x"))?;
        if let Some(pardoned) = &pardoned {
            if position % 5 == 3 && step.failed_attempts() == 0 {
                return Err("in an hour".into());
            }
            if position % 7 == 4 && !pardoned.contains(&position) {
                return Err(annals::permanent("never").into());
            }
        }
        told.now(Fact::Done(position));
        Ok(())
    })
}

/// Waits until it has done all that it can do now. `false` if it has ended.
pub(crate) fn rest(handle: &WorkerHandle) -> Result<bool, String> {
    let deadline = Instant::now() + LONG;
    loop {
        let status = handle.status();
        if status.state.has_ended() {
            return Ok(false);
        }
        let events_at_rest = status.in_flight == 0 && status.held == 0;
        if status.state == WorkerState::Following && events_at_rest {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Err(format!("the worker neither ends nor goes on: {status:?}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Positions of all jobs in a log.
pub(crate) fn jobs(store: &Store) -> Result<Vec<u64>, Trouble> {
    let jobs = store.reader().read(&Query::all().types([JOB])).map(|job| Ok(job?.position().get()));
    Ok(jobs.collect::<annals::Result<_>>()?)
}

/// Runs the worker to its end on what was found, hours later: no step that was acknowledged is done again, no job is
/// passed over, each makes its event once.
pub(crate) fn finishes(store: &Store, told: &Told, before: &Sum) -> Result<(), Trouble> {
    let jobs = jobs(store)?;
    let begun = Arc::new(Mutex::new(Vec::new()));
    let handle = start(store, told, &begun, None)?;
    let mut parked = BTreeSet::new();
    for one in store.parked(Some(WORKER))? {
        let position = one.position.get();
        if before.skipped.contains(&position) {
            return Err(Trouble::Wrong(format!("{position} is parked, and was skipped")));
        }
        parked.insert(position);
        store.retry(WORKER, one.position, Actor::user("bob"), "after a crash")?;
    }
    if !handle.wait_for(jobs.last().copied().unwrap_or(0), LONG)? {
        return Err(Trouble::Wrong(format!("the worker does not come to an end: {:?}", handle.status())));
    }
    drop(handle);
    let again: BTreeSet<u64> = begun.lock().unwrap().iter().copied().collect();
    if again.len() != begun.lock().unwrap().len() {
        return Err(Trouble::Wrong(format!("a step was done twice in one run: {:?}", begun.lock().unwrap())));
    }
    if let Some(position) = before.steps.intersection(&again).next() {
        return Err(Trouble::Wrong(format!("the step of {position} was acknowledged and is done again")));
    }
    let now = Sum::of(&told.all(), u64::MAX);
    let reader = store.reader();
    for position in jobs {
        // Parked still, it was not skipped.
        let skipped = before.skip_asked.contains(&position) && !parked.contains(&position);
        if !now.done.contains(&position) && !skipped {
            return Err(Trouble::Wrong(format!("the job at {position} was passed over")));
        }
        let made = reader.version(&format!("m/{position}"))?;
        if made != 1 {
            return Err(Trouble::Wrong(format!("{made} events were made of the job at {position}")));
        }
    }
    Ok(())
}

/// One of the parked events is decided about; `retry` or skip.
pub(crate) fn decide(
    store: &Store,
    disk: &Arc<SimStorage>,
    told: &Told,
    pardoned: &mut BTreeSet<u64>,
    retry: bool,
) -> Result<(), Trouble> {
    let Some(one) = store.parked(Some(WORKER))?.into_iter().next() else { return Ok(()) };
    let position = one.position.get();
    if retry {
        pardoned.insert(position);
        store.retry(WORKER, one.position, Actor::user("alice"), "once more")?;
        return Ok(());
    }
    told.at(disk.op_count(), Fact::SkipAsked(position));
    store.skip(WORKER, one.position, Actor::user("alice"), "never is never")?;
    told.now(Fact::Skipped(position));
    Ok(())
}
