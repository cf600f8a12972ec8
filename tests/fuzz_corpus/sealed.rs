//! Seeds of what sealed segments are made of: the golden store and a larger one, sealed on a simulated disk with a
//! clock that stands still, so that they are the same every time.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annals::sim::{ManualClock, Mode, SimStorage, Storage};
use annals::{Actor, Append, NewEvent, Query, Store, Timestamp};

use super::{damaged, seed};

const NOW: i64 = 1_767_225_600_000_000_000;

fn open(disk: &Arc<SimStorage>) -> Store {
    let clock = Arc::new(ManualClock::new(NOW));
    let options = Store::options().background(false).sealing(false).segment_bytes(1 << 20).clock(clock);
    options.open_on(disk.clone(), Path::new("/simulated")).unwrap()
}

/// A copy of the golden store on a disk of its own.
fn copied(store: &Path) -> Arc<SimStorage> {
    let disk = SimStorage::new();
    disk.create_dir_all(Path::new("log")).unwrap();
    let log = std::fs::read_dir(store.join("log")).unwrap().map(|entry| entry.unwrap().path());
    for path in log.chain([store.join("ANCHOR")]) {
        let bytes = std::fs::read(&path).unwrap();
        let file = disk.open(path.strip_prefix(store).unwrap(), Mode::CreateNew).unwrap();
        file.write_all_at(&mut [IoSlice::new(&bytes)], 0).unwrap();
        file.sync_data().unwrap();
    }
    disk
}

/// Two blocks with keys, ids of all sorts, tags and metadata.
fn larger() -> Arc<SimStorage> {
    let disk = SimStorage::new();
    let store = open(&disk);
    let mut number: u64 = 0;
    while number < 1_060 {
        let last = number + number % 31;
        let event = |number: u64| {
            let event = NewEvent::bytes(format!("t.{}", number % 4), format!("s/{}", number % 9), "", vec![0; 3])
                .actor(Actor::user(format!("u-{}", number % 3)));
            match number % 5 {
                0 => event.id(format!("e-{number}")),
                1 => event.id(format!("{:012x}", number.wrapping_mul(0x9e37_79b9_7f4a))),
                2 => event.tag("x").meta("m", "v"),
                _ => event,
            }
        };
        store.append_with(Append::new((number..=last).map(event)).key(format!("key-{number}"))).unwrap();
        number = last + 1;
    }
    store.close().unwrap();
    disk
}

pub(super) fn write_seeds(golden: &Path) {
    for (name, disk) in [("golden", copied(golden)), ("larger", larger())] {
        let store = open(&disk);
        store.seal().unwrap();
        for (path, file) in sealed_files(&disk) {
            let base = path.file_stem().unwrap().to_string_lossy().trim_start_matches('0').to_owned();
            let mut data = 0;
            let segment = store.segments().into_iter().find(|segment| segment.file == path).unwrap();
            let query = Query::all().after(segment.first.get() - 1).before(segment.last.get() + 1);
            for event in store.reader().read(&query) {
                data += event.unwrap().data().len();
            }
            file_seeds(&format!("{name}-{base}"), &file, data);
        }
        store.archive(Timestamp::from_nanos(i64::MAX), "/archive").unwrap();
        let (_, stub) = sealed_files(&disk).swap_remove(0);
        if stub.len() < 10_000 {
            seed("sealed", &format!("stub-{name}"), &stub);
        }
    }
}

fn sealed_files(disk: &SimStorage) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = disk.list(Path::new("log")).unwrap().into_iter().filter(|entry| entry.name.ends_with(".seg"));
    let read = |name: String| {
        let path = Path::new("log").join(name);
        let file = disk.open(&path, Mode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        (path, bytes)
    };
    entries.map(|entry| read(entry.name)).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn u64_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

fn with_len(first: &[u8], rest: &[u8]) -> Vec<u8> {
    [&(first.len() as u16).to_le_bytes(), first, rest].concat()
}

/// Seeds of one file, whose events have so many bytes of data.
fn file_seeds(name: &str, file: &[u8], data: usize) {
    seed("sealed", &format!("whole-{name}"), file);
    if file.len() < 10_000 {
        damaged("sealed", name, file);
    }
    let tail = &file[file.len() - 64..];
    let footer_at = u64_at(tail, 8);
    let footer = &file[footer_at..footer_at + u32_at(tail, 16)];
    seed("envelope", &format!("header-{name}"), &[&[0], &file[..128]].concat());
    seed("envelope", &format!("tail-{name}"), &[&[1], tail].concat());
    let footer_seed = [&[2], &file[40..48], footer].concat();
    seed("envelope", &format!("footer-{name}"), &footer_seed);
    damaged("envelope", &format!("footer-{name}"), &footer_seed);
    let count = usize::from(u16::from_le_bytes(footer[80..82].try_into().unwrap()));
    let table = &footer[footer.len() - count * 48..];
    let section = |id: u8| {
        let entry = table.chunks(48).find(|entry| entry[0] == id).unwrap();
        let at = u64_at(entry, 8);
        (&file[at..at + u64_at(entry, 16)], u64_at(entry, 24))
    };
    let (packed, raw_len) = section(2);
    let strings = zstd::bulk::decompress(packed, raw_len).unwrap();
    seed("dictionary", &format!("whole-{name}"), &strings);
    damaged("dictionary", name, &strings);
    let (pages, directory) = (section(3).0, section(4).0);
    let first_page = &pages[..u32_at(directory, 28)];
    let terms = [&[0][..], &with_len(directory, first_page)].concat();
    seed("terms", &format!("page-{name}"), &terms);
    damaged("terms", &format!("page-{name}"), &terms);
    if table.chunks(48).any(|entry| entry[0] == 5) {
        let filter = [&[1], section(5).0].concat();
        seed("terms", &format!("filter-{name}"), &filter);
        damaged("terms", &format!("filter-{name}"), &filter);
    }
    for (number, entry) in section(1).0.chunks(56).enumerate() {
        let head_at = u64_at(entry, 0);
        let head = &file[head_at..head_at + u32_at(entry, 8)];
        let block = with_len(&strings, head);
        seed("block", &format!("whole-{name}-{number}"), &block);
        damaged("block", &format!("{name}-{number}"), &block);
        // The page of a block that has just one.
        if u32_at(head, 4) == 1 && section(1).0.len() == 56 {
            let stored = &file[u64_at(head, 16)..head_at];
            let page = [&(data as u32).to_le_bytes()[..], &with_len(&[], stored)].concat();
            seed("payload", &format!("whole-{name}"), &page);
            damaged("payload", name, &page);
            let with_dictionary =
                [&(data as u32).to_le_bytes()[..], &with_len(b"lorem ipsum dolor sit amet", stored)].concat();
            seed("payload", &format!("dictionary-{name}"), &with_dictionary);
        }
    }
}
