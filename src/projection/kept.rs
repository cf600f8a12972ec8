//! A state that is kept between two runs of a program, with the place in the log that it stands for.
//!
//! It is the file `projections/NAME.state`, replaced whole each time:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, `annlproj` |
//! | 8 | 4 | version of the code, u32 |
//! | 12 | 4 | zero |
//! | 16 | 8 | position that the state was folded up to |
//! | 24 | 8 | epoch of the event there |
//! | 32 | 16 | its fingerprint |
//! | 48 | 8 | length of what follows |
//! | 56 | | the state, as snapshots have it |
//! | end | 8 | xxh3 of everything before |
//!
//! It is derived: one that is damaged, of another version or of another history is not used, and the fold begins anew.

use std::io::IoSlice;
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_64;

use super::home::{DIRECTORY, Home};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::io::{Mode, read_to_end_of};
use crate::limits::STATE_BYTES_MAX;
use crate::position::Position;

const MAGIC: &[u8; 8] = b"annlproj";
const HEAD_BYTES: usize = 56;
const CHECK_BYTES: usize = 8;

fn file(extension: &str, name: &str) -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/{name}.{extension}"))
}

/// The bytes of a kept state.
pub(crate) fn write(version: u32, at: &Checkpoint, state: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + state.len() + CHECK_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&at.position.get().to_le_bytes());
    bytes.extend_from_slice(&at.epoch.to_le_bytes());
    bytes.extend_from_slice(&at.fingerprint);
    bytes.extend_from_slice(&(state.len() as u64).to_le_bytes());
    bytes.extend_from_slice(state);
    let check = xxh3_64(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes
}

/// Version, checkpoint and state of a kept one; `None` if the bytes are not that, whole.
pub(crate) fn read(bytes: &[u8]) -> Option<(u32, Checkpoint, &[u8])> {
    let (content, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if xxh3_64(content) != u64::from_le_bytes(*check) || !content.starts_with(MAGIC) {
        return None;
    }
    let number = |at: usize| content.get(at..at + 8)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    let version = u32::from_le_bytes(*content.get(8..12)?.first_chunk::<4>()?);
    let fingerprint = *content.get(32..48)?.first_chunk::<16>()?;
    let state = content.get(HEAD_BYTES..).filter(|state| number(48) == Some(state.len() as u64))?;
    Some((version, Checkpoint { position: Position::new(number(16)?), epoch: number(24)?, fingerprint }, state))
}

/// The state that was kept under a name, if it is of this version and whole.
pub(crate) fn load(home: &Home, name: &str, version: u32) -> Result<Option<(Checkpoint, Vec<u8>)>> {
    let path = file("state", name);
    let failed = |error| Error::io(format_args!("read {}", path.display()), error);
    let opened = match home.storage.open(&path, Mode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let len = opened.len().map_err(failed)?;
    if len > (STATE_BYTES_MAX + HEAD_BYTES + CHECK_BYTES) as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize];
    let got = read_to_end_of(&*opened, &mut bytes, 0).map_err(failed)?;
    bytes.truncate(got);
    let kept = read(&bytes).filter(|(found, ..)| *found == version);
    Ok(kept.map(|(_, at, state)| (at, state.to_vec())))
}

/// Keeps a state under a name, in the place of what was kept under it.
pub(crate) fn save(home: &Home, name: &str, version: u32, at: &Checkpoint, state: &[u8]) -> Result<()> {
    let failed = |error| Error::io(format_args!("keep {DIRECTORY}/{name}.state"), error);
    let bytes = write(version, at, state);
    let (tmp, path) = (file("state.tmp", name), file("state", name));
    match home.storage.remove(&tmp) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let new = home.storage.open(&tmp, Mode::CreateNew).map_err(failed)?;
    new.write_all_at(&mut [IoSlice::new(&bytes)], 0).map_err(failed)?;
    new.sync_data().map_err(failed)?;
    home.storage.rename(&tmp, &path).map_err(failed)?;
    home.storage.sync_dir(DIRECTORY.as_ref()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_or_a_cut_is_no_kept_state() {
        let at = Checkpoint { position: Position::new(7), epoch: 2, fingerprint: [9; 16] };
        let bytes = write(3, &at, b"the state");
        assert_eq!(read(&bytes), Some((3, at, &b"the state"[..])));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), None, "bit {bit}");
        }
        assert!((0..bytes.len()).all(|len| read(&bytes[..len]).is_none()));
    }
}
