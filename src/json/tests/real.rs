//! The histories of ../shared/data, where they are there: optional test data beside the repository.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::Instant;

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
    for path in files() {
        let lines: Vec<_> = lines(&path).take(50_000).collect();
        let bytes: usize = lines.iter().map(Vec::len).sum();
        let start = Instant::now();
        for line in &lines {
            std::hint::black_box(ImportEvent::from_json(line).unwrap());
        }
        let reading = start.elapsed();

        let imports: Vec<_> = lines.iter().map(|line| ImportEvent::from_json(line).unwrap()).collect();
        let mut out = Vec::new();
        let mut writing = std::time::Duration::ZERO;
        for import in &imports {
            stored(import.event(), 1, |event| {
                out.clear();
                let start = Instant::now();
                for _ in 0..8 {
                    out.clear();
                    write_event(event, &mut out);
                }
                writing += start.elapsed();
                std::hint::black_box(&out);
            });
        }
        let rate = |events: usize, time: std::time::Duration| events as f64 / time.as_secs_f64() / 1e6;
        writeln!(
            std::io::stderr(),
            "{}: {} lines of {} bytes; read {:.2} M/s, write {:.2} M/s",
            path.file_name().unwrap().to_string_lossy(),
            lines.len(),
            bytes / lines.len(),
            rate(lines.len(), reading),
            rate(lines.len() * 8, writing),
        )
        .unwrap();
    }
}
