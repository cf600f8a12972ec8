//! Appending: without forced syncs in batches, and durably by one and eight threads and with many in flight.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Case, Run, Spec, want};
use crate::child::{Job, Told, told};
use crate::event::{self, Event};
use crate::figures::{Better, quantile};
use crate::peer::{Failure, Outcome, Peer};

/// Events that a thread has ready before the clock runs; it goes round in them.
const POOL: u64 = 20_000;
/// Time of appending that is not counted: files grow, caches and threads come up.
const WARM_UP: Duration = Duration::from_millis(150);

pub(crate) fn run(run: &mut Run) {
    for (batch, rate, slowest) in [
        (1, "unforced, batch 1", "unforced, batch 1: p99.9"),
        (100, "unforced, batch 100", "unforced, batch 100: p99.9"),
        (1_000, "unforced, batch 1,000", "unforced, batch 1,000: p99.9"),
    ] {
        let cases: &[Case<'_>] =
            &[("rate", rate, "events/s", Better::Higher), ("p999_us", slowest, "us", Better::Lower)];
        measure(run, "append", &[want("batch", batch)], cases);
    }
}

pub(crate) fn run_durable(run: &mut Run) {
    for (threads, batch, rate, p50, p99) in [
        (1, 1, "1 thread, batch 1", "1 thread, batch 1: p50", "1 thread, batch 1: p99"),
        (1, 100, "1 thread, batch 100", "1 thread, batch 100: p50", "1 thread, batch 100: p99"),
        (8, 1, "8 threads, batch 1", "8 threads, batch 1: p50", "8 threads, batch 1: p99"),
        (8, 100, "8 threads, batch 100", "8 threads, batch 100: p50", "8 threads, batch 100: p99"),
    ] {
        let cases: &[Case<'_>] = &[
            ("rate", rate, "events/s", Better::Higher),
            ("p50_us", p50, "us", Better::Lower),
            ("p99_us", p99, "us", Better::Lower),
        ];
        measure(run, "durable", &[want("durable", 1), want("batch", batch), want("threads", threads)], cases);
    }
    let cases: &[Case<'_>] = &[("rate", "1,000 in flight", "events/s", Better::Higher)];
    measure(run, "durable", &[want("durable", 1), want("batch", 1), want("in_flight", 1_000)], cases);
}

fn measure(run: &mut Run, work: &str, wants: &[String], cases: &[Case<'_>]) {
    let mut wants = wants.to_vec();
    wants.push(want("seconds", run.seconds));
    let peers = run.appenders();
    // A peer that always forces has no figure where nothing is forced: its own would be another kind of thing.
    let durable = wants.iter().any(|want| want == "durable=1");
    let spec = Spec { work, child: "append", wants, cases, filled: false };
    if durable {
        return run.measure(&peers, &spec);
    }
    let (can, cannot): (Vec<_>, Vec<_>) = peers.into_iter().partition(|about| about.written.is_some());
    run.measure(&can, &spec);
    for about in cannot {
        run.dash(about, &spec, "it always forces");
    }
}

/// Appends for so long, and tells the rate and how long single appends took.
pub(crate) fn child(job: &Job) -> Outcome<Told> {
    let batch = job.number("batch").max(1) as usize;
    let threads = job.number("threads").max(1);
    let peer = job.open()?;
    if job.number("in_flight") > 0 {
        return in_flight(job, peer.as_ref());
    }
    let pools: Vec<Vec<Event>> =
        (0..threads).map(|thread| (thread * POOL..(thread + 1) * POOL).map(event::synthetic).collect()).collect();
    let (barrier, stop) = (Barrier::new(pools.len() + 1), AtomicBool::new(false));
    let (outcomes, taken) = thread::scope(|scope| {
        let appenders: Vec<_> = pools
            .iter()
            .map(|pool| {
                let (peer, barrier, stop) = (peer.as_ref(), &barrier, &stop);
                scope.spawn(move || append_until(peer, pool, batch, barrier, stop))
            })
            .collect();
        barrier.wait();
        let begun = Instant::now();
        thread::sleep(job.seconds());
        stop.store(true, Ordering::Relaxed);
        let outcomes: Vec<_> = appenders.into_iter().map(|one| one.join()).collect();
        (outcomes, begun.elapsed())
    });
    let mut times: Vec<u64> = Vec::new();
    for outcome in outcomes {
        times.extend(outcome.map_err(|_| Failure::Failed("an appender panicked".to_owned()))??);
    }
    peer.close()?;
    let events = times.len() * batch;
    times.sort_unstable();
    let micros = |share: f64| quantile(&times, share) / 1e3;
    Ok(told(&[
        ("rate", events as f64 / taken.as_secs_f64()),
        ("p50_us", micros(0.5)),
        ("p99_us", micros(0.99)),
        ("p999_us", micros(0.999)),
        ("max_us", micros(1.0)),
    ]))
}

/// Nanoseconds of each append between the barrier and the stop.
fn append_until(
    peer: &dyn Peer,
    pool: &[Event],
    batch: usize,
    barrier: &Barrier,
    stop: &AtomicBool,
) -> Outcome<Vec<u64>> {
    let mut chunks = pool.chunks_exact(batch).cycle();
    let mut times = Vec::with_capacity(1 << 20);
    let begun = Instant::now();
    let mut warm = Ok(());
    while begun.elapsed() < WARM_UP && warm.is_ok() {
        warm = chunks.next().map_or(Ok(()), |events| peer.append(events));
    }
    // Also one that failed comes to the barrier, or the others would wait for it.
    barrier.wait();
    warm?;
    let mut before = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let Some(events) = chunks.next() else { break };
        peer.append(events)?;
        let now = Instant::now();
        times.push((now - before).as_nanos() as u64);
        before = now;
    }
    Ok(times)
}

/// One thread hands in single events, with so many unacknowledged.
fn in_flight(job: &Job, peer: &dyn Peer) -> Outcome<Told> {
    let in_flight = job.number("in_flight") as usize;
    let pool: Vec<Event> = (0..POOL).map(event::synthetic).collect();
    let mut events = pool.iter().cycle();
    let mut warm_up = 2 * in_flight;
    peer.pipelined(
        &mut || {
            warm_up = warm_up.checked_sub(1)?;
            events.next().cloned()
        },
        in_flight,
    )?;
    let (begun, mut count) = (Instant::now(), 0u64);
    let seconds = job.seconds();
    peer.pipelined(
        &mut || {
            if count.is_multiple_of(64) && begun.elapsed() >= seconds {
                return None;
            }
            count += 1;
            events.next().cloned()
        },
        in_flight,
    )?;
    Ok(told(&[("rate", count as f64 / begun.elapsed().as_secs_f64())]))
}
