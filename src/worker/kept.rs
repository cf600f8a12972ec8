//! Files of workers: which there are, reading one, and making one whole.
//!
//! Invariants: a file gets its name when it is whole and synced, so a name never stands for less than a header. Reading
//! changes nothing and believes nothing that its checks do not cover. Who makes a file holds the store's lock.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::state::State;
use crate::error::{Corruption, Error, ErrorKind, Result, newer_format};
use crate::event::LogId;
use crate::format::Read;
use crate::format::bytes::{align_up, u64_at};
use crate::format::worker::{EMPTY_FRAME_BYTES, Entry, FileHeader, HEADER_BYTES, frame, frame_bytes, walk};
use crate::io::{File, Mode, Storage, read_to_end_of};
use crate::limits::{WORKER_FILE_BYTES_MAX, WORKER_NAME_BYTES_MAX};
use crate::log::files::WORKERS;
use crate::time::Timestamp;

/// Room behind the last frame of a new file, at least, in bytes.
const ROOM_BYTES: u64 = 2 << 10;
/// A file's length is a multiple of this.
const PAGE_BYTES: u64 = 4096;
/// Bytes of entries of one frame of a new file, more or less.
const FRAME_BYTES: usize = 1 << 20;

/// What a file says.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) state: State,
    /// What an interrupted write left at its end.
    pub(crate) torn: Option<String>,
    /// Length of the file.
    pub(crate) bytes: u64,
}

/// Where the file of a worker stands.
pub(crate) fn path_of(name: &str) -> PathBuf {
    PathBuf::from(format!("{WORKERS}/{name}.log"))
}

/// Whether a text can name a worker, and a file.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=WORKER_NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.') && name.chars().all(fits)
}

/// The names of all workers that have a file, in order.
pub(crate) fn names(storage: &dyn Storage) -> Result<Vec<String>> {
    let entries = match storage.list(WORKERS.as_ref()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Error::io(format_args!("list {WORKERS}"), error))?,
    };
    let name =
        |entry: &crate::io::Entry| entry.name.strip_suffix(".log").filter(|name| is_name(name)).map(str::to_owned);
    Ok(entries.iter().filter(|entry| !entry.is_dir).filter_map(name).collect())
}

/// What the file of a worker says; `None` if it has none.
///
/// # Errors
/// `Corruption` if it is damaged, or is the file of another worker or log; `NewerFormat`; `Io`.
pub(crate) fn read(storage: &dyn Storage, log: LogId, name: &str) -> Result<Option<Kept>> {
    let path = path_of(name);
    let failed = |error| Error::io(format_args!("read {}", path.display()), error);
    let file = match storage.open(&path, Mode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut len = file.len().map_err(failed)?;
    loop {
        if len > WORKER_FILE_BYTES_MAX {
            let text = format!("{} is {len} bytes long; no worker's file is", path.display());
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let mut bytes = vec![0; len as usize];
        let got = read_to_end_of(&*file, &mut bytes, 0).map_err(failed)?;
        bytes.truncate(got);
        let parsed = parse(&bytes, log, name);
        let now = file.len().map_err(failed)?;
        if parsed.is_ok() || now <= len {
            return parsed.map(Some);
        }
        // The worker's process has made it longer meanwhile, and said so in what was read.
        len = now;
    }
}

/// What the bytes of a file say.
pub(crate) fn parse(bytes: &[u8], log: LogId, name: &str) -> Result<Kept> {
    let path = path_of(name);
    let damage = |corruption: Corruption| {
        Error::from(corruption).hinting(
            "the worker does not start and nothing was changed; take the file from a backup, or move it away to have \
             the worker begin anew",
        )
    };
    let header = match FileHeader::read(bytes) {
        Read::Valid(header) => header,
        Read::Newer { version } => return Err(newer_format(version)),
        Read::Zero => return Err(damage(Corruption::new(path, 0, "a header", "zeros"))),
        Read::Bad(bad) => return Err(damage(bad.corruption(&path))),
    };
    if header.log != log {
        return Err(damage(Corruption::new(path, 16, format!("log {log}"), format!("log {}", header.log))));
    }
    if header.name != name {
        return Err(damage(Corruption::new(path, 64, format!("worker {name}"), format!("worker {}", header.name))));
    }
    let mut state = State::default();
    let walked = walk(bytes, &header, &mut |frame| {
        frame.entries()?.iter().for_each(|entry| state.apply(entry));
        Ok(())
    });
    let walked = walked.map_err(|bad| damage(bad.corruption(&path)))?;
    let torn =
        walked.torn.map(|bad| format!("from byte {} on, expected {}, found {}", bad.offset, bad.expected, bad.found));
    Ok(Kept { state, torn, bytes: bytes.len() as u64 })
}

/// A file that takes frames.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) file: Arc<dyn File>,
    pub(crate) salt: u64,
    /// Behind the last frame.
    pub(crate) end: u64,
    /// Of the last frame.
    pub(crate) seq: u64,
    pub(crate) reach: u64,
    /// A write failed, so the next thing to do is to make the file anew.
    pub(crate) broken: bool,
}

/// Why a file was not made.
pub(crate) enum NotMade {
    /// What stood under the name still does, for certain.
    Before(Error),
    /// Whether the new one takes the place of the old one after a power cut is not known.
    Unknown(Error),
}

impl From<NotMade> for Error {
    fn from(why: NotMade) -> Error {
        match why {
            NotMade::Before(error) | NotMade::Unknown(error) => error,
        }
    }
}

/// Makes the file of a worker out of entries, in the place of what stands there: whole, synced, renamed.
pub(crate) fn make(
    storage: &dyn Storage,
    log: LogId,
    name: &str,
    entries: &[Entry],
    at: Timestamp,
) -> Result<Writing, NotMade> {
    let path = path_of(name);
    let temporary = path.with_extension("log.tmp");
    let before = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |error| NotMade::Before(Error::io(format_args!("{what} {}", path.display()), error))
    };
    prepare_directory(storage).map_err(NotMade::Before)?;
    match storage.remove(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(before("remove", &temporary)(error)),
        _ => {}
    }
    let salt = u64_at(&storage.random(), 0).unwrap_or_default();
    let header = FileHeader { log, salt, made_at: at, reach: 0, name: name.to_owned() };
    let (bytes, end, seq, reach) = whole(header, entries, at).map_err(NotMade::Before)?;
    let file = storage.open(&temporary, Mode::CreateNew).map_err(before("create", &temporary))?;
    let writing = Writing { file, salt, end, seq, reach, broken: false };
    let written = (|| {
        writing.file.write_all_at(&mut [IoSlice::new(&bytes)], 0)?;
        writing.file.sync_data()
    })();
    if let Err(error) = written {
        let _ = storage.remove(&temporary);
        return Err(before("write", &temporary)(error));
    }
    let unknown = |error| NotMade::Unknown(Error::io(format_args!("name {}", path.display()), error));
    storage.rename(&temporary, &path).map_err(unknown)?;
    storage.sync_dir(WORKERS.as_ref()).map_err(unknown)?;
    Ok(writing)
}

/// The directory, there for good.
fn prepare_directory(storage: &dyn Storage) -> Result<()> {
    let failed = |error| Error::io(format_args!("create {WORKERS}"), error);
    if storage.metadata(WORKERS.as_ref()).map_err(failed)?.is_none() {
        storage.create_dir_all(WORKERS.as_ref()).map_err(failed)?;
        storage.sync_dir("".as_ref()).map_err(failed)?;
    }
    Ok(())
}

/// The bytes of a whole file: with the end of its frames, the seq of the last, and its reach.
fn whole(header: FileHeader, entries: &[Entry], at: Timestamp) -> Result<(Vec<u8>, u64, u64, u64)> {
    // The reach stands in each frame, so the lots are measured first.
    let mut lots: Vec<(&[Entry], u64)> = Vec::new();
    let (mut rest, mut bytes) = (entries, Vec::new());
    while !rest.is_empty() {
        bytes.clear();
        let mut count = 0;
        while let Some(entry) = rest.get(count).filter(|_| bytes.len() < FRAME_BYTES) {
            entry.encode(&mut bytes);
            count += 1;
        }
        let (lot, behind) = rest.split_at(count);
        lots.push((lot, bytes.len() as u64));
        rest = behind;
    }
    let frames: u64 = lots.iter().map(|(_, bytes)| frame_bytes(*bytes)).sum();
    let reach = align_up(HEADER_BYTES as u64 + frames + EMPTY_FRAME_BYTES + ROOM_BYTES, PAGE_BYTES);
    let header = FileHeader { reach, ..header };
    let mut file = header.encode();
    let mut seq = 0;
    for (lot, _) in lots {
        seq += 1;
        let bytes = frame(lot, seq, reach, at, header.salt, file.len() as u64);
        file.extend_from_slice(&bytes.ok_or_else(zeros)?);
    }
    let end = file.len() as u64;
    // Written, not only reserved: a sync of what was reserved alone costs several times as much.
    file.resize(reach as usize, 0);
    Ok((file, end, seq, reach))
}

/// The error for entries that cannot be told from an interrupted write.
pub(crate) fn zeros() -> Error {
    Error::invalid("a worker cannot keep a text of zeros")
}
