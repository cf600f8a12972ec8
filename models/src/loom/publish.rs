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
            controls: &["release:log/shared.rs", "release:segment/raw.rs", "acquire:log/shared.rs"],
            run: |_| check(|| run(false, true)),
        },
        Model {
            name: "publish-mapping",
            claim: "a mapping that is made while an event is published shows that event",
            controls: &["release:log/shared.rs"],
            run: |_| check(|| run(false, false)),
        },
        Model {
            name: "publish-roll",
            claim: "who sees a tail in a new segment finds that segment in the list",
            controls: &["release:log/shared.rs"],
            run: |_| check(|| run(true, true)),
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
fn run(rolls: bool, is_mapped: bool) {
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
        thread::spawn(move || shared.read(rolls))
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
    shared.read(rolls);
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
}
