//! Closing in order: appends in flight finish, everything is synced, and what the next opening
//! would have to work out is written down.

use super::background::remove_spare;
use super::commit::Committer;
use super::indexer;
use super::writer::write_slot;
use crate::error::{Error, Result};
use crate::format::live::State as Live;
use crate::format::slot::State;

/// Fewer rows than this are indexed faster than their index is read.
const INDEX_ROWS_MIN: u32 = 8192;

pub(crate) fn close(committer: &Committer) -> Result<()> {
    committer.close();
    let core = committer.core();
    let synced = committer.sync_written();
    core.jobs.stop();
    if core.poison.is_set() {
        return synced;
    }
    while core.jobs.hash_leaves(core, u64::MAX)? {}
    committer.with_writer(|writer| {
        writer.room.stop();
        drop(core.spare.take());
        remove_spare(&*core.log.storage);
        let segment = &writer.active;
        let fresh = segment.rows().saturating_sub(segment.index.read().idx.as_ref().map_or(0, |idx| idx.rows()));
        if fresh >= INDEX_ROWS_MIN {
            indexer::index_segment(&core.log, segment);
        }
        // What lies beyond the published end is only room; published bytes are never cut.
        if writer.room.allocated() > writer.offset {
            writer.room.file.set_len(writer.offset).map_err(|error| Error::io("give back unused room", error))?;
        }
        let slot = writer.slot(State::Clean);
        write_slot(&*writer.room.file, &slot, writer.active.header.salt)?;
        writer.room.sync().map_err(|error| Error::io("sync the active segment", error))?;
        let (base, epoch, tail) = (writer.active.base(), writer.active.header.epoch, core.log.tail());
        core.write_anchor(|anchor| (anchor.newest_base, anchor.durable, anchor.epoch) = (base, tail, epoch))?;
        Ok::<(), Error>(())
    })?;
    core.live.set_state(Live::Clean);
    Ok(())
}
