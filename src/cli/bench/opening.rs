//! Opening a log: after a close in order, after a kill of its writer, and after a loss of power.

use std::path::Path;

use annals::{Durability, Store};

use super::append::open;
use super::report::{Report, Row};
use super::sample::Latencies;
use super::{Effort, Scratch, image, remove, unless_interrupted};
use crate::cli::fail::Done;
use crate::cli::open::{close, reading};
use crate::cli::text;

/// No log takes longer to open, at five million events.
pub(super) const OPENING_AIM: f64 = 0.05;

fn row(name: &'static str, latencies: &mut Latencies) -> Row {
    Row::time("aims", name, latencies).aiming(OPENING_AIM)
}

/// A log that was closed in order.
pub(super) fn closed(path: &Path, durability: Durability, effort: Effort, report: &mut Report) -> Done {
    let (mut for_reading, mut for_writing) = (Latencies::default(), Latencies::default());
    for _ in 0..effort.runs {
        unless_interrupted()?;
        drop(for_reading.time(|| reading(path))?);
        let store = for_writing.time(|| open(path, durability))?;
        close(&store, path)?;
    }
    report.add(row("opening for reading, after a close", &mut for_reading));
    report.add(row("opening for writing, after a close", &mut for_writing));
    Ok(())
}

/// A log whose writer was killed: as it is, and as it would be found had the power been lost.
///
/// After a kill LIVE still says how far the writer was; a copy has another LIVE, which nobody believes, as after a start of
/// the system. The killed log itself can be opened for writing only once.
pub(super) fn abandoned(
    scratch: &Scratch,
    killed: &Path,
    durability: Durability,
    effort: Effort,
    report: &mut Report,
) -> Done {
    let mut times: [Latencies; 4] = Default::default();
    let mut notes: [String; 2] = Default::default();
    let [kill_reading, kill_writing, cut_reading, cut_writing] = &mut times;
    for _ in 0..effort.runs {
        unless_interrupted()?;
        drop(kill_reading.time(|| reading(killed))?);
        let path = scratch.fresh("copy");
        image::take(killed, &path)?;
        let store = cut_reading.time(|| reading(&path))?;
        notes[0] = newest(&store);
        drop(store);
        notes[1] = open_for_writing(&path, durability, cut_writing)?;
        remove(&path);
    }
    let mended = open_for_writing(killed, durability, kill_writing)?;
    let notes = ["LIVE is believed".to_owned(), format!("{}; {mended}", notes[0])]
        .into_iter()
        .chain([format!("looks through {}", notes[0]), format!("{}; {}", notes[0], notes[1])]);
    let names = match durability {
        Durability::Synced => [
            "opening for reading, killed, synced",
            "opening for writing, killed, synced",
            "opening for reading, power lost, synced",
            "opening for writing, power lost, synced",
        ],
        _ => [
            "opening for reading, killed, written",
            "opening for writing, killed, written",
            "opening for reading, power lost, written",
            "opening for writing, power lost, written",
        ],
    };
    for ((name, mut latencies), note) in names.into_iter().zip(times).zip(notes) {
        report.add(row(name, &mut latencies).noting(note));
    }
    Ok(())
}

/// Opens, and says what opening mended.
fn open_for_writing(path: &Path, durability: Durability, latencies: &mut Latencies) -> Done<String> {
    let store = latencies.time(|| open(path, durability))?;
    let recovery = store.recovery();
    let mended = format!(
        "{} written again, {} made",
        text::counted(recovery.rewritten, "event"),
        text::counted(recovery.rebuilt.len() as u64, "index file")
    );
    close(&store, path)?;
    Ok(mended)
}

/// What the newest segment holds, of which no slot says how far it is durable while events are appended.
fn newest(store: &Store) -> String {
    store.segments().last().map_or_else(String::new, |newest| {
        let events = (newest.last.get() + 1).saturating_sub(newest.first.get());
        format!("{}, {} in the newest segment", text::counted(events, "event"), text::bytes(newest.used_bytes))
    })
}
