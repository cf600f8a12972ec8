//! Checking the files of workers. They are authoritative: what is wrong with one is damage.

use crate::error::{Corruption, ErrorKind, Result};
use crate::log::shared::Log;
use crate::report::Verification;
use crate::worker::kept;

/// Looks at every file. `in_use` says whether somebody may be writing to it, so that its end may be under way.
pub(crate) fn check(log: &Log, in_use: &dyn Fn(&str) -> bool, found: &mut Verification) -> Result<()> {
    for name in kept::names(&*log.storage)? {
        found.files += 1;
        let path = kept::path_of(&name);
        let kept = match kept::read(&*log.storage, log.id, &name) {
            Ok(Some(kept)) => kept,
            Ok(None) => continue,
            Err(error) => match error.corruption() {
                Some(corruption) => {
                    found.damage.push(corruption.clone());
                    continue;
                }
                None if error.kind() == ErrorKind::TooLarge => {
                    found.damage.push(Corruption::new(path, 0, "a worker's file", error.to_string()));
                    continue;
                }
                None => return Err(error),
            },
        };
        found.bytes += kept.bytes;
        let through = kept.state.through;
        match log.checkpoint(through.position) {
            Ok(held) if held == Some(through) => {}
            // The log's own damage is told already.
            Err(_) => {}
            Ok(held) => {
                let held = held.map_or_else(|| "the log without it".to_owned(), |held| held.to_string());
                found.damage.push(Corruption::new(path.clone(), 0, format!("a log that holds {through}"), held));
            }
        }
        if let Some(torn) = kept.torn.filter(|_| found.torn.is_none() && !in_use(&name)) {
            found.torn = Some(format!("{}: {torn}", path.display()));
        }
    }
    Ok(())
}
