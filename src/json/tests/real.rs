//! The histories of ../shared/data, where they are there: optional test data beside the repository.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::stored;
use crate::json::{ImportEvent, write_event};
use crate::time::Timestamp;

/// All files, or none and a word about it that no test harness swallows.
fn files() -> Vec<PathBuf> {
    let directory = std::env::var_os("ANNALS_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")), PathBuf::from);
    let entries = std::fs::read_dir(&directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(".jsonl.zst")).collect();
    if files.is_empty() {
        writeln!(std::io::stderr(), "SKIPPED: no *.jsonl.zst in {} (ANNALS_TEST_DATA)", directory.display()).unwrap();
    }
    files
}

fn lines(path: &PathBuf) -> impl Iterator<Item = Vec<u8>> {
    let reader = zstd::Decoder::new(File::open(path).unwrap()).unwrap();
    BufReader::with_capacity(1 << 20, reader).split(b'\n').map(|line| line.unwrap())
}

#[test]
fn every_line_of_real_histories_is_an_event() {
    for path in files() {
        for (index, line) in lines(&path).enumerate() {
            let place = || format!("{}, line {}", path.display(), index + 1);
            let import = ImportEvent::from_json(&line).unwrap_or_else(|error| panic!("{}: {error}", place()));
            let event = import.event();

            // Quotes in texts are escaped, so the first `,"data":` is the member; it is the last one.
            let text = str::from_utf8(&line).unwrap();
            let (_, data) = text.split_once(r#","data":"#).unwrap();
            assert_eq!(event.data(), data.strip_suffix('}').unwrap().as_bytes(), "{}", place());
            assert_eq!(event.content_type_str(), "application/json");

            // The rest by another way, and there and back; some of the lines will do.
            if index % 8 != 0 {
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let field = |name: &str| value[name].as_str().unwrap_or_default();
            assert_eq!(event.id_str(), field("id"), "{}", place());
            assert_eq!(event.event_type(), field("type"), "{}", place());
            assert_eq!(event.subject(), format!("{}/{}", field("subject_type"), field("subject")), "{}", place());
            assert_eq!(event.actor_parts().map_or("", |(_, id)| id), field("actor"), "{}", place());
            assert_eq!(event.source_str(), field("source"), "{}", place());
            assert_eq!(event.occurred(), Timestamp::parse(field("time")).ok(), "{}", place());
            assert_eq!(event.meta_strs().len() + event.tag_strs().len(), 0, "{}", place());
            stored(event, 1 + index as u64, |stored| {
                let line = stored.to_json();
                let again = ImportEvent::from_json(line.as_bytes()).unwrap();
                assert!(import.content_equals(stored, None) && again.content_equals(stored, None), "{}", place());
                assert!(line.ends_with(&format!(r#""data":{data}"#)), "{}", place());
            });
        }
    }
}

/// Measures, in a release build: `cargo test --release --lib json::tests::real -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn speed() {
    // Few lines at a time and the best of many runs: what else the machine does then hardly counts.
    let best = |work: &mut dyn FnMut()| {
        let run = |_| {
            let start = Instant::now();
            work();
            start.elapsed()
        };
        (0..200).map(run).min().unwrap_or_default()
    };
    for path in files() {
        let lines: Vec<_> = lines(&path).skip(200).take(64).collect();
        let imports: Vec<_> = lines.iter().map(|line| ImportEvent::from_json(line).unwrap()).collect();
        let reading = best(&mut || lines.iter().for_each(|line| drop(black_box(ImportEvent::from_json(line)))));
        let mut out = Vec::new();
        let writing = imports.iter().map(|import| {
            stored(import.event(), 1, |event| {
                best(&mut || {
                    out.clear();
                    write_event(black_box(event), &mut out);
                })
            })
        });
        let writing: Duration = writing.sum();
        let each = |time: Duration| time.as_nanos() / lines.len() as u128;
        let bytes = lines.iter().map(Vec::len).sum::<usize>() / lines.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{name}: lines of {bytes} bytes; read {} ns, write {} ns", each(reading), each(writing));
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
}
