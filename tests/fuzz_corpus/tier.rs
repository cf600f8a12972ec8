//! Seeds of lookup tiers: a run over sixteen small segments on a simulated disk, the same every time.

use std::path::Path;
use std::sync::Arc;

use annals::sim::{ManualClock, Mode, SimStorage, Storage};
use annals::{NewEvent, Store};

use super::{damaged, seed};

pub(super) fn write_seeds() {
    let disk = SimStorage::new();
    let clock = Arc::new(ManualClock::new(1_767_225_600_000_000_000));
    let options = Store::options().background(false).segment_bytes(64 << 10).clock(clock);
    let store = options.open_on(disk.clone(), Path::new("/simulated")).unwrap();
    for segment in 0..16u64 {
        let event = |n: u64| {
            let subject = format!("s/{}", n % 11 + segment / 3);
            NewEvent::bytes("t", subject, "", *b"x").id(format!("wiki15-{}", segment * 20 + n))
        };
        store.append((0..20).map(event)).unwrap();
        store.seal().unwrap();
    }
    let run = disk.list(Path::new("index")).unwrap().pop().unwrap();
    let file = disk.open(&Path::new("index").join(run.name), Mode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    let space: Vec<u8> = bytes[4096..].chunks(4096).flat_map(|page| &page[..4064]).copied().collect();
    let end = space.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let input = [&bytes[..128], &space[..end]].concat();
    seed("tier", "whole", &input);
    damaged("tier", "whole", &input);
}
