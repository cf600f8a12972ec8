//! A file of stored states: what it is, its records, and whether each state's check holds.

use std::io;

use serde::Serialize;

use super::{Inspection, Problem, read};
use crate::format::snapshot::{FileHeader, HEAD_BYTES_MAX, Record};
use crate::io::File;
use crate::limits::STATE_BYTES_MAX;
use crate::segment::scan::Window;

/// Records that are listed; the rest are counted.
const RECORDS_SHOWN: usize = 50;

/// The content of a file of stored states.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SnapshotsView {
    /// The kind of state.
    pub name: String,
    /// The log that the states are of.
    pub log: String,
    /// How many whole records there are.
    pub count: u64,
    /// States among them that fail their check.
    pub bad_states: u64,
    /// The records in order of place; the first 50.
    pub records: Vec<SnapshotView>,
}

/// One stored state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SnapshotView {
    /// Where the record begins.
    pub offset: u64,
    /// Length of the record.
    pub bytes: u64,
    /// The subject.
    pub subject: String,
    /// Position of the last event in the state.
    pub position: u64,
    /// Version of the subject there.
    pub version: u64,
    /// Epoch of that event.
    pub epoch: u64,
    /// Version of the state's shape.
    pub shape: u32,
    /// How the state is written.
    pub codec: String,
    /// Whether the state's check holds.
    pub good: bool,
}

/// The name of a file's kind of state, from its header alone.
pub(super) fn header(inspection: &mut Inspection, file: &dyn File) -> io::Result<Option<(FileHeader, u64)>> {
    match FileHeader::read(&read(file, 0, HEAD_BYTES_MAX)?) {
        Ok(read) => Ok(Some(read)),
        Err(bad) => {
            inspection.problem(Problem::of("header", &bad));
            Ok(None)
        }
    }
}

pub(super) fn inspect(inspection: &mut Inspection, file: &dyn File) -> io::Result<()> {
    let Some((header, mut offset)) = header(inspection, file)? else { return Ok(()) };
    let mut view = SnapshotsView { name: header.name, log: header.log.to_string(), ..SnapshotsView::default() };
    let mut window = Window::new(file)?;
    while offset < window.len() {
        let len = window.len();
        let bytes = window.get(offset, HEAD_BYTES_MAX as u64)?;
        let (state_at, whole, record) = match Record::read(bytes, header.salt, offset) {
            Ok(record) => (record.state_at(), record.bytes(), shown(&record, offset)),
            Err(bad) => {
                let problem = Problem::of("record", &bad);
                inspection.problem(Problem { bytes: Some(len - offset), ..problem });
                break;
            }
        };
        if whole > STATE_BYTES_MAX as u64 * 2 || offset + whole > len {
            let problem = Problem::new("record", offset, format!("{whole} bytes"), format!("{} bytes", len - offset));
            inspection.problem(Problem { bytes: Some(len - offset), ..problem });
            break;
        }
        let bytes = window.get(offset, whole)?;
        let state = Record::read(bytes, header.salt, offset)
            .ok()
            .and_then(|record| record.state(bytes.get(state_at as usize..)?, header.salt));
        let codec = match state.and_then(|state| state.first()) {
            Some(1) => "JSON".to_owned(),
            Some(2) => "bincode".to_owned(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        view.count += 1;
        if state.is_none() {
            view.bad_states += 1;
            inspection.problem(Problem::new("state", offset + state_at, "a state that passes its check", "another"));
        }
        if view.records.len() < RECORDS_SHOWN {
            view.records.push(SnapshotView { codec, good: state.is_some(), ..record });
        }
        offset += whole;
    }
    inspection.snapshots = Some(view);
    Ok(())
}

fn shown(record: &Record<'_>, offset: u64) -> SnapshotView {
    SnapshotView {
        offset,
        bytes: record.bytes(),
        subject: record.subject.to_owned(),
        position: record.position.get(),
        version: record.version,
        epoch: record.epoch,
        shape: record.shape,
        codec: String::new(),
        good: false,
    }
}
