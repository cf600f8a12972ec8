//! The file of a worker: its header, its frames, and what they come to.

use std::io;

use serde::Serialize;

use super::pages::page;
use super::{Inspection, Problem, read};
use crate::format::layout;
use crate::format::worker::{FileHeader, HEADER_BYTES, walk};
use crate::io::File;
use crate::time::Timestamp;
use crate::worker::state::State;

/// A file up to so many bytes is read whole; of a longer one only the header is looked at.
const WHOLE_BYTES_MAX: u64 = 256 << 20;
/// Frames that are listed, the newest ones; the others are counted.
const FRAMES_SHOWN: usize = 50;

/// The content of a worker's file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct WorkerFileView {
    /// The worker.
    pub name: String,
    /// The log that it works on.
    pub log: String,
    /// Whole frames.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Every event up to here is finished, open or parked.
    pub through: u64,
    /// Every event up to here is finished or parked.
    pub checkpoint: u64,
    /// Events that are open.
    pub open: u64,
    /// Events that are parked.
    pub parked: u64,
    /// What an interrupted write left, if anything.
    pub torn: Option<String>,
    /// The last 50 frames.
    pub last: Vec<WorkerFrameView>,
}

/// A frame of a worker's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkerFrameView {
    /// Where it begins.
    pub offset: u64,
    /// Length of the frame.
    pub bytes: u64,
    /// Its number.
    pub seq: u64,
    /// How many entries it has.
    pub entries: u64,
    /// How long the file is at least, from it on.
    pub reach: u64,
    /// When it was written.
    pub written_at: Timestamp,
}

/// The header, and what it says.
pub(super) fn header(inspection: &mut Inspection, file: &dyn File) -> io::Result<Option<FileHeader>> {
    let bytes = read(file, 0, HEADER_BYTES)?;
    Ok(page(inspection, "header", 0, layout::WORKER_HEADER, &bytes, FileHeader::read(&bytes)))
}

pub(super) fn inspect(inspection: &mut Inspection, file: &dyn File) -> io::Result<()> {
    let Some(header) = header(inspection, file)? else { return Ok(()) };
    let mut view = WorkerFileView { name: header.name.clone(), log: header.log.to_string(), ..Default::default() };
    if inspection.bytes > WHOLE_BYTES_MAX {
        inspection.notes.push("too long to be read whole: only its header was looked at".to_owned());
        inspection.worker = Some(view);
        return Ok(());
    }
    let bytes = read(file, 0, inspection.bytes as usize)?;
    let mut state = State::default();
    let walked = walk(&bytes, &header, &mut |frame| {
        frame.entries()?.iter().for_each(|entry| state.apply(entry));
        view.frames += 1;
        view.entries += u64::from(frame.head.entries);
        if view.last.len() == FRAMES_SHOWN {
            view.last.remove(0);
        }
        view.last.push(WorkerFrameView {
            offset: frame.offset,
            bytes: frame.bytes,
            seq: frame.head.seq,
            entries: u64::from(frame.head.entries),
            reach: frame.head.reach,
            written_at: frame.head.written_at,
        });
        Ok(())
    });
    (view.through, view.checkpoint) = (state.through.position.get(), state.checkpoint().get());
    (view.open, view.parked) = (state.open.len() as u64, state.parked.len() as u64);
    match walked {
        Ok(walked) => {
            view.torn = walked.torn.map(|bad| {
                format!(
                    "from byte {} on an interrupted write: expected {}, found {}",
                    bad.offset, bad.expected, bad.found
                )
            });
            inspection.notes.extend(view.torn.clone());
        }
        Err(bad) => inspection.problem(Problem::of("frame", &bad)),
    }
    inspection.worker = Some(view);
    Ok(())
}
