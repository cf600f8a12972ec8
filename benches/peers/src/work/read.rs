//! Reading a filled store: all of it, a subject, a type, a window of time. What is found is counted: a peer that
//! answers with another number of events has no figure.

use std::time::{Duration, Instant};

use super::{Case, Run, Spec, want};
use crate::child::{Job, Told, told};
use crate::event::{self, SUBJECTS, TYPES};
use crate::figures::{Better, median};
use crate::peer::{Each, Failure, Outcome, Peer};
use crate::process;

/// Queries of each kind in a round, of which the first half warms up; fewer of a peer that takes long.
const SUBJECT_QUERIES: u64 = 200;
const KIND_QUERIES: u64 = 10;
const WINDOW_QUERIES: u64 = 10;
/// A multiple of every batch that a store is filled in.
const BATCH: u64 = 1_000;
/// How long they may take together; two are always made.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(run: &mut Run) {
    let cases: &[Case<'_>] = &[
        ("replay", "replay of all", "events/s", Better::Higher),
        ("subject", "one subject of 10,000", "us", Better::Lower),
        ("kind", "one type of 54", "ms", Better::Lower),
        ("window", "1 % of the time", "ms", Better::Lower),
    ];
    let peers = run.peers.clone();
    let spec = Spec { work: "read", child: "read", wants: vec![want("events", run.events)], cases, filled: true };
    run.measure(&peers, &spec);
}

pub(crate) fn child(job: &Job) -> Outcome<Told> {
    let events = job.number("events");
    process::warm(&job.directory);
    let peer = job.open()?;
    let peer = peer.as_ref();
    let mut answer = Told::new();
    let mut keep = |name: &str, outcome: Outcome<f64>| match outcome {
        Ok(value) => answer.extend(told(&[(name, value)])),
        Err(failure) => {
            answer.insert(format!("no {name}"), failure.text().into());
        }
    };
    keep("replay", replay(peer, events));
    keep("subject", subjects(peer, events));
    keep("kind", kinds(peer, events));
    keep("window", windows(peer, events));
    Ok(answer)
}

/// Runs a query and counts; the data is touched so that reading it cannot be left out.
fn count(query: impl FnOnce(Each<'_>) -> Outcome<()>) -> Outcome<u64> {
    let (mut events, mut touched) = (0u64, 0u64);
    query(&mut |event| {
        events += 1;
        let strings = event.kind.len() + event.subject.len();
        touched += u64::from(event.data.last().copied().unwrap_or(0)) + strings as u64 + event.time as u64 % 2;
    })?;
    std::hint::black_box(touched);
    Ok(events)
}

fn expect(found: u64, wanted: u64) -> Outcome<()> {
    if found == wanted { Ok(()) } else { Err(Failure::Failed(format!("found {found} events instead of {wanted}"))) }
}

fn replay(peer: &dyn Peer, events: u64) -> Outcome<f64> {
    expect(count(|each| peer.replay(each))?, events)?;
    let begun = Instant::now();
    expect(count(|each| peer.replay(each))?, events)?;
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

/// How many of the numbers below `events` are this one of a cycle of so many.
fn share(events: u64, of: u64, rest: u64) -> u64 {
    events / of + u64::from(rest < events % of)
}

fn subjects(peer: &dyn Peer, events: u64) -> Outcome<f64> {
    let seconds = timed(SUBJECT_QUERIES, |query| {
        let number = query * 37 % SUBJECTS;
        let subject = event::subject_of(number);
        let begun = Instant::now();
        let found = count(|each| peer.subject(&subject, each))?;
        let taken = begun.elapsed();
        // The subjects repeat after 10,000 numbers.
        expect(found, share(events, SUBJECTS, number))?;
        Ok(taken)
    })?;
    Ok(seconds * 1e6)
}

fn kinds(peer: &dyn Peer, events: u64) -> Outcome<f64> {
    let seconds = timed(KIND_QUERIES, |query| {
        let number = query * 7 % TYPES;
        let kind = event::synthetic(number).kind;
        let begun = Instant::now();
        let found = count(|each| peer.kind(&kind, each))?;
        let taken = begun.elapsed();
        expect(found, share(events, TYPES, number))?;
        Ok(taken)
    })?;
    Ok(seconds * 1e3)
}

fn windows(peer: &dyn Peer, events: u64) -> Outcome<f64> {
    let (step, long) = (events / (WINDOW_QUERIES + 2), (events / 100).max(BATCH) / BATCH * BATCH);
    let seconds = timed(WINDOW_QUERIES, |query| {
        // At the edge of a batch: events of one batch may have one time of record.
        let first = (query + 1) * step / BATCH * BATCH;
        let (since, until) = peer.bounds(first, first + long)?;
        let begun = Instant::now();
        let found = count(|each| peer.window(since, until, each))?;
        let taken = begun.elapsed();
        expect(found, long)?;
        Ok(taken)
    })?;
    Ok(seconds * 1e3)
}

/// Makes so many queries, each other than those before; the median of the second half, in seconds.
fn timed(queries: u64, mut one: impl FnMut(u64) -> Outcome<Duration>) -> Outcome<f64> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    for query in 0..queries {
        times.push(one(query)?.as_secs_f64());
        if times.len() > 1 && begun.elapsed() > PATIENCE {
            break;
        }
    }
    median(times.get(times.len() / 2..).unwrap_or_default()).ok_or(Failure::Failed("no query".to_owned()))
}
