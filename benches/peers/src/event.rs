//! The events that every peer is given: the synthetic ones of the library's own benchmarks, and real logs.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Subjects of the synthetic log; an event's subject is one of them, in no order.
pub(crate) const SUBJECTS: u64 = 10_000;
/// Types of the synthetic log.
pub(crate) const TYPES: u64 = 54;
/// The time of the synthetic event 0, in nanoseconds since 1970.
pub(crate) const TIME: i64 = 1_700_000_000_000_000_000;
/// Bytes of data of a synthetic event.
const DATA_BYTES: usize = 240;
/// What stands before the number in the data of a synthetic event; the number has ten digits.
const BEFORE_NUMBER: &str = "\",\"n\":1";

/// One event, before a peer has seen it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) subject: String,
    /// Empty: nobody.
    pub(crate) actor: String,
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) data: Vec<u8>,
}

impl Event {
    /// What a user would count as theirs: the strings, the time, the data.
    pub(crate) fn payload_bytes(&self) -> u64 {
        (self.kind.len() + self.subject.len() + self.actor.len() + 8 + self.data.len()) as u64
    }
}

/// An event as it is read back; it borrows from the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) kind: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) time: i64,
    pub(crate) data: &'a [u8],
}

/// The synthetic event of this number: 240 bytes of JSON, a subject of 1 in 10,000, 54 types, an actor, a time.
pub(crate) fn synthetic(number: u64) -> Event {
    Event {
        kind: format!("notes.kind{:02}.validated", number % TYPES),
        subject: subject_of(number),
        actor: "alice".to_owned(),
        time: TIME + number as i64,
        data: data_of(number),
    }
}

/// The subject of a synthetic event.
pub(crate) fn subject_of(number: u64) -> String {
    format!("note/n-{}", number.wrapping_mul(2_654_435_761) % SUBJECTS)
}

/// The data of a synthetic event, by which a reader can tell whether it is the one it should be.
pub(crate) fn data_of(number: u64) -> Vec<u8> {
    let mut data = Vec::with_capacity(DATA_BYTES);
    data.extend_from_slice(br#"{"content":""#);
    data.resize(DATA_BYTES - BEFORE_NUMBER.len() - 10, b'a' + (number % 26) as u8);
    data.extend_from_slice(marker_of(number).as_bytes());
    data.push(b'}');
    data
}

/// What stands in the data of this event and of no other.
pub(crate) fn marker_of(number: u64) -> String {
    format!("{BEFORE_NUMBER}{number:09}")
}

/// The number of a synthetic event by its data; `None` where the data is not that of any.
pub(crate) fn number_of(data: &[u8]) -> Option<u64> {
    let digits = data.get(DATA_BYTES - 10..DATA_BYTES - 1)?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (data_of(number) == data).then_some(number)
}

/// The file of each real log in a directory of test data, with the name that the figures give it.
pub(crate) fn real_logs(directory: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(short) = name.strip_suffix(".jsonl.zst") {
            found.push((short.split('-').next().unwrap_or(short).to_owned(), path));
        }
    }
    found.sort();
    found
}

/// The events of a real log: JSON lines with `type`, `subject`, `subject_type`, `actor`, `time` and `data`.
pub(crate) fn read_log(path: &Path) -> Result<Vec<Event>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let packed = fs::read(path).map_err(|error| told(&error))?;
    let mut text = String::new();
    let mut decoder = zstd::Decoder::new(&packed[..]).map_err(|error| told(&error))?;
    decoder.read_to_string(&mut text).map_err(|error| told(&error))?;
    text.lines().map(|line| read_line(line).map_err(|error| told(&error))).collect()
}

#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    subject_type: Option<String>,
    actor: Option<String>,
    time: String,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

fn read_line(line: &str) -> Result<Event, String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let time = annals::Timestamp::parse(&line.time).map_err(|error| error.to_string())?;
    let subject = match &line.subject_type {
        Some(kind) => format!("{kind}/{}", line.subject),
        None => line.subject,
    };
    Ok(Event {
        kind: line.kind,
        subject,
        actor: line.actor.unwrap_or_default(),
        time: time.as_nanos(),
        data: line.data.get().as_bytes().to_vec(),
    })
}
