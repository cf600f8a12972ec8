//! The flow: requests that are done in one step, requests that the flow's thread decides, and a store in which a
//! million wait.

use std::path::Path;
use std::time::{Duration, Instant};

use annals::{Actor, Durability, Flow, NewEvent, Outcome, Position, Query, Request, StartAt, Store};
use serde_json::json;

use super::append::open;
use super::report::{Report, Row};
use super::sample::{Latencies, median};
use super::{Effort, Scratch, WRITTEN, remove, unless_interrupted};
use crate::cli::fail::{Code, Done, Failure};
use crate::cli::open::close;
use crate::cli::text;

/// Threads that request at once, where every request is synced.
const THREADS: usize = 8;
/// Requests of one append, where the flow's thread decides them.
const BATCH: u64 = 100;
/// Requests of which a latency is made up.
const SINGLE: usize = 500;
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A page of those that wait.
const PAGE: usize = 100;
const PAGE_AIM: f64 = 10e-3;
const START_AIM: f64 = 100e-3;
const EXPLAIN_AIM: f64 = 10e-3;
const THROUGH_AIM: f64 = 200e-6;

pub(super) fn all(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    one_step(scratch, effort, report)?;
    threads(scratch, effort, report)?;
    through_the_thread(scratch, effort, report)?;
    waiting(scratch, effort, report)?;
    long_past(scratch, effort, report)
}

fn start(store: &Store, path: &Path) -> Done<Flow> {
    Flow::builder(store).start().map_err(|error| Failure::of_store(&error, path))
}

fn create(number: u64) -> Request {
    let actor = Actor::user("alice");
    Request::create("documents", &json!({"title": "a title of some length", "number": number})).by(actor)
}

/// Users' own writes on one thread: requested, approved and validated in one append each.
fn one_step(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let (mut rates, mut latencies) = (Vec::new(), Latencies::default());
    for _ in 0..effort.runs {
        unless_interrupted()?;
        let path = scratch.fresh("flow");
        let store = open(&path, WRITTEN)?;
        let flow = start(&store, &path)?;
        let (mut done, began) = (0u64, Instant::now());
        while began.elapsed() < effort.run {
            let request = create(done);
            latencies.time(|| flow.request(request)).map_err(|error| Failure::of_store(&error, &path))?;
            done += 1;
        }
        rates.push(done as f64 / began.elapsed().as_secs_f64());
        drop(flow);
        close(&store, &path)?;
        remove(&path);
    }
    let row = Row::new("flow", "validated in one step, written, one thread", "events/s", median(rates.clone()));
    report.add(Row { runs: rates, p50: latencies.percentile(50), p99: latencies.percentile(99), ..row });
    Ok(())
}

/// The same, synced, on several threads.
fn threads(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let (mut rates, mut latencies) = (Vec::new(), Latencies::default());
    for _ in 0..effort.runs {
        unless_interrupted()?;
        let path = scratch.fresh("flow");
        let store = open(&path, Durability::Synced)?;
        let flow = start(&store, &path)?;
        let began = Instant::now();
        let taken: Vec<annals::Result<Latencies>> = std::thread::scope(|scope| {
            let run = || {
                let mut taken = Latencies::default();
                let mut number = 0;
                while began.elapsed() < effort.run {
                    let request = create(number);
                    taken.time(|| flow.request(request))?;
                    number += 1;
                }
                Ok(taken)
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mut done = 0;
        for one in taken {
            let one = one.map_err(|error| Failure::of_store(&error, &path))?;
            done += one.count();
            latencies.extend(one);
        }
        rates.push(done as f64 / began.elapsed().as_secs_f64());
        drop(flow);
        close(&store, &path)?;
        remove(&path);
    }
    let row = Row::new("flow", "validated in one step, synced, eight threads", "events/s", median(rates.clone()));
    report.add(Row { runs: rates, p50: latencies.percentile(50), p99: latencies.percentile(99), ..row });
    Ok(())
}

/// Requests that are appended raw, so that the flow's thread decides and carries them out.
fn through_the_thread(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("flow");
    let store = open(&path, WRITTEN)?;
    let flow = start(&store, &path)?;
    let requests = effort.events / 10;
    let mut rates = Vec::new();
    let mut number = 0;
    for _ in 0..effort.runs {
        unless_interrupted()?;
        let began = Instant::now();
        let after = store.reader().tail();
        let mut appended = 0;
        while appended < requests {
            let batch: Vec<NewEvent> = (0..BATCH)
                .map(|one| raw(number + one))
                .collect::<annals::Result<_>>()
                .map_err(|error| Failure::of_store(&error, &path))?;
            store.append(batch).map_err(|error| Failure::of_append(error, &path))?;
            (number, appended) = (number + BATCH, appended + BATCH);
        }
        validated(&store, after, appended, &path)?;
        rates.push(appended as f64 / began.elapsed().as_secs_f64());
    }
    let row = Row::new("flow", "decided and done by the flow's thread, written", "events/s", median(rates.clone()));
    report.add(Row { runs: rates, ..row });

    let mut latencies = Latencies::default();
    for _ in 0..SINGLE {
        unless_interrupted()?;
        let event = raw(number).map_err(|error| Failure::of_store(&error, &path))?;
        number += 1;
        let began = Instant::now();
        let done = store.append([event]).map_err(|error| Failure::of_append(error, &path))?;
        validated(&store, done.last, 1, &path)?;
        latencies.add(began.elapsed());
    }
    let row = Row::time("aims", "from a raw request to its change, by the flow's thread", &mut latencies);
    report.add(row.aiming(THROUGH_AIM));
    drop(flow);
    close(&store, &path)?;
    remove(&path);
    Ok(())
}

fn raw(number: u64) -> annals::Result<NewEvent> {
    let data = json!({"title": "a title of some length", "number": number});
    Ok(NewEvent::json("entities.create.requested", format!("entity/e-{number}"), &data)?.actor(Actor::user("alice")))
}

/// Waits until so many changes were made behind a position.
fn validated(store: &Store, after: Position, wanted: u64, path: &Path) -> Done {
    let query = Query::all().types(["entities.create.validated"]);
    let mut changes = store.subscribe(query, StartAt::After(after));
    let (mut seen, began) = (0, Instant::now());
    while seen < wanted {
        if began.elapsed() > WAIT_MAX {
            return Err(Failure::new(Code::Failure, "the flow's thread did not make the changes in time"));
        }
        let batch =
            changes.next_timeout(Duration::from_millis(100)).map_err(|error| Failure::of_store(&error, path))?;
        seen += batch.map_or(0, |batch| batch.len() as u64);
    }
    Ok(())
}

/// A store in which as many requests wait as the log has events elsewhere.
fn waiting(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("flow");
    let store = open(&path, WRITTEN)?;
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    let flow = start(&store, &path)?;
    let agent = Actor::external("importer");
    for number in 0..effort.events {
        if number % 1000 == 0 {
            unless_interrupted()?;
        }
        let request = Request::create("entities", &json!({"number": number})).id(format!("e-{number}"));
        flow.request(request.by(agent.clone())).map_err(failed)?;
    }
    let note = format!("{} wait", text::counted(effort.events, "request"));
    let mut pages = Latencies::default();
    for _ in 0..SINGLE {
        let page = pages.time(|| flow.pending(PAGE)).map_err(failed)?;
        if page.len() != PAGE {
            return Err(Failure::new(Code::Failure, "a page of requests that wait is not full"));
        }
    }
    let row = Row::time("aims", "a page of a hundred requests that wait", &mut pages);
    report.add(row.aiming(PAGE_AIM).noting(note));
    drop(flow);
    close(&store, &path)?;
    remove(&path);
    Ok(())
}

/// A store of as many requests that were made, and one that waits.
fn long_past(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("flow");
    let store = open(&path, WRITTEN)?;
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    let flow = start(&store, &path)?;
    for number in 0..effort.events {
        if number % 1000 == 0 {
            unless_interrupted()?;
        }
        flow.request(create(number)).map_err(failed)?;
    }
    for number in 0..effort.runs.max(3) {
        let wish = Request::create("entities", &json!({"number": number})).by(Actor::external("feed"));
        flow.request(wish).map_err(failed)?;
    }
    drop(flow);
    close(&store, &path)?;
    let note = format!("{} were done", text::counted(effort.events, "request"));
    let (mut starts, mut explains) = (Latencies::default(), Latencies::default());
    for _ in 0..effort.runs.max(3) {
        unless_interrupted()?;
        let store = open(&path, WRITTEN)?;
        let began = Instant::now();
        let flow = start(&store, &path)?;
        let next = flow.pending(1).map_err(failed)?;
        let Some(first) = next.first() else { break };
        let digest = first.digest.clone();
        let done = flow.approve(first.request, digest, Actor::user("alice"), "").map_err(failed)?;
        starts.add(began.elapsed());
        if !matches!(done.outcome, Outcome::Validated { .. }) {
            return Err(Failure::new(Code::Failure, "what was approved was not done"));
        }
        for _ in 0..20 {
            explains.time(|| flow.explain(first.request)).map_err(failed)?;
        }
        drop(flow);
        close(&store, &path)?;
    }
    report.add(
        Row::time("aims", "starting the flow and approving one", &mut starts).aiming(START_AIM).noting(note.clone()),
    );
    report.add(Row::time("aims", "explaining a decision", &mut explains).aiming(EXPLAIN_AIM).noting(note));
    remove(&path);
    Ok(())
}
