//! What heads cost with the histories of ../shared/data, where they are there.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::json::ImportEvent;
use crate::{ImportOptions, Options, Query};

fn file(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("ANNALS_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")), PathBuf::from);
    let path = directory.join(name).with_extension("jsonl.zst");
    if path.exists() {
        return Some(path);
    }
    writeln!(std::io::stderr(), "SKIPPED: no {} (ANNALS_TEST_DATA)", path.display()).unwrap();
    None
}

/// The events of a file as a store holds them, their data replaced by zeros if asked for.
fn events(path: &Path) -> Vec<Event> {
    let directory = tempfile::tempdir().unwrap();
    let store = Options::default().background(false).open(directory.path()).unwrap();
    let reader = zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    let lines = BufReader::with_capacity(1 << 20, reader).split(b'\n');
    let import = lines.map(|line| ImportEvent::from_json(&line.unwrap()).unwrap());
    store.import(import, ImportOptions::default()).unwrap();
    let mut events = Vec::new();
    let each = |event: EventRef<'_>| {
        events.push(event.to_owned());
        ControlFlow::Continue(())
    };
    store.reader().scan(&Query::all(), each).unwrap();
    events
}

fn measure(name: &str, by_subject: bool) -> Option<f64> {
    let events = events(&file(name)?);
    let rows: Vec<Row<'_>> = events
        .iter()
        .zip(1..)
        .map(|(event, n)| Row {
            event: event.as_ref(),
            batch: BatchFacts { last_of_batch: n % 1_000 == 0 || n == events.len(), ..BatchFacts::default() },
        })
        .collect();
    let dictionary = dictionary_of(&rows);
    let mut bytes = Vec::new();
    dictionary.encode(&mut bytes);
    let per_event = |bytes: usize| bytes as f64 / rows.len() as f64;
    let (mut sections, mut heads) = (BTreeMap::<u8, usize>::new(), 0);
    let log = rows[0].event.head.log;
    for (index, rows) in rows.chunks(1_024).enumerate() {
        let head = head_of(rows, &dictionary, by_subject, 8_192).unwrap();
        heads += head.len();
        let count = u32::from_le_bytes(head[12..16].try_into().unwrap()) as usize;
        for entry in head[24..24 + 8 * count].chunks_exact(8) {
            *sections.entry(entry[0]).or_default() += u32::from_le_bytes(entry[4..].try_into().unwrap()) as usize;
        }
        *sections.entry(0).or_default() += 24 + 8 * count;
        // A few of them in full; the rest is the same.
        if index % 8 == 0 {
            let facts = BlockFacts { log, ..facts(rows) };
            let block = Block::parse(head.into(), facts, read_back(&dictionary)).unwrap();
            let (mut unpacked, mut scratch) = (Unpacked::default(), Scratch::default());
            block.unpack(&mut unpacked).unwrap();
            for (row, at) in rows.iter().zip(0..) {
                same(&block.event_unpacked(&unpacked, at, &mut scratch, row.event.data).unwrap(), row);
                if at % 16 == 0 {
                    same(&block.event(at, &mut scratch, row.event.data).unwrap(), row);
                }
            }
        }
    }
    let derivable = rows.iter().filter(|row| dictionary.id_is_derivable(&row.event)).count();
    let mut out = std::io::stderr().lock();
    let total = per_event(heads + bytes.len());
    writeln!(out, "{name}: {} events, heads {:.2}, dictionary {:.2} ({} B), together {total:.2} B/event; ids derivable {derivable}",
        rows.len(), per_event(heads), per_event(bytes.len()), bytes.len()).unwrap();
    for (section, bytes) in sections {
        write!(out, " {section}:{:.2}", per_event(bytes)).unwrap();
    }
    writeln!(out).unwrap();
    Some(total)
}

#[test]
fn heads_of_real_histories_are_small_and_come_back() {
    for (name, most) in [
        ("expenses-bpic2020-domestic", 5.5),
        ("wiki-edits-2015", 26.0),
        ("git-cargo", 14.0),
        ("github-2015-01-01-00", 22.0),
        ("notes-peps-sample", 21.0),
        ("loans-bpic2012", 6.0),
    ] {
        if let Some(bytes) = measure(name, name.starts_with("wiki")) {
            assert!(bytes <= most, "{name}: {bytes} bytes an event");
        }
    }
}

/// Measures: `cargo test --lib sealed::tests::real::speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn speed() {
    for name in ["loans-bpic2012", "wiki-edits-2015", "git-cargo"] {
        let Some(path) = file(name) else { continue };
        let events: Vec<Event> = events(&path).into_iter().take(40 * 1_024).collect();
        let rows: Vec<Row<'_>> =
            events.iter().map(|event| Row { event: event.as_ref(), batch: BatchFacts::default() }).collect();
        let mut out = std::io::stderr().lock();
        let mut tell = |what: &str, time: Duration, count: usize| {
            writeln!(out, "{name}: {what} {} ns", time.as_nanos() / count as u128).unwrap();
        };
        let start = Instant::now();
        let dictionary = dictionary_of(&rows);
        tell("dictionary, a row", start.elapsed(), rows.len());
        let start = Instant::now();
        let heads: Vec<Vec<u8>> =
            rows.chunks(1_024).map(|rows| head_of(rows, &dictionary, false, 8_192).unwrap()).collect();
        tell("encode, a row", start.elapsed(), rows.len());
        let read = read_back(&dictionary);
        let start = Instant::now();
        let facts = |rows: &[Row<'_>]| BlockFacts { log: rows[0].event.head.log, ..facts(rows) };
        let blocks: Vec<Block> = heads
            .into_iter()
            .zip(rows.chunks(1_024))
            .map(|(head, rows)| Block::parse(head.into(), facts(rows), Arc::clone(&read)).unwrap())
            .collect();
        tell("parse, a block", start.elapsed(), blocks.len());
        let memory = blocks.iter().map(Block::memory).sum::<usize>() / blocks.len();
        tell("memory, a block, bytes and no", Duration::from_nanos(memory as u64), 1);
        let (mut unpacked, mut scratch) = (Unpacked::default(), Scratch::default());
        let (mut columns, mut places, mut whole, mut alone) = <(Duration, Duration, Duration, Duration)>::default();
        for (block, rows) in blocks.iter().zip(rows.chunks(1_024)) {
            let start = Instant::now();
            block.unpack(&mut unpacked).unwrap();
            columns += start.elapsed();
            let start = Instant::now();
            for row in 0..block.rows() {
                black_box(block.payload_unpacked(&unpacked, row).unwrap());
            }
            places += start.elapsed();
            let start = Instant::now();
            for (row, at) in rows.iter().zip(0..) {
                black_box(block.event_unpacked(&unpacked, at, &mut scratch, row.event.data).unwrap());
            }
            whole += start.elapsed();
            let start = Instant::now();
            for (row, at) in rows.iter().zip(0..) {
                black_box(block.event(at, &mut scratch, row.event.data).unwrap());
            }
            alone += start.elapsed();
        }
        tell("unpack, a row", columns, rows.len());
        tell("place of a payload", places, rows.len());
        tell("event from unpacked columns", whole, rows.len());
        tell("event alone", alone, rows.len());
    }
}
