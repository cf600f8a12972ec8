//! What workers keep, on its way into a copy of the log. Each file is made anew there, whole.

use crate::error::{Error, ErrorKind, Result};
use crate::event::LogId;
use crate::io::Storage;
use crate::position::Position;
use crate::time::Timestamp;
use crate::worker::kept::{self, make, path_of};
use crate::worker::state::State;

/// What each worker of a store knows, by name. To be read before it is settled how far the log is copied: then none has
/// seen more than the copy will hold.
pub(crate) fn read_all(storage: &dyn Storage, log: LogId) -> Result<Vec<(String, State)>> {
    let mut found = Vec::new();
    for name in kept::names(storage)? {
        let kept = kept::read(storage, log, &name)?;
        found.extend(kept.map(|kept| (name, State { session: None, ..kept.state })));
    }
    Ok(found)
}

/// Makes their files in the copy, which holds the log up to `position`.
pub(crate) fn write_all(
    target: &dyn Storage,
    log: LogId,
    workers: &[(String, State)],
    position: Position,
) -> Result<()> {
    for (name, state) in workers {
        if state.through.position > position {
            let text =
                format!("the worker {name} has seen {}, and the copy ends at {position}", state.through.position);
            return Err(Error::new(ErrorKind::Diverged, text));
        }
        make(target, log, name, &state.entries(), Timestamp::now()).map_err(Error::from)?;
    }
    Ok(())
}

/// Removes the files of workers that the store does not have any more.
pub(crate) fn remove_others(target: &dyn Storage, workers: &[(String, State)]) -> Result<()> {
    for name in kept::names(target)? {
        if !workers.iter().any(|(known, _)| *known == name) {
            let failed = |error| Error::io(format_args!("remove {}", path_of(&name).display()), error);
            target.remove(&path_of(&name)).map_err(failed)?;
        }
    }
    Ok(())
}
