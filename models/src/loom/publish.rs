//! Publishing within a process: who sees a tail sees everything below it, in the segment that holds it.

use std::path::PathBuf;
use std::sync::Arc;

use loom::thread;

use super::check;
use super::disk::Stub;
use crate::event::LogId;
use crate::format::frame::FIRST_OFFSET;
use crate::format::header::{Mode, SegmentHeader};
use crate::io::map::Region;
use crate::io::{Mapping, Storage};
use crate::log::files;
use crate::log::shared::{Log, Segments};
use crate::log::tiers::Tiers;
use crate::models::Model;
use crate::position::Position;
use crate::segment::Segment;
use crate::segment::raw::RawSegment;
use crate::segment::sealed::shelf::Shelf;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;

/// Bytes of one event's frame here; what they are does not matter.
const FRAME: u64 = 64;

pub(super) fn models() -> Vec<Model> {
    vec![
        Model {
            name: "publish",
            claim: "who sees a tail sees the bytes below it, their segment's end and their durability",
            controls: &["release:log/shared.rs", "acquire:log/shared.rs"],
            run: |_| check(|| run(false, true, Shared::read)),
        },
        Model {
            name: "publish-segment",
            claim: "who asks the segment alone sees the end that goes with its next position, and the bytes below it",
            controls: &["release:segment/raw.rs", "acquire:segment/raw.rs"],
            run: |_| check(|| run(false, true, Shared::read_segment)),
        },
        Model {
            name: "publish-region",
            claim: "who asks the mapping alone sees the bytes below what it says is published",
            controls: &["release:io/map.rs", "acquire:io/map.rs"],
            run: |_| check(|| run(false, true, Shared::read_region)),
        },
        Model {
            name: "publish-mapping",
            claim: "a mapping that is made while an event is published shows that event",
            controls: &["release:log/shared.rs"],
            run: |_| check(|| run(false, false, Shared::read)),
        },
        Model {
            name: "publish-roll",
            claim: "who sees a tail in a new segment finds that segment in the list",
            controls: &["release:log/shared.rs"],
            run: |_| check(|| run(true, true, Shared::read)),
        },
    ]
}

struct Shared {
    log: Log,
    regions: [Arc<Region>; 2],
    /// Event `n` was written: stored before its bytes are, and with no ordering of its own.
    written: [AtomicU64; 2],
}

fn segment(storage: &Arc<dyn Storage>, base: u64) -> Arc<RawSegment> {
    let header = SegmentHeader {
        mode: Mode::Synced,
        log: LogId([1; 16]),
        base: Position::new(base),
        epoch: 1,
        salt: 1,
        created_at: Timestamp::from_nanos(0),
        segment_bytes: 1 << 16,
    };
    let path = files::raw(Position::new(base));
    Arc::new(RawSegment::new(Arc::clone(storage), path, header, FIRST_OFFSET, Position::new(base)))
}

/// Two events are published, the second one in a segment of its own if `rolls`; another thread reads whatever it is
/// told is there. The first segment's mapping is made before, or by the reader.
fn run(rolls: bool, is_mapped: bool, read: fn(&Shared, bool)) {
    let region = || Arc::new(Region::on_heap(FIRST_OFFSET, FIRST_OFFSET + 2 * FRAME).unwrap());
    let regions = [region(), region()];
    let names: [PathBuf; 2] = [1, 2].map(|base| files::raw(Position::new(base)));
    let storage: Arc<dyn Storage> = Arc::new(Stub::new(names.into_iter().zip(regions.clone()).collect()));
    let first = segment(&storage, 1);
    if is_mapped {
        first.mapping().unwrap();
    }
    let list = Segments(vec![Segment::Raw(Arc::clone(&first))], Tiers::default());
    let shelf = Arc::new(Shelf::new(0));
    let log = Log::new(Arc::clone(&storage), LogId([1; 16]), shelf, list, Position::ORIGIN, Position::ORIGIN);
    let shared = Arc::new(Shared { log, regions, written: [AtomicU64::new(0), AtomicU64::new(0)] });

    let reader = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || read(&shared, rolls))
    };
    shared.publish(&first, 1, 0);
    if rolls {
        let second = segment(&storage, 2);
        shared.log.push_segment(Arc::clone(&second));
        shared.publish(&second, 2, 1);
    } else {
        shared.publish(&first, 2, 0);
    }
    reader.join().unwrap();
    read(&shared, rolls);
}

impl Shared {
    fn place(position: u64, rolls: bool) -> (usize, u64) {
        if rolls { ((position - 1) as usize, FIRST_OFFSET) } else { (0, FIRST_OFFSET + (position - 1) * FRAME) }
    }

    /// As `Writer::publish` does it.
    fn publish(&self, segment: &RawSegment, position: u64, region: usize) {
        let offset = segment.end();
        self.written[(position - 1) as usize].store(1, Ordering::Relaxed);
        self.regions[region].write(offset, &[position as u8; FRAME as usize]);
        segment.publish(offset + FRAME, Position::new(position + 1));
        self.log.set_durable(Position::new(position));
        self.log.set_tail(Position::new(position));
    }

    fn read(&self, rolls: bool) {
        let tail = self.log.tail();
        assert!(self.log.durable() >= tail, "the tail was seen before its durability");
        for position in 1..=tail.get() {
            let found = self.log.segment_at(Position::new(position)).unwrap();
            let (segment, row) = found.expect("it is below the tail");
            let raw = segment.raw().unwrap();
            let (region, offset) = Shared::place(position, rolls);
            assert_eq!((raw.base().get() as usize - 1, row), (region, (position - 1) as u32 - region as u32));
            assert!(raw.end() >= offset + FRAME, "the end of the segment was not seen");
            let bytes = raw.mapping().unwrap().bytes(offset..offset + FRAME).expect("published bytes are shown");
            assert_eq!(self.written[(position - 1) as usize].load(Ordering::Relaxed), 1, "bytes shown before written");
            assert_eq!(bytes, [position as u8; FRAME as usize]);
        }
    }

    /// By what the segment says, whatever the tail is.
    fn read_segment(&self, _: bool) {
        let segments = self.log.segments();
        let raw = segments.newest().unwrap();
        let next = raw.next().get();
        let end = raw.end();
        assert!(end >= FIRST_OFFSET + (next - 1) * FRAME, "the end of the segment was not seen");
        for position in 1..next {
            assert_eq!(self.written[(position - 1) as usize].load(Ordering::Relaxed), 1, "shown before written");
        }
        raw.mapping().unwrap().bytes(FIRST_OFFSET..end).expect("published bytes are shown");
    }

    /// By what the mapping says, whatever segment and tail do.
    fn read_region(&self, _: bool) {
        let end = self.regions[0].published();
        let events = end.saturating_sub(FIRST_OFFSET) / FRAME;
        for event in 0..events {
            assert_eq!(self.written[event as usize].load(Ordering::Relaxed), 1, "shown before written");
        }
    }
}
