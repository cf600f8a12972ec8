//! The floor: a header with a checksum for each event, one write for the batch, and nothing else. No index, no recovery.
//!
//! A record: length u32, CRC-32 u32, both little-endian, then the encoded event. Zeros stand behind the last one where
//! appends are forced: syncing what lies in room that was written before is what a disk does at its fastest.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::record;
use crate::event::Event;
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer, Subscriber};

pub(crate) const ABOUT: About = About {
    name: "bare loop",
    package: "",
    written: Some("write, never a sync"),
    durable: Some("write into zeros that were laid out ahead, then fdatasync; one thread after the other"),
    checks: "each event, at every read (CRC-32)",
    layout: "length, checksum, event; no index",
    indexed: false,
    open,
};

const HEAD_BYTES: usize = 8;
/// Bytes that are asked of the file at once.
const READ_BYTES: usize = 1 << 20;

/// Zeros that are laid out at once.
const ROOM_BYTES: u64 = 64 << 20;

struct Bare {
    path: PathBuf,
    durability: Durability,
    writer: Mutex<Writer>,
    tail: Arc<Tail>,
}

/// How far the file is written, and who waits for more.
struct Tail {
    end: Mutex<u64>,
    moved: Condvar,
}

struct Writer {
    file: File,
    buffer: Vec<u8>,
    /// Where the next record goes.
    end: u64,
    /// How far the file reaches.
    room: u64,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let path = directory.join("bare");
    let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path)?;
    let room = file.metadata()?.len();
    let mut end = 0;
    records(&path, &mut |bytes| {
        end += (HEAD_BYTES + bytes.len()) as u64;
        Ok(())
    })?;
    let writer = Writer { file, buffer: Vec::new(), end, room };
    let tail = Arc::new(Tail { end: Mutex::new(end), moved: Condvar::new() });
    Ok(Box::new(Bare { path, durability, writer: Mutex::new(writer), tail }))
}

/// Gives each record up to the zeros or the end of the file.
fn records(path: &Path, each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        let read = file.read(&mut buffer[filled..])?;
        filled += read;
        let (parsed, next) = parse(&buffer[..filled], each)?;
        match next {
            Next::End => return Ok(()),
            Next::Record(length) if length > READ_BYTES / 2 => {
                buffer.resize(buffer.len().max(parsed + HEAD_BYTES + length + READ_BYTES), 0);
            }
            Next::Record(_) => {}
        }
        buffer.copy_within(parsed..filled, 0);
        filled -= parsed;
        if read == 0 {
            return Ok(());
        }
    }
}

/// What follows the whole records.
enum Next {
    /// Zeros.
    End,
    /// A record of which not all is there, of so many bytes as far as is known.
    Record(usize),
}

/// Gives the whole records that bytes begin with, and how many bytes those are.
fn parse(bytes: &[u8], each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<(usize, Next)> {
    let mut start = 0;
    while let Some(head) = bytes[start..].first_chunk::<HEAD_BYTES>() {
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length == 0 {
            return Ok((start, Next::End));
        }
        let body = start + HEAD_BYTES;
        let Some(record) = bytes.get(body..body + length) else { return Ok((start, Next::Record(length))) };
        if crc32fast::hash(record) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(Failure::Failed("a checksum does not match".to_owned()));
        }
        each(record)?;
        start = body + length;
    }
    Ok((start, Next::Record(0)))
}

/// Reads the file behind the writer, which says how far it is whole.
struct Follower {
    file: File,
    tail: Arc<Tail>,
    at: u64,
    buffer: Vec<u8>,
}

impl Subscriber for Follower {
    fn next(&mut self, timeout: Duration, each: Each<'_>) -> Outcome<()> {
        let end = self.tail.end.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.tail.moved.wait_timeout_while(end, timeout, |end| *end <= self.at);
        let end = *waited.unwrap_or_else(PoisonError::into_inner).0;
        let length = (end - self.at).min(READ_BYTES as u64) as usize;
        self.buffer.resize(length, 0);
        self.file.read_exact_at(&mut self.buffer, self.at)?;
        let (parsed, _) = parse(&self.buffer, &mut |bytes| {
            each(record::decode(bytes)?);
            Ok(())
        })?;
        self.at += parsed as u64;
        Ok(())
    }
}

impl Peer for Bare {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { file, buffer, end, room } = &mut *writer;
        buffer.clear();
        for event in events {
            let start = buffer.len();
            buffer.extend_from_slice(&[0; HEAD_BYTES]);
            record::encode(event, buffer);
            let body = start + HEAD_BYTES;
            let check = crc32fast::hash(&buffer[body..]);
            let length = (buffer.len() - body) as u32;
            buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
            buffer[start + 4..body].copy_from_slice(&check.to_le_bytes());
        }
        let durable = self.durability == Durability::Durable;
        if durable && *end + buffer.len() as u64 > *room {
            file.write_all_at(&vec![0; ROOM_BYTES as usize], *room)?;
            file.sync_all()?;
            *room += ROOM_BYTES;
        }
        file.write_all_at(buffer, *end)?;
        *end += buffer.len() as u64;
        if durable {
            file.sync_data()?;
        }
        *self.tail.end.lock().unwrap_or_else(PoisonError::into_inner) = *end;
        self.tail.moved.notify_all();
        Ok(())
    }

    fn subscribe(&self) -> Outcome<Box<dyn Subscriber>> {
        let at = *self.tail.end.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = Arc::clone(&self.tail);
        Ok(Box::new(Follower { file: File::open(&self.path)?, tail, at, buffer: Vec::new() }))
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        records(&self.path, &mut |bytes| {
            each(record::decode(bytes)?);
            Ok(())
        })
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}
