//! The store in numbers: segments and statistics.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::format::header::Mode;
use crate::io::Storage;
use crate::log::shared::Log;
use crate::position::Position;
use crate::report::{Form, SegmentInfo, Stats};
use crate::segment::Segment;
use crate::segment::raw::RawSegment;
use crate::store::{Inner, Side};
use crate::time::Timestamp;

/// When a segment's first and last event were recorded; `None` if it has none, or they are damaged.
fn recorded(log: &Log, segment: &Segment) -> Option<(Timestamp, Timestamp)> {
    let at = |position| log.with_event(position, |event| event.recorded_at()).ok().flatten();
    let last = Position::new(segment.next().get() - 1);
    (last >= segment.base()).then(|| Some((at(segment.base())?, at(last)?)))?
}

pub(crate) fn segments(log: &Log) -> Vec<SegmentInfo> {
    let list = log.segments();
    let newest = list.0.len().saturating_sub(1);
    let info = |(index, segment): (usize, &Segment)| {
        let (form, raw_bytes, file_bytes, index_bytes) = match segment {
            Segment::Raw(raw) => {
                let form = if index == newest { Form::Active } else { Form::Rolled };
                let index_bytes = raw.index.read().idx.as_ref().map_or(0, |idx| idx.file_bytes());
                (form, segment.used_bytes(), raw.file_bytes(), index_bytes)
            }
            Segment::Sealed(sealed) => {
                let form = if sealed.footer.archived { Form::Archived } else { Form::Sealed };
                (form, sealed.footer.frame_bytes, sealed.file_bytes(), sealed.index_bytes())
            }
        };
        SegmentInfo {
            file: segment.path().to_owned(),
            form,
            synced: segment.mode() == Mode::Synced,
            epoch: segment.epoch(),
            first: segment.base(),
            last: Position::new(segment.next().get() - 1),
            recorded: recorded(log, segment),
            used_bytes: segment.used_bytes(),
            raw_bytes,
            file_bytes,
            index_bytes,
            dictionary_bytes: segment.sealed().map_or(0, |sealed| sealed.dictionary_bytes()),
            root: segment.sealed().map(|sealed| sealed.footer.after.root()),
        }
    };
    list.0.iter().enumerate().map(info).collect()
}

/// Lengths of all files of the store, in bytes.
fn all_bytes(storage: &dyn Storage) -> u64 {
    fn sum(storage: &dyn Storage, directory: &std::path::Path) -> u64 {
        let entries = storage.list(directory).unwrap_or_default();
        entries
            .iter()
            .map(|entry| if entry.is_dir { sum(storage, &directory.join(&entry.name)) } else { entry.len })
            .sum()
    }
    sum(storage, "".as_ref())
}

pub(crate) fn stats(inner: &Inner) -> Stats {
    let log = &inner.log;
    let list = log.segments();
    let memory = |raw: &Arc<RawSegment>| {
        raw.index
            .read()
            .mem
            .as_ref()
            .map_or((0, 0), |mem| (mem.bytes() as u64, u64::from(mem.end_row() - mem.first_row())))
    };
    let (index_memory_bytes, index_memory_events) =
        list.raw().map(memory).fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    let at = |position| log.with_event(position, |event| event.recorded_at()).ok().flatten();
    let counters = match &inner.side {
        Side::Writer { committer, .. } => Some(committer.core()),
        Side::Reader(_) => None,
    };
    let count = |pick: fn(&crate::log::core::Counters) -> u64| counters.map_or(0, |core| pick(&core.counters));
    let stored = inner.snapshots.summary();
    Stats {
        log: log.id,
        epoch: list.0.last().map_or(0, Segment::epoch),
        tail: log.tail(),
        durable: log.durable().min(log.tail()),
        recorded: at(Position::new(1)).zip(at(log.tail())),
        segments: list.0.len() as u64,
        log_bytes: list.0.iter().map(Segment::used_bytes).sum(),
        file_bytes: all_bytes(&*log.storage),
        index_memory_bytes,
        index_memory_events,
        snapshots: stored.snapshots,
        snapshot_bytes: stored.bytes,
        snapshots_written: stored.written,
        snapshots_ignored: stored.ignored,
        snapshots_ignored_why: stored.ignored_why,
        appends: count(|counters| counters.appends.load(Ordering::Relaxed)),
        groups: count(|counters| counters.groups.load(Ordering::Relaxed)),
        slowest_append: Duration::from_nanos(count(|counters| counters.slowest_append_ns.load(Ordering::Relaxed))),
        poisoned: counters.and_then(|core| core.poison.reason()),
        sealing_failed: counters.and_then(|core| core.jobs.seal_failure().or_else(|| core.tiers.failure())),
        lookup_runs: list.1.0.len() as u64,
        lookup_bytes: list.1.0.iter().map(|tier| tier.file.file_bytes()).sum(),
        distrusted: log.distrusted.lock().clone(),
    }
}
