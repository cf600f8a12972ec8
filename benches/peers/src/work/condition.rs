//! Conditional appends of one event on a filled store, nothing forced: what the condition costs, and a refusal.

use std::time::Instant;

use super::{Case, Run, Spec, want};
use crate::child::{Job, Told, told};
use crate::event::{self, Event, SUBJECTS};
use crate::figures::{Better, median};
use crate::peer::{Failure, Outcome};
use crate::process;

/// Appends of each kind in a round, of which the first half warms up.
const APPENDS: u64 = 1_000;
/// As many for a peer that forces each to disk.
const FORCED: u64 = 60;

pub(crate) fn run(run: &mut Run) {
    let cases: &[Case<'_>] = &[
        ("plain", "no condition", "us", Better::Lower),
        ("expected", "expected version, accepted", "us", Better::Lower),
        ("unless", "nothing since, accepted", "us", Better::Lower),
        ("refused", "expected version, refused", "us", Better::Lower),
        ("stale", "nothing since, refused", "us", Better::Lower),
    ];
    let peers = run.appenders();
    let spec =
        Spec { work: "condition", child: "condition", wants: vec![want("events", run.events)], cases, filled: true };
    run.measure(&peers, &spec);
}

pub(crate) fn child(job: &Job) -> Outcome<Told> {
    let appends = if job.about.written.is_some() { APPENDS } else { FORCED };
    process::warm(&job.directory);
    let peer = job.open()?;
    let peer = peer.as_ref();
    let tail = peer.tail();
    let mut answer = Told::new();
    let mut keep = |name: &str, outcome: Outcome<f64>| match outcome {
        Ok(value) => answer.extend(told(&[(name, value)])),
        Err(failure) => {
            answer.insert(format!("no {name}"), failure.text().into());
        }
    };
    let plain = |_: &Event| Ok(0);
    keep("plain", times(appends, plain, |event, _| peer.append(std::slice::from_ref(event))));
    let version = |event: &Event| peer.version(&event.subject);
    keep("expected", times(appends, version, |event, version| peer.append_expecting(event, version)));
    keep("unless", times(appends, |_| peer.tail(), |event, tail| peer.append_unless(event, tail)));
    // Every subject has an event, and most have a hundred.
    let behind = |event: &Event| Ok(peer.version(&event.subject)?.saturating_sub(1));
    keep("refused", times(appends, behind, |event, version| refused(peer.append_expecting(event, version))));
    let old = |_: &Event| Ok(tail.clone()?.saturating_sub(5 * SUBJECTS));
    keep("stale", times(appends, old, |event, after| refused(peer.append_unless(event, after))));
    Ok(answer)
}

fn refused(outcome: Outcome<()>) -> Outcome<()> {
    match outcome {
        Err(Failure::Conflict) => Ok(()),
        Ok(()) => Err(Failure::Failed("accepted what it had to refuse".to_owned())),
        Err(failure) => Err(failure),
    }
}

/// The median of so many appends in microseconds; what each is told of the store is asked before its clock runs.
fn times(
    appends: u64,
    ask: impl Fn(&Event) -> Outcome<u64>,
    append: impl Fn(&Event, u64) -> Outcome<()>,
) -> Outcome<f64> {
    let mut taken = Vec::new();
    for number in 0..appends {
        let event = event::synthetic(number * 13);
        let known = ask(&event)?;
        let begun = Instant::now();
        append(&event, known)?;
        taken.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    median(taken.get(taken.len() / 2..).unwrap_or_default()).ok_or(Failure::Failed("no append".to_owned()))
}
