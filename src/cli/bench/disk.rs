//! What the disk gives at best: the same bytes without a store around them.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::sample::Latencies;
use crate::cli::fail::{Done, Failure};

/// Bytes of the file that is synced, zeroed and synced before.
const SYNCED_FILE_BYTES: usize = 32 << 20;
/// Bytes before each batch of the bare loop, as a frame has.
const HEADER_BYTES: usize = 64;

fn create(path: &Path) -> Done<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::io(format_args!("write {}", path.display()), error)
}

/// Writes and syncs pieces of so many bytes, one after the other, in a file that has its room.
pub(super) fn synced(path: &Path, piece_bytes: usize, time: Duration) -> Done<(u64, Duration, Latencies)> {
    let mut file = create(path)?;
    let piece = vec![0x5a; piece_bytes.clamp(1, SYNCED_FILE_BYTES)];
    let pieces = SYNCED_FILE_BYTES / piece.len();
    let mut run = || -> io::Result<_> {
        file.write_all(&vec![0; SYNCED_FILE_BYTES])?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        let mut latencies = Latencies::default();
        let began = Instant::now();
        while began.elapsed() < time {
            if latencies.count() as usize % pieces == pieces - 1 {
                file.seek(SeekFrom::Start(0))?;
            }
            latencies.time(|| file.write_all(&piece).and_then(|()| file.sync_data()))?;
        }
        Ok((latencies.count(), began.elapsed(), latencies))
    };
    run().map_err(|error| failed(path, &error))
}

/// Copies, checksums and writes as many bytes as a store does for batches of `events`: the least that a log with
/// checksums can do. Gives the events written and the time it took; adds that of each batch to `times`, if given.
pub(super) fn framed(
    path: &Path,
    events: usize,
    batch_bytes: usize,
    limit: (Duration, u64),
    mut times: Option<&mut Latencies>,
) -> Done<(u64, Duration)> {
    let (time, events_max) = limit;
    let mut file = create(path)?;
    let event_bytes = batch_bytes.saturating_sub(HEADER_BYTES).max(events) / events;
    // As many different events as a cache does not hold, so that copying them costs what it costs.
    let pool: Vec<u8> = (0..(16 << 20)).map(|index: usize| (index % 251) as u8).collect();
    let records: Vec<&[u8]> = pool.chunks_exact(event_bytes.min(pool.len())).collect();
    let mut frame = Vec::with_capacity(batch_bytes + HEADER_BYTES);
    let mut run = || -> io::Result<_> {
        file.set_len(batch_bytes as u64 * (events_max / events as u64 + 1))?;
        let began = Instant::now();
        let mut written = 0;
        while written < events_max && began.elapsed() < time {
            let mut batch = || {
                frame.clear();
                frame.resize(HEADER_BYTES, 0);
                for index in 0..events {
                    let record = records[(written as usize + index) % records.len()];
                    let check = crc32fast::hash(record);
                    frame.extend_from_slice(record);
                    frame[index % HEADER_BYTES] ^= check as u8;
                }
                let check = xxhash_rust::xxh3::xxh3_64(&frame[..HEADER_BYTES - 8]);
                frame[HEADER_BYTES - 8..HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
                file.write_all(&frame)
            };
            match &mut times {
                Some(times) => times.time(batch)?,
                None => batch()?,
            }
            written += events as u64;
        }
        Ok((written, began.elapsed()))
    };
    run().map_err(|error| failed(path, &error))
}
