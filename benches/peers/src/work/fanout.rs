//! Fan-out: eight subscribers live, at full speed for the rate, and at a pace for the time from append to delivery.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Case, Run, Spec, want};
use crate::child::{Job, Told, told};
use crate::event::{self, Event};
use crate::figures::{Better, quantile};
use crate::peer::{Failure, Outcome, Peer, Subscriber};

const SUBSCRIBERS: u64 = 8;
/// Events of an append at full speed.
const BATCH: usize = 100;
/// Between two appends of one event at a pace: a thousand a second.
const PACE: Duration = Duration::from_millis(1);
/// How long the last deliveries may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(run: &mut Run) {
    let cases: &[Case<'_>] = &[
        ("deliveries", "8 subscribers, full speed", "deliveries/s", Better::Higher),
        ("p50_us", "1,000 events/s: p50 to delivery", "us", Better::Lower),
        ("p99_us", "1,000 events/s: p99 to delivery", "us", Better::Lower),
    ];
    let peers = run.appenders();
    let spec =
        Spec { work: "fanout", child: "fanout", wants: vec![want("seconds", run.seconds)], cases, filled: false };
    run.measure(&peers, &spec);
}

/// What the subscribers share.
struct Shared {
    begun: Instant,
    delivered: AtomicU64,
    /// Whether times are taken.
    timing: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn now(&self) -> i64 {
        event::TIME + self.begun.elapsed().as_nanos() as i64
    }
}

pub(crate) fn child(job: &Job) -> Outcome<Told> {
    let peer = job.open()?;
    let subscribers = (0..SUBSCRIBERS).map(|_| peer.subscribe()).collect::<Outcome<Vec<_>>>()?;
    let shared = Shared {
        begun: Instant::now(),
        delivered: AtomicU64::new(0),
        timing: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    };
    let (measured, received) = thread::scope(|scope| {
        let threads: Vec<_> = subscribers.into_iter().map(|one| scope.spawn(|| receive(one, &shared))).collect();
        let measured = append(job, peer.as_ref(), &shared);
        shared.stop.store(true, Ordering::Release);
        let received: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (measured, received)
    });
    let mut times = Vec::new();
    for one in received {
        times.extend(one.map_err(|_| Failure::Failed("a subscriber panicked".to_owned()))??);
    }
    times.sort_unstable();
    let mut answer = told(&[("deliveries", measured?)]);
    answer.extend(told(&[("p50_us", quantile(&times, 0.5) / 1e3), ("p99_us", quantile(&times, 0.99) / 1e3)]));
    Ok(answer)
}

/// Takes what comes until told to stop: nanoseconds from before the append to the delivery of each timed event.
fn receive(mut subscriber: Box<dyn Subscriber>, shared: &Shared) -> Outcome<Vec<u64>> {
    let mut times = Vec::new();
    while !shared.stop.load(Ordering::Acquire) {
        let mut count = 0;
        subscriber.next(Duration::from_millis(50), &mut |event| {
            count += 1;
            if shared.timing.load(Ordering::Relaxed) {
                times.push(u64::try_from(shared.now() - event.time).unwrap_or(0));
            }
        })?;
        shared.delivered.fetch_add(count, Ordering::Release);
    }
    Ok(times)
}

/// Appends in both ways; deliveries a second at full speed.
fn append(job: &Job, peer: &dyn Peer, shared: &Shared) -> Outcome<f64> {
    let pool: Vec<Event> = (0..20_000).map(event::synthetic).collect();
    let mut chunks = pool.chunks_exact(BATCH).cycle();
    let mut appended = 0;
    let mut full_speed = |long: Duration| -> Outcome<f64> {
        let (begun, first) = (Instant::now(), appended);
        while begun.elapsed() < long {
            let Some(events) = chunks.next() else { break };
            peer.append(events)?;
            appended += events.len() as u64;
        }
        all_delivered(shared, appended)?;
        Ok(((appended - first) * SUBSCRIBERS) as f64 / begun.elapsed().as_secs_f64())
    };
    full_speed(job.seconds() / 4)?;
    let rate = full_speed(job.seconds())?;
    thread::sleep(Duration::from_millis(20));
    shared.timing.store(true, Ordering::Release);
    let begun = Instant::now();
    for tick in 1.. {
        let mut event = event::synthetic(appended);
        event.time = shared.now();
        peer.append(&[event])?;
        appended += 1;
        if begun.elapsed() >= job.seconds() {
            break;
        }
        thread::sleep((begun + PACE * tick).saturating_duration_since(Instant::now()));
    }
    all_delivered(shared, appended)?;
    Ok(rate)
}

fn all_delivered(shared: &Shared, appended: u64) -> Outcome<()> {
    let begun = Instant::now();
    while shared.delivered.load(Ordering::Acquire) < appended * SUBSCRIBERS {
        if begun.elapsed() > PATIENCE {
            let got = shared.delivered.load(Ordering::Acquire);
            return Err(Failure::Failed(format!("{got} deliveries instead of {}", appended * SUBSCRIBERS)));
        }
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}
