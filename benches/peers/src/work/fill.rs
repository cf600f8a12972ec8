//! Filling a store, in batches of 1,000 or, in a long run, of 100: what the slowest append took, what it all cost, and the store that reading,
//! opening, conditions and faults are measured on.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::{Case, Run, Spec, want};
use crate::child::{Job, Told, told};
use crate::event::{self, Event};
use crate::figures::{Better, quantile};
use crate::peer::Outcome;
use crate::process;

pub(crate) fn run(run: &mut Run) {
    let (batch, name) = if run.long { (100, "100") } else { (1_000, "1,000") };
    let [rate, p50, p999, slowest] = ["all events", "p50", "p99.9", "slowest"].map(|what| match what {
        "all events" => format!("batches of {name}, all events"),
        _ => format!("append of {name}: {what}"),
    });
    let cases: &[Case<'_>] = &[
        ("rate", &rate, "events/s", Better::Higher),
        ("p50_us", &p50, "us", Better::Lower),
        ("p999_us", &p999, "us", Better::Lower),
        ("max_ms", &slowest, "ms", Better::Lower),
        ("cpu", "processor time per million", "s", Better::Lower),
        ("memory", "memory of its own, at most", "MiB", Better::Lower),
        ("amplification", "bytes written / bytes given", "times", Better::Lower),
        ("bytes", "bytes on disk per event", "bytes", Better::Lower),
        ("pack", "packing", "events/s", Better::Higher),
    ];
    let peers = run.peers.clone();
    // Each round begins anew, and the last leaves its store: the filled directory is emptied by the process itself.
    let rounds = std::mem::replace(&mut run.rounds, if run.long { 3 } else { 1 });
    let spec = Spec {
        work: "fill",
        child: "fill",
        wants: vec![want("events", run.events), want("batch", batch)],
        cases,
        filled: true,
    };
    run.measure(&peers, &spec);
    run.rounds = rounds;
}

/// Appends so many synthetic events, or those of a file, into an empty directory.
pub(crate) fn child(job: &Job) -> Outcome<Told> {
    let _ = fs::remove_dir_all(&job.directory);
    let real = match job.text("file") {
        Some(path) => event::read_log(Path::new(path)).map_err(crate::peer::Failure::Failed)?,
        None => Vec::new(),
    };
    let batch = job.number("batch").max(100);
    let events = if real.is_empty() { job.number("events") } else { real.len() as u64 };
    let (cpu_before, written_before) = (process::cpu_seconds(), process::written_bytes());
    // What was read of a file stays in memory all the while, and is not the peer's.
    let memory_before = process::anonymous_mib();
    let peer = job.open()?;
    let (mut times, mut payload, mut own_cpu) = (Vec::new(), 0u64, 0.0);
    let mut memory = 0.0f64;
    let mut made: Vec<Event> = Vec::new();
    for first in (0..events).step_by(batch as usize) {
        let end = (first + batch).min(events);
        let before = process::thread_cpu_seconds();
        made.clear();
        if real.is_empty() {
            made.extend((first..end).map(event::synthetic));
        } else {
            made.extend(real.get(first as usize..end as usize).unwrap_or_default().iter().cloned());
        }
        payload += made.iter().map(Event::payload_bytes).sum::<u64>();
        own_cpu += process::thread_cpu_seconds() - before;
        let before = Instant::now();
        peer.append(&made)?;
        times.push(before.elapsed().as_nanos() as u64);
        if first.is_multiple_of(50_000) {
            memory = memory.max(process::anonymous_mib() - memory_before);
        }
    }
    memory = memory.max(process::anonymous_mib() - memory_before);
    let seconds = times.iter().sum::<u64>() as f64 / 1e9;
    let packed = Instant::now();
    let pack = peer.pack().is_ok().then(|| events as f64 / packed.elapsed().as_secs_f64());
    peer.close()?;
    let cpu = process::cpu_seconds() - cpu_before - own_cpu;
    let written = process::written_bytes() - written_before;
    times.sort_unstable();
    let mut answer = told(&[
        ("rate", events as f64 / seconds),
        ("p50_us", quantile(&times, 0.5) / 1e3),
        ("p999_us", quantile(&times, 0.999) / 1e3),
        ("max_ms", quantile(&times, 1.0) / 1e6),
        ("cpu", cpu * 1e6 / events as f64),
        ("memory", memory),
        ("amplification", written / payload as f64),
        ("bytes", process::disk_bytes(&job.directory) / events as f64),
        ("given", payload as f64 / events as f64),
    ]);
    if let Some(rate) = pack {
        // It appended as its unpacked twin did, whose figures are those of appending.
        answer.retain(|name, _| ["cpu", "amplification", "bytes"].contains(&name.as_str()));
        answer.extend(told(&[("pack", rate)]));
    }
    Ok(answer)
}
