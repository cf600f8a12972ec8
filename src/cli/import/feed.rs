//! The events of an input: read and parsed on a thread of their own, handed over in chunks.

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

/// An event, and the line that it was read from.
struct Good {
    line: u64,
    event: ImportEvent,
    /// The line itself, where rejects are kept: the store may still refuse the event.
    text: Vec<u8>,
}

/// What a line came to.
type Parsed = Result<Good, BadLine>;

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
    /// The line of the event that was handed over last, and its text where rejects are kept.
    last: (u64, Vec<u8>),
}

impl Feed {
    /// Starts to read. Without a place for rejects, a bad line ends the input.
    pub(super) fn start(lines: Lines, rejects: Option<Rejects>) -> Feed {
        let (to, chunks) = sync_channel(CHUNKS_AHEAD);
        let stops_at_bad_line = rejects.is_none();
        std::thread::spawn(move || read(lines, &to, stops_at_bad_line));
        Feed { chunks, ready: Vec::new().into_iter(), rejects, stopped: None, bytes: 0, last: (0, Vec::new()) }
    }

    /// The next event; `None` at the end, at a bad line and after Ctrl-C.
    pub(super) fn next(&mut self) -> Option<ImportEvent> {
        while self.stopped.is_none() && !interrupt::asked() {
            match self.ready.next() {
                Some(Ok(good)) => {
                    self.last = (good.line, good.text);
                    return Some(good.event);
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

    /// The store refused the event that was handed over last. Without a place for rejects that is the end too.
    pub(super) fn reject_last(&mut self, reason: String) {
        let (line, text) = std::mem::take(&mut self.last);
        self.reject(&BadLine { line, reason, text, is_cut: false });
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
            chunk.parsed.push(match parsed {
                Ok(event) => {
                    let text = if stops_at_bad_line { Vec::new() } else { line.clone() };
                    Ok(Good { line: number, event, text })
                }
                Err(reason) => Err(BadLine { line: number, reason, text: line.clone(), is_cut }),
            });
        }
        if to.send(chunk).is_err() || !goes_on {
            return;
        }
    }
}
