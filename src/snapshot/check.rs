//! A full check of the stored states, for `verify`: every record, and the event that each claims to stand at.

use std::path::PathBuf;

use super::file::{Opened, Place, walk};
use super::file_names;
use crate::io::Mode;
use crate::log::files::SNAPSHOTS;
use crate::log::shared::Log;
use crate::report::Verification;

/// Looks at every file of snapshots. What is wrong with one is told among the derived files: such a state is ignored
/// when it is met, and nothing is lost.
pub(crate) fn check(log: &Log, found: &mut Verification) {
    for name in file_names(log) {
        let path = PathBuf::from(SNAPSHOTS).join(name);
        match check_file(log, &path, found) {
            Ok(wrong) => found.derived.extend(wrong.into_iter().map(|why| (path.clone(), why))),
            Err(why) => found.derived.push((path, why)),
        }
    }
}

fn check_file(log: &Log, path: &std::path::Path, found: &mut Verification) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| error.to_string();
    // Gone since it was listed: the writer has replaced it.
    let Some(meta) = log.storage.metadata(path).map_err(failed)? else { return Ok(Vec::new()) };
    let file = log.storage.open(path, Mode::Read).map_err(failed)?;
    found.files += 1;
    found.bytes += meta.len;
    let opened = Opened::new(file, &meta)?;
    if opened.header.log != log.id {
        return Err(format!("it belongs to log {}", opened.header.log));
    }
    let mut wrong = Vec::new();
    let end = walk(&*opened.file, opened.header.salt, opened.end, |offset, record| {
        let stored = opened.read(&Place::of(offset, record), record.subject);
        let why = match (stored, log.fingerprint(record.position)) {
            (Err(why), _) => Some(why),
            (Ok(stored), Ok(Some(fingerprint))) if stored.fingerprint == fingerprint => None,
            (Ok(_), Ok(_)) => Some(format!("the log holds another event at position {}", record.position)),
            // The damage of the log is told already.
            (Ok(_), Err(_)) => None,
        };
        wrong.extend(why.map(|why| format!("the state of {}: {why}", record.subject)));
    });
    let end = end.map_err(failed)?;
    // The length as it was before the records were read: what was appended since is not missing.
    if end < meta.len {
        wrong.push(format!("from byte {end} on there is no whole record"));
    }
    Ok(wrong)
}
