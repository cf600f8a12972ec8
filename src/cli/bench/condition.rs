//! Conditions: what a refusal takes, and what a condition adds to an append that is done.
//!
//! Refusals are measured the second time, when the pages that they look at are mapped; what the first time took is said.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use annals::{Append, AppendError, Durability, Expected, Store};

use super::append::{open, refused};
use super::population::Sort;
use super::report::{Report, Row};
use super::sample::{Latencies, median};
use super::workload::Workload;
use super::{Effort, unless_interrupted};
use crate::cli::fail::{Code, Done, Failure};
use crate::cli::open::close;
use crate::cli::text;

/// A refusal takes no longer, in seconds.
const REFUSED_AIM: f64 = 5e-6;
/// Percent that a condition adds at most.
const COST_AIM: f64 = 15.0;

/// Goes on with a log that was closed, synced from now on.
pub(super) fn all(path: &Path, subjects: u64, effort: Effort, report: &mut Report) -> Done {
    let store = open(path, Durability::Synced)?;
    let mut workload = Workload::new(1);
    for (sort, name) in
        [(Sort::Once, "refused: the subject has an event"), (Sort::Far, "refused: it has ten, spread over the log")]
    {
        let mut first = refusals(&store, &mut workload, (sort, subjects), path)?;
        let mut again = refusals(&store, &mut workload, (sort, subjects), path)?;
        let note = format!("{} the first time", text::span(first.percentile(50).unwrap_or_default()));
        report.add(Row::time("aims", name, &mut again).aiming(REFUSED_AIM).noting(note));
    }
    cost(&store, &mut workload, effort, path, report)?;
    close(&store, path)
}

/// Appends that would make subjects which are there.
fn refusals(store: &Store, workload: &mut Workload, (sort, subjects): (Sort, u64), path: &Path) -> Done<Latencies> {
    let mut latencies = Latencies::default();
    for number in 0..subjects {
        let append = Append::new([workload.event()]).expect(sort.subject(number), Expected::NoSubject);
        match latencies.time(|| store.append_with(append)) {
            Err(AppendError::Conflict { .. }) => {}
            Err(error) => return Err(refused(error, path)),
            Ok(_) => return Err(Failure::new(Code::Failure, "an append was done whose condition did not hold")),
        }
    }
    Ok(latencies)
}

/// Appends of one event with and without a condition, in turn.
fn cost(store: &Store, workload: &mut Workload, effort: Effort, path: &Path, report: &mut Report) -> Done {
    // The version of each subject that was appended to, which is what the next append expects.
    let mut versions = HashMap::<String, u64>::new();
    let mut ratios = Vec::new();
    let (mut all_with, mut all_without) = (Latencies::default(), Latencies::default());
    for _ in 0..effort.runs {
        let (mut with, mut without) = (Latencies::default(), Latencies::default());
        let began = Instant::now();
        while began.elapsed() < effort.run {
            unless_interrupted()?;
            for conditional in [true, false, false, true] {
                let event = workload.event();
                let subject = event.subject().to_owned();
                let version = match versions.get(&subject) {
                    Some(version) => *version,
                    None => store.reader().version(&subject).map_err(|error| Failure::of_store(&error, path))?,
                };
                versions.insert(subject.clone(), version + 1);
                let append = Append::new([event]);
                let done = if conditional {
                    let append = append.expect(subject, Expected::Exactly(version));
                    with.time(|| store.append_with(append))
                } else {
                    without.time(|| store.append_with(append))
                };
                done.map_err(|error| refused(error, path))?;
            }
        }
        let middle = |latencies: &mut Latencies| latencies.percentile(50).unwrap_or_default().as_secs_f64().max(1e-9);
        ratios.push(100.0 * (middle(&mut with) / middle(&mut without) - 1.0));
        all_with.extend(with);
        all_without.extend(without);
    }
    let times = [&mut all_with, &mut all_without].map(|latencies| latencies.percentile(50).unwrap_or_default());
    let note = format!("{} with it, {} without", text::span(times[0]), text::span(times[1]));
    let row = Row::new("aims", "what a condition adds to a synced append", "percent", median(ratios.clone()));
    report.add(Row { runs: ratios, ..row.aiming(COST_AIM).noting(note) });
    Ok(())
}
