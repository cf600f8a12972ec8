//! The slowest append of a long run over several changes of segment, the memory of its index, and opening what its
//! writer leaves behind when it is killed.

use std::path::Path;
use std::time::Duration;

use annals::Durability;

use super::report::{Report, Row};
use super::sample::{Latencies, median};
use super::writer::{self, BATCH, LOOK_EVERY, Told};
use super::{Effort, Scratch, WRITTEN, disk, memory, opening, remove};
use crate::cli::fail::Done;
use crate::cli::text;

/// The slowest append takes less, in seconds; and in syncs, where it is synced.
const WRITTEN_AIM: f64 = 0.02;
const SYNCS_AIM: f64 = 10.0;
/// How long the bare loop may take for as many events.
const BARE_TIME_MAX: Duration = Duration::from_secs(60);

fn row(told: &Told, name: &'static str, aim: f64, note: String) -> Row {
    let time = |nanos| Some(Duration::from_nanos(nanos));
    let row = Row::new("aims", name, "seconds", told.slowest as f64 / 1e9).aiming(aim).noting(note);
    Row { p50: time(told.p50), p99: time(told.p99), ..row }
}

/// A run of `Synced` appends, beside the syncs of as many bytes.
pub(super) fn synced(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("killed");
    let told = run(&path, Durability::Synced, effort, report)?;
    let bare = scratch.fresh("bare");
    let (_, _, mut syncs) = disk::synced(&bare, told.batch_bytes, effort.run)?;
    remove(&bare);
    let (sync, slowest) = (syncs.percentile(50).unwrap_or_default(), syncs.percentile(100).unwrap_or_default());
    let note = format!(
        "{:.1} bare writes and syncs of {}, the slowest of which took {}; {}",
        told.slowest as f64 / (sync.as_nanos() as f64).max(1.0),
        text::span(sync),
        text::span(slowest),
        text::counted(told.rolls, "roll"),
    );
    report.add(row(&told, "slowest append, synced, batches of 100", SYNCS_AIM * sync.as_secs_f64(), note));
    opening::abandoned(scratch, &path, Durability::Synced, effort, report)?;
    remove(&path);
    Ok(())
}

/// A run of `Written` appends, beside the bare loop of as many bytes.
pub(super) fn written(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("killed");
    let told = run(&path, WRITTEN, effort, report)?;
    let bare = scratch.fresh("bare");
    let mut batches = Latencies::default();
    disk::framed(&bare, BATCH as usize, told.batch_bytes, (BARE_TIME_MAX, effort.events), Some(&mut batches))?;
    remove(&bare);
    let note = format!(
        "the slowest of the bare loop {}; {}",
        text::span(batches.percentile(100).unwrap_or_default()),
        text::counted(told.rolls, "roll"),
    );
    report.add(row(&told, "slowest append, written, batches of 100", WRITTEN_AIM, note));
    report.add(index_row(told.index_bytes));
    opening::abandoned(scratch, &path, WRITTEN, effort, report)?;
    remove(&path);
    Ok(())
}

fn run(path: &Path, durability: Durability, effort: Effort, report: &mut Report) -> Done<Told> {
    writer::run_and_kill(path, durability, effort.events, || match durability {
        Durability::Synced => memory::of_a_reader(path, "memory of a reader, beside a writer", report),
        _ => Ok(()),
    })
}

/// Of the active segment, and of full ones that wait for their index file.
fn index_row(each: Vec<f64>) -> Row {
    let (least, most) =
        each.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), each| (least.min(*each), most.max(*each)));
    let row = Row::new("aims", "index in memory, bytes an event", "bytes each", f64::NAN);
    if each.is_empty() {
        return row;
    }
    let note = format!("{least:.0} to {most:.0}, looked at every {} events", text::count(LOOK_EVERY * BATCH));
    Row { value: median(each.clone()), runs: each, ..row.noting(note) }
}
