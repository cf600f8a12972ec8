//! A read model in memory whose state is kept now and then, so that a restart replays only what came since.
//!
//! The kept state is the file `projections/NAME.state`, replaced whole each time:
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

use super::Projection;
use super::home::{DIRECTORY, Home};
use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Error, Result};
use crate::feed::Batch;
use crate::io::{Mode, read_to_end_of};
use crate::limits::STATE_BYTES_MAX;
use crate::position::Position;
use crate::query::Query;
use crate::snapshot::{State, codec};

const MAGIC: &[u8; 8] = b"annlproj";
const HEAD_BYTES: usize = 56;
const CHECK_BYTES: usize = 8;

/// A projection that folds events into one [`State`], in memory; the state is kept in the store now and then and when
/// it is stopped. Its name and version are the state's.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::time::Duration;
///
/// use annals::{BoxError, EventRef, MemoryProjection, NewEvent, State, Store};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct PerType(BTreeMap<String, u64>);
///
/// impl State for PerType {
///     const NAME: &'static str = "per-type";
///
///     fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
///         *self.0.entry(event.event_type().to_owned()).or_default() += 1;
///         Ok(())
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// let per_type = store.project(MemoryProjection::<PerType>::default())?;
/// let done = store.append([NewEvent::bytes("note.created", "note/n-1", "text/plain", "A")])?;
/// per_type.wait_for(done.last, Duration::from_secs(5))?;
/// assert_eq!(per_type.with(|model| model.state().0["note.created"]), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryProjection<S> {
    state: S,
    query: Query,
    /// Everything up to here is in the state: what a batch that failed halfway had taken in is not taken in again.
    position: Position,
    /// What is kept is another model's, until this one takes its place.
    beside: bool,
}

impl<S: State> Default for MemoryProjection<S> {
    fn default() -> MemoryProjection<S> {
        MemoryProjection::of(Query::all())
    }
}

impl<S: State> MemoryProjection<S> {
    /// A projection that folds the events of a query.
    #[must_use]
    pub fn of(query: Query) -> MemoryProjection<S> {
        MemoryProjection { state: S::default(), query, position: Position::ORIGIN, beside: false }
    }

    /// The state as it is now.
    pub fn state(&self) -> &S {
        &self.state
    }
}

fn file(extension: &str, name: &str) -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/{name}.{extension}"))
}

/// The bytes of a kept state.
fn write(version: u32, at: &Checkpoint, state: &[u8]) -> Vec<u8> {
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
fn read(bytes: &[u8]) -> Option<(u32, Checkpoint, &[u8])> {
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

impl<S: State + Send + 'static> MemoryProjection<S> {
    fn kept(&self, home: &Home) -> Result<Option<(Checkpoint, S)>> {
        let path = file("state", S::NAME);
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
        let kept = read(&bytes).filter(|(version, ..)| *version == S::SNAPSHOT_VERSION);
        Ok(kept.and_then(|(_, at, state)| Some((at, codec::decode(state).ok()?))))
    }
}

impl<S: State + Send + 'static> Projection for MemoryProjection<S> {
    fn name(&self) -> &str {
        S::NAME
    }

    fn version(&self) -> u32 {
        S::SNAPSHOT_VERSION
    }

    fn query(&self) -> Query {
        self.query.clone()
    }

    fn keeps_checkpoint(&self) -> bool {
        true
    }

    fn open(&mut self, home: &Home, beside: bool) -> Result<Checkpoint, BoxError> {
        self.beside = beside;
        let Some((at, state)) = (if beside { None } else { self.kept(home)? }) else { return Ok(Checkpoint::ORIGIN) };
        (self.state, self.position) = (state, at.position);
        Ok(at)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
        let behind = self.position;
        for event in batch.iter().filter(|event| event.position() > behind) {
            self.state.apply(event)?;
            self.position = event.position();
        }
        self.position = self.position.max(batch.through());
        Ok(())
    }

    fn clear(&mut self, _: &Home) -> Result<(), BoxError> {
        (self.state, self.position) = (S::default(), Position::ORIGIN);
        Ok(())
    }

    fn serve(&mut self, _: &Home) -> Result<Vec<String>, BoxError> {
        self.beside = false;
        Ok(Vec::new())
    }

    fn save(&mut self, home: &Home, at: &Checkpoint) -> Result<(), BoxError> {
        // A batch that failed halfway is in the state and in no checkpoint.
        if self.beside || at.position != self.position {
            return Ok(());
        }
        let bytes = write(S::SNAPSHOT_VERSION, at, &codec::encode(&self.state)?);
        let (tmp, path) = (file("state.tmp", S::NAME), file("state", S::NAME));
        match home.storage.remove(&tmp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let new = home.storage.open(&tmp, Mode::CreateNew)?;
        new.write_all_at(&mut [IoSlice::new(&bytes)], 0)?;
        new.sync_data()?;
        home.storage.rename(&tmp, &path)?;
        Ok(home.storage.sync_dir(DIRECTORY.as_ref())?)
    }

    fn differences(&self, rebuilt: &Self) -> Vec<String> {
        let text = |state: &S| serde_json::to_value(state).ok();
        match text(&self.state) == text(&rebuilt.state) {
            true => Vec::new(),
            false => vec!["the states are not the same".to_owned()],
        }
    }
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
