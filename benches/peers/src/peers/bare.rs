//! The floor: a header with a checksum for each event, one write for the batch, and nothing else. No index, no recovery.
//!
//! A record: length u32, CRC-32 u32, both little-endian, then the encoded event.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::record;
use crate::event::Event;
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "bare loop",
    package: "",
    written: Some("write, never a sync"),
    durable: Some("write, then fdatasync"),
    checks: "each event, at every read (CRC-32)",
    layout: "length, checksum, event; no index",
    indexed: false,
    open,
};

const HEAD_BYTES: usize = 8;
/// Bytes that are asked of the file at once.
const READ_BYTES: usize = 1 << 20;

struct Bare {
    path: PathBuf,
    durability: Durability,
    writer: Mutex<(File, Vec<u8>)>,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let path = directory.join("bare");
    let file = OpenOptions::new().create(true).append(true).open(&path)?;
    Ok(Box::new(Bare { path, durability, writer: Mutex::new((file, Vec::new())) }))
}

impl Peer for Bare {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, buffer) = &mut *writer;
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
        file.write_all(buffer)?;
        if self.durability == Durability::Durable {
            file.sync_data()?;
        }
        Ok(())
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        let mut file = File::open(&self.path)?;
        let mut buffer = vec![0; READ_BYTES];
        let mut filled = 0;
        loop {
            let read = file.read(&mut buffer[filled..])?;
            filled += read;
            let mut start = 0;
            while let Some(head) = buffer[start..filled].first_chunk::<HEAD_BYTES>() {
                let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
                let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
                let body = start + HEAD_BYTES;
                let Some(bytes) = buffer[..filled].get(body..body + length) else {
                    if length > READ_BYTES / 2 {
                        buffer.resize(buffer.len().max(body + length + READ_BYTES), 0);
                    }
                    break;
                };
                if crc32fast::hash(bytes) != u32::from_le_bytes([c0, c1, c2, c3]) {
                    return Err(Failure::Failed("a checksum does not match".to_owned()));
                }
                each(record::decode(bytes)?);
                start = body + length;
            }
            buffer.copy_within(start..filled, 0);
            filled -= start;
            if read == 0 {
                return Ok(());
            }
        }
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}
