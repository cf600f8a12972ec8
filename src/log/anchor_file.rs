//! Reading and writing ANCHOR: two slots in turn, so that one of them is always whole.

use std::io::IoSlice;

use crate::error::{Error, ErrorKind, Result};
use crate::format::anchor::{Anchor, FILE_BYTES, OFFSETS};
use crate::format::{PAGE_BYTES, Read};
use crate::io::{Mode, Storage, read_to_end_of};
use crate::log::core::NotWritten;
use crate::log::files::{ANCHOR, ANCHOR_TMP};

/// What the file said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AnchorRead {
    Missing,
    /// Neither slot is valid; why not.
    Bad(String),
    /// The newer of the valid slots, and whether the other one is damaged.
    Valid {
        anchor: Box<Anchor>,
        other_bad: bool,
    },
}

pub(crate) fn read(storage: &dyn Storage) -> Result<AnchorRead> {
    let failed = |error| Error::io("read ANCHOR", error);
    let file = match storage.open(ANCHOR.as_ref(), Mode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(AnchorRead::Missing),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = vec![0; FILE_BYTES];
    let got = read_to_end_of(&*file, &mut bytes, 0).map_err(failed)?;
    bytes.truncate(got);
    let slots = OFFSETS.map(|offset| Anchor::read(bytes.get(offset as usize..).unwrap_or_default(), offset));
    if let Some(version) = slots.iter().find_map(|slot| match slot {
        Read::Newer { version } => Some(*version),
        _ => None,
    }) {
        return Err(crate::error::newer_format(version));
    }
    // A slot of zeros is one that was never written: only the first ANCHOR of a store has it.
    let other_bad = slots.iter().any(|slot| matches!(slot, Read::Bad(_))) || got != FILE_BYTES;
    let newest = slots.iter().filter_map(|slot| slot.clone().valid()).max_by_key(|anchor| anchor.seq);
    Ok(match newest {
        Some(anchor) => AnchorRead::Valid { anchor: Box::new(anchor), other_bad },
        None => AnchorRead::Bad(
            slots
                .iter()
                .find_map(|slot| match slot {
                    Read::Bad(bad) => Some(format!("expected {}, found {}", bad.expected, bad.found)),
                    _ => None,
                })
                .unwrap_or_else(|| "both slots are zeros".to_owned()),
        ),
    })
}

/// Puts a whole new file in place, durable when this returns: at creation and by repair.
pub(crate) fn create(storage: &dyn Storage, anchor: &Anchor) -> Result<()> {
    let failed = |error| Error::io("create ANCHOR", error);
    let file = storage.open(ANCHOR_TMP.as_ref(), Mode::Create).map_err(failed)?;
    file.set_len(0).map_err(failed)?;
    // The other slot gets its room now, so that it can be written on a full disk.
    let mut bytes = [0; FILE_BYTES];
    bytes[anchor.offset() as usize..][..PAGE_BYTES].copy_from_slice(&anchor.encode()[..]);
    file.write_all_at(&mut [IoSlice::new(&bytes)], 0).map_err(failed)?;
    file.sync_data().map_err(failed)?;
    storage.rename(ANCHOR_TMP.as_ref(), ANCHOR.as_ref()).map_err(failed)?;
    if cfg!(annals_no_dir_sync) {
        return Ok(());
    }
    storage.sync_dir("".as_ref()).map_err(failed)?;
    storage.sync_parent().map_err(failed)
}

/// Syncs what was found. A killed process may have left a slot that only the page cache holds, and the next write goes
/// to the other one: the power could take both.
pub(crate) fn sync(storage: &dyn Storage) -> Result<()> {
    let file = storage.open(ANCHOR.as_ref(), Mode::Read).map_err(|error| Error::io("open ANCHOR", error))?;
    file.sync_data().map_err(|error| Error::io("sync ANCHOR", error))
}

/// Writes the next slot and syncs it.
pub(crate) fn write(storage: &dyn Storage, anchor: &Anchor) -> Result<(), NotWritten> {
    let failed = |error| Error::io("write ANCHOR", error);
    let file = storage.open(ANCHOR.as_ref(), Mode::Write).map_err(failed).map_err(NotWritten::Failed)?;
    let written = file.write_all_at(&mut [IoSlice::new(&anchor.encode()[..])], anchor.offset()).map_err(failed);
    written.map_err(|error| match error.kind() {
        ErrorKind::Full => NotWritten::NoRoom(error),
        _ => NotWritten::Failed(error),
    })?;
    file.sync_data().map_err(failed).map_err(NotWritten::Failed)
}
