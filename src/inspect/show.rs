//! An inspection as tables for people.

use std::fmt::{self, Display, Formatter};

use super::{
    BlockView, FileKind, FrameView, FramesView, IndexView, Inspection, KnownBy, PageState, PageView, Problem,
    SealedView, SnapshotsView, WorkerFileView, WorkerFrameView,
};

impl Display for FileKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Store => "a store",
            FileKind::Directory => "a directory",
            FileKind::Segment => "raw segment",
            FileKind::Index => "index of a segment",
            FileKind::Tier => "lookup tier over sealed segments",
            FileKind::Sealed => "sealed segment",
            FileKind::Snapshots => "stored states",
            FileKind::Worker => "file of a worker",
            FileKind::Anchor => "ANCHOR",
            FileKind::Live => "LIVE",
            FileKind::Lock => "LOCK",
            FileKind::Unknown => "no file of a store",
        })
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: expected {}, found {}", self.what, self.offset, self.expected, self.found)?;
        match self.bytes {
            Some(bytes) => write!(f, " ({bytes} bytes)"),
            None => Ok(()),
        }
    }
}

/// Files of a directory that are shown from the front and from the end.
const FIRST_FILES: usize = 50;
const LAST_FILES: usize = 10;

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {} bytes", self.path, self.kind, self.bytes)?;
        match self.known_by {
            KnownBy::Name => f.write_str(", by its name alone")?,
            KnownBy::Content | KnownBy::Nothing => {}
        }
        f.write_str("\n")?;
        self.pages.iter().try_for_each(|page| write_page(page, f))?;
        if let Some(frames) = &self.frames {
            write_frames(frames, f)?;
        }
        if let Some(index) = &self.index {
            write_index(index, f)?;
        }
        if let Some(sealed) = &self.sealed {
            write_sealed(sealed, f)?;
        }
        if let Some(snapshots) = &self.snapshots {
            write_snapshots(snapshots, f)?;
        }
        if let Some(worker) = &self.worker {
            write_worker(worker, f)?;
        }
        if let Some(text) = &self.text {
            writeln!(f, "\ntext: {text}")?;
        }
        if matches!(self.kind, FileKind::Store | FileKind::Directory) {
            write_files(self, f)?;
        }
        if !self.notes.is_empty() {
            f.write_str("\nnotes\n")?;
            self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))?;
        }
        if self.problems.is_empty() {
            let good = if self.is_good() { "nothing is wrong" } else { "nothing of a store was found" };
            return writeln!(f, "\n{good}");
        }
        writeln!(f, "\n{} problems", self.problems.len() as u64 + self.more_problems)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))?;
        if self.more_problems > 0 {
            writeln!(f, "  and {} more", self.more_problems)?;
        }
        Ok(())
    }
}

fn write_page(page: &PageView, f: &mut Formatter<'_>) -> fmt::Result {
    let state = match page.state {
        PageState::Valid => "valid",
        PageState::Zero => "zeros, never written",
        PageState::Newer => "of a newer format",
        PageState::Bad => "BAD, shown as it stands",
    };
    writeln!(f, "\n{} at {}: {state}", page.name, page.offset)?;
    let rows = page
        .fields
        .iter()
        .map(|field| [field.offset.to_string(), field.bytes.to_string(), field.name.to_owned(), field.value.clone()]);
    write_table(f, ["offset", "bytes", "field", "value"], &[true, true, false, false], rows.collect())
}

fn write_frames(frames: &FramesView, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "\n{} frames, {} events", frames.frames, frames.events)?;
    if let Some((first, last)) = frames.positions {
        write!(f, ", positions {first} to {last}")?;
    }
    write!(f, ", end at byte {}", frames.end)?;
    if frames.bad_frames > 0 {
        write!(f, "; {} of the frames are BAD", frames.bad_frames)?;
    }
    if let Some(from) = frames.zeros_from {
        write!(f, "; zeros from byte {from} on")?;
    }
    f.write_str("\n")?;
    if frames.frames == 0 {
        return Ok(());
    }
    let row = |frame: &FrameView| {
        let positions = match frame.events {
            0 => String::new(),
            1 => frame.first.to_string(),
            _ => format!("{}-{}", frame.first, frame.last),
        };
        let state = match &frame.problem {
            None => "valid".to_owned(),
            Some(problem) if frame.bad_events > 0 => format!("BAD, {} events: {problem}", frame.bad_events),
            Some(problem) => format!("BAD: {problem}"),
        };
        [
            frame.offset.to_string(),
            frame.bytes.to_string(),
            frame.kind.to_owned(),
            frame.events.to_string(),
            positions,
            frame.durable.to_string(),
            frame.group_seq.to_string(),
            frame.recorded_at.to_string(),
            frame.flags.join(", "),
            state,
        ]
    };
    let mut rows: Vec<_> = frames.first.iter().map(row).collect();
    if frames.left_out > 0 {
        let mut gap: [String; 10] = Default::default();
        "..".clone_into(&mut gap[0]);
        gap[9] = format!("{} frames not shown", frames.left_out);
        rows.push(gap);
    }
    rows.extend(frames.last.iter().map(row));
    let head = ["offset", "bytes", "kind", "events", "positions", "durable", "group", "recorded_at", "flags", "state"];
    let right = [true, true, false, true, true, true, true, false, false, false];
    write_table(f, head, &right, rows)
}

fn write_index(index: &IndexView, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "\n{} pages, {} of them BAD", index.pages, index.bad_pages)?;
    f.write_str(if index.checked_whole { "; what they hold is an index\n" } else { "\n" })?;
    if index.types.is_empty() {
        return Ok(());
    }
    let types = index.types.iter().map(|(name, rows)| [rows.to_string(), crate::time::one_line(name, 120)]);
    write_table(f, ["events", "type"], &[true, false], types.collect())?;
    match index.type_count - index.types.len() as u64 {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more types"),
    }
}

fn write_snapshots(snapshots: &SnapshotsView, f: &mut Formatter<'_>) -> fmt::Result {
    let name = crate::time::one_line(&snapshots.name, 120);
    let (count, bad) = (snapshots.count, snapshots.bad_states);
    writeln!(f, "\nstates of {name:?}, log {}: {count} records, {bad} of them BAD", snapshots.log)?;
    let rows = snapshots.records.iter().map(|record| {
        let state = if record.good { record.codec.as_str() } else { "BAD" };
        let subject = crate::time::one_line(&record.subject, 60);
        let numbers = [record.offset, record.bytes, record.position, record.version, record.epoch];
        let [offset, bytes, position, version, epoch] = numbers.map(|number| number.to_string());
        [offset, bytes, subject, position, version, epoch, record.shape.to_string(), state.to_owned()]
    });
    let head = ["offset", "bytes", "subject", "position", "version", "epoch", "shape", "state"];
    write_table(f, head, &[true, true, false, true, true, true, true, false], rows.collect())?;
    match count - snapshots.records.len() as u64 {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more records"),
    }
}

fn write_worker(worker: &WorkerFileView, f: &mut Formatter<'_>) -> fmt::Result {
    let WorkerFileView { name, log, frames, entries, checkpoint, through, open, parked, .. } = worker;
    writeln!(f, "\nworker {name}, log {log}: {frames} frames with {entries} entries")?;
    writeln!(f, "finished or parked up to {checkpoint}, seen up to {through}; {open} open, {parked} parked")?;
    let row = |frame: &WorkerFrameView| {
        let numbers = [frame.offset, frame.bytes, frame.seq, frame.entries, frame.reach];
        let [offset, bytes, seq, entries, reach] = numbers.map(|number| number.to_string());
        [offset, bytes, seq, entries, reach, frame.written_at.to_string()]
    };
    let head = ["offset", "bytes", "frame", "entries", "reach", "written at"];
    write_table(f, head, &[true, true, true, true, true, false], worker.last.iter().map(row).collect())?;
    match frames - worker.last.len() as u64 {
        0 => Ok(()),
        more => writeln!(f, "  and {more} frames before them"),
    }
}

fn write_sealed(sealed: &SealedView, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("\nsections\n")?;
    let rows = sealed.sections.iter().map(|section| {
        let name = if section.name.is_empty() { "unknown" } else { section.name };
        [
            section.offset.to_string(),
            section.bytes.to_string(),
            section.raw_bytes.to_string(),
            section.count.to_string(),
            format!("{} {name}", section.id),
            if section.good { "valid" } else { "BAD" }.to_owned(),
        ]
    });
    let head = ["offset", "bytes", "unpacked", "count", "section", "state"];
    write_table(f, head, &[true, true, true, true, false, false], rows.collect())?;

    writeln!(
        f,
        "\n{} blocks, {} of them BAD; {} events; {} payload pages of {} bytes, {} of them BAD, with {} bytes of data",
        sealed.blocks,
        sealed.bad_blocks,
        sealed.events,
        sealed.pages,
        sealed.page_bytes,
        sealed.bad_pages,
        sealed.data_bytes
    )?;
    let epochs = sealed.epochs.iter().map(|(first, epoch)| format!("{epoch} from position {first} on"));
    writeln!(f, "epochs: {}", epochs.collect::<Vec<_>>().join(", "))?;
    if let Some(archive) = &sealed.archive {
        writeln!(f, "archived in: {archive}")?;
    }
    let row = |block: &BlockView| {
        let state = match (&block.problem, block.bad_pages) {
            (Some(problem), _) => format!("BAD: {problem}"),
            (None, 0) => "valid".to_owned(),
            (None, bad) => format!("BAD: {bad} of its pages"),
        };
        [
            block.offset.to_string(),
            block.bytes.to_string(),
            format!("{}-{}", block.first, block.last),
            block.pages.to_string(),
            block.page_bytes.to_string(),
            format!("{} to {}", block.recorded.0, block.recorded.1),
            state,
        ]
    };
    let mut rows: Vec<_> = sealed.first.iter().map(row).collect();
    if sealed.left_out > 0 {
        let mut gap: [String; 7] = Default::default();
        "..".clone_into(&mut gap[0]);
        gap[6] = format!("{} blocks not shown", sealed.left_out);
        rows.push(gap);
    }
    rows.extend(sealed.last.iter().map(row));
    let head = ["head at", "bytes", "positions", "pages", "bytes", "recorded_at", "state"];
    write_table(f, head, &[true, true, true, true, true, false, false], rows)?;
    writeln!(
        f,
        "\n{} term pages, {} of them BAD, with {} entries",
        sealed.term_pages, sealed.bad_term_pages, sealed.term_entries
    )
}

fn write_files(inspection: &Inspection, f: &mut Formatter<'_>) -> fmt::Result {
    let files = &inspection.files;
    writeln!(f, "\n{} files", files.len())?;
    let shown = |index: &usize| *index < FIRST_FILES || *index + LAST_FILES >= files.len();
    let mut rows = Vec::new();
    for (index, file) in files.iter().enumerate() {
        if shown(&index) {
            let state = if file.good { "" } else { "BAD" };
            let row = [&file.path, &file.bytes.to_string(), &file.kind.to_string(), state, &file.summary];
            rows.push(row.map(str::to_owned));
        } else if shown(&(index - 1)) {
            let left = files.len() - FIRST_FILES - LAST_FILES;
            rows.push(["..", "", "", "", &format!("{left} files not shown")].map(str::to_owned));
        }
    }
    write_table(f, ["file", "bytes", "kind", "", "says"], &[false, true, false, false, false], rows)
}

/// A table with its columns as wide as they need to be; the last one ends where its text does.
fn write_table<const N: usize>(
    f: &mut Formatter<'_>,
    head: [&str; N],
    right: &[bool; N],
    rows: Vec<[String; N]>,
) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut widths = head.map(|name| name.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in std::iter::once(head.map(str::to_owned)).chain(rows) {
        let mut line = String::from(" ");
        for ((cell, width), right) in row.iter().zip(widths).zip(right) {
            line.push(' ');
            line.push_str(&if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}
