//! Opening a filled store that was closed in order, and the memory that it takes then and after a replay.

use std::time::Instant;

use super::{Case, Run, Spec, want};
use crate::child::{Job, Told, told};
use crate::event;
use crate::figures::Better;
use crate::peer::{Failure, Outcome};
use crate::process;

pub(crate) fn run(run: &mut Run) {
    let cases: &[Case<'_>] = &[
        ("open", "opening and one subject", "ms", Better::Lower),
        ("memory", "memory of its own, opened", "MiB", Better::Lower),
        ("replayed", "memory of its own, replayed", "MiB", Better::Lower),
    ];
    let peers = run.peers.clone();
    let spec = Spec { work: "open", child: "open", wants: vec![want("events", run.events)], cases, filled: true };
    run.measure(&peers, &spec);
}

/// Files are in the page cache; what is measured is what the peer does, not the disk.
pub(crate) fn child(job: &Job) -> Outcome<Told> {
    process::warm(&job.directory);
    let before = process::anonymous_mib();
    let begun = Instant::now();
    let peer = job.open()?;
    // A store that puts its work off until the first question is asked one.
    match peer.subject(&event::subject_of(job.number("events") / 2), &mut |_| {}) {
        Ok(()) | Err(Failure::Unsupported(_)) => {}
        Err(failure) => return Err(failure),
    }
    let open = begun.elapsed().as_secs_f64() * 1e3;
    let memory = process::anonymous_mib() - before;
    peer.replay(&mut |_| {})?;
    let replayed = process::anonymous_mib() - before;
    Ok(told(&[("open", open), ("memory", memory), ("replayed", replayed)]))
}
