//! The events of an input: read and parsed on a thread of their own, handed over in chunks.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use annals::{ImportEvent, limits};

use crate::cli::interrupt;
use crate::cli::lines::{Line, Lines};
use crate::cli::text;

use super::rejects::Rejects;

/// Events of one chunk at most.
const CHUNK_EVENTS: usize = 256;
/// Bytes of lines of one chunk, unless a single line is longer.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that wait to be taken: enough that neither side waits for the other's odd moment.
const CHUNKS_AHEAD: usize = 4;
/// How long to wait for a silent pipe before looking whether Ctrl-C was pressed.
const LOOK_AROUND: Duration = Duration::from_millis(50);
/// Bytes that are kept of a line that is too long.
const TOO_LONG_KEPT_BYTES: usize = 4 << 10;

/// A line that is no event.
#[derive(Debug)]
pub(super) struct BadLine {
    pub(super) line: u64,
    pub(super) reason: String,
    pub(super) text: Vec<u8>,
    /// Whether the text is but its beginning.
    pub(super) is_cut: bool,
}

/// What a line came to. The event is boxed so that a chunk of good lines is not laid out for bad ones.
type Parsed = Result<(u64, ImportEvent), BadLine>;

/// Lines that were parsed, and how many bytes they took.
struct Chunk {
    parsed: Vec<Parsed>,
    bytes: u64,
}

/// The events of an input, one by one.
pub(super) struct Feed {
    chunks: Receiver<Chunk>,
    ready: std::vec::IntoIter<Parsed>,
    rejects: Option<Rejects>,
    stopped: Option<(u64, String)>,
    bytes: u64,
    /// Lines that were handed over since the last commit.
    first_uncommitted: Option<u64>,
    last_line: u64,
}

impl Feed {
    /// Starts to read. Without a place for rejects, a bad line ends the input.
    pub(super) fn start(lines: Lines, rejects: Option<Rejects>) -> Feed {
        let (to, chunks) = sync_channel(CHUNKS_AHEAD);
        let stops_at_bad_line = rejects.is_none();
        std::thread::spawn(move || read(lines, &to, stops_at_bad_line));
        Feed {
            chunks,
            ready: Vec::new().into_iter(),
            rejects,
            stopped: None,
            bytes: 0,
            first_uncommitted: None,
            last_line: 0,
        }
    }

    /// The next event; `None` at the end, at a bad line and after Ctrl-C.
    pub(super) fn next(&mut self) -> Option<ImportEvent> {
        while self.stopped.is_none() && !interrupt::asked() {
            match self.ready.next() {
                Some(Ok((line, event))) => {
                    self.first_uncommitted.get_or_insert(line);
                    self.last_line = line;
                    return Some(event);
                }
                Some(Err(bad)) => self.reject(&bad),
                None => match self.chunks.recv_timeout(LOOK_AROUND) {
                    Ok(chunk) => {
                        self.bytes += chunk.bytes;
                        self.ready = chunk.parsed.into_iter();
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return None,
                },
            }
        }
        None
    }

    fn reject(&mut self, bad: &BadLine) {
        let Some(rejects) = &mut self.rejects else {
            self.stopped = Some((bad.line, bad.reason.clone()));
            return;
        };
        if let Err(failure) = rejects.add(bad) {
            self.stopped = Some((bad.line, format!("{}; {failure}", bad.reason)));
        }
    }

    /// Everything handed over so far is in the store.
    pub(super) fn committed(&mut self) {
        self.first_uncommitted = None;
    }

    /// The lines that were handed over and are not in the store: `line 7` or `lines 7 to 9`.
    pub(super) fn uncommitted(&self) -> String {
        match self.first_uncommitted {
            Some(first) => shown(first..=self.last_line),
            None => shown(self.last_line..=self.last_line),
        }
    }

    /// The line that ended the input, and why.
    pub(super) fn stopped_at(&self) -> Option<(u64, &str)> {
        self.stopped.as_ref().map(|(line, reason)| (*line, reason.as_str()))
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejects.as_ref().map_or(0, Rejects::count)
    }

    pub(super) fn rejects_file(&self) -> Option<&Path> {
        self.rejects.as_ref().map(Rejects::file)
    }

    /// Bytes of lines that were taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn shown(lines: RangeInclusive<u64>) -> String {
    if lines.start() == lines.end() {
        format!("line {}", lines.start())
    } else {
        format!("lines {} to {}", lines.start(), lines.end())
    }
}

/// Reads until the end, or until nobody takes what was read.
fn read(mut lines: Lines, to: &SyncSender<Chunk>, stops_at_bad_line: bool) {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        let mut chunk = Chunk { parsed: Vec::with_capacity(CHUNK_EVENTS), bytes: 0 };
        let mut goes_on = true;
        while goes_on && chunk.parsed.len() < CHUNK_EVENTS && chunk.bytes < CHUNK_BYTES as u64 {
            number += 1;
            let mut is_cut = false;
            let parsed = match lines.next(&mut line, limits::IMPORT_LINE_BYTES_MAX) {
                Ok(Line::End) => {
                    goes_on = false;
                    continue;
                }
                // A blank line is no event and no fault: files end with them.
                Ok(Line::Whole) if line.trim_ascii().is_empty() => continue,
                Ok(Line::Whole) => ImportEvent::from_json(&line).map_err(|error| error.to_string()),
                Ok(Line::TooLong) => {
                    is_cut = true;
                    line.truncate(TOO_LONG_KEPT_BYTES);
                    Err(format!("it is longer than {}", text::bytes(limits::IMPORT_LINE_BYTES_MAX as u64)))
                }
                // What cannot be read now can hardly be read any further.
                Err(error) => {
                    goes_on = false;
                    line.clear();
                    Err(format!("cannot be read: {error}"))
                }
            };
            chunk.bytes += line.len() as u64 + 1;
            goes_on &= parsed.is_ok() || !stops_at_bad_line;
            chunk.parsed.push(parsed.map(|event| (number, event)).map_err(|reason| BadLine {
                line: number,
                reason,
                text: line.clone(),
                is_cut,
            }));
        }
        if to.send(chunk).is_err() || !goes_on {
            return;
        }
    }
}
