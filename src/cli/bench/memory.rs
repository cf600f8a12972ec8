//! Our own memory: what a process takes that has a log open for reading, mapped files apart.
//!
//! Another process of this same program opens the log and tells, so that nothing of the measurement is in the figure.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals::{Position, Query};
use serde::{Deserialize, Serialize};

use super::report::{Report, Row};
use super::workload::{SUBJECTS, subject};
use crate::cli::fail::{Code, Done, Failure};
use crate::cli::open::reading;
use crate::cli::out::{Format, Out};
use crate::cli::text;

/// The verb of the other process.
pub(super) const VERB: &str = "bench-reader";
/// Bytes that a reader takes at most.
const MEMORY_AIM: f64 = (64 << 20) as f64;
/// Lookups of each kind that the reader makes.
const LOOKUPS: u64 = 1000;

/// Open a log for reading and tell what memory that takes (a part of `annals bench`)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store's directory
    store: PathBuf,
}

/// Anonymous memory of a reader in bytes; `None` where the system does not tell it.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    before: Option<u64>,
    open: Option<u64>,
    used: Option<u64>,
}

/// The memory of this process that no file stands behind, in bytes. Of the two files that tell it, the second adds up
/// what each processor counted, and the first counts anew.
fn anonymous_bytes() -> Option<u64> {
    [("/proc/self/smaps_rollup", "Anonymous:"), ("/proc/self/status", "RssAnon:")]
        .into_iter()
        .find_map(|(file, name)| bytes_of(name, &std::fs::read_to_string(file).ok()?))
}

fn bytes_of(name: &str, text: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the other process does: opens the log, reads all of it and looks things up.
pub(crate) fn open_and_tell(args: &Args, out: &mut Out) -> Done {
    let before = anonymous_bytes();
    let store = reading(&args.store)?;
    let reader = store.reader();
    let open = anonymous_bytes();
    let tail = reader.tail().get().max(1);
    let read = || -> annals::Result<()> {
        let mut bytes = 0;
        reader.scan(&Query::all(), |event| {
            bytes += event.data().len();
            ControlFlow::Continue(())
        })?;
        std::hint::black_box(bytes);
        for number in 0..LOOKUPS {
            reader.version(&subject(number % SUBJECTS))?;
            reader.event(Position::new(number * (tail / LOOKUPS).max(1) % tail + 1))?;
        }
        Ok(())
    };
    read().map_err(|error| Failure::of_store(&error, &args.store))?;
    out.json(&Told { before, open, used: anonymous_bytes() }, Format::Jsonl)
}

/// Runs the other process on a log.
pub(super) fn of_a_reader(path: &Path, name: &'static str, report: &mut Report) -> Done {
    let failed = |error: &std::io::Error| Failure::io("run a second annals", error);
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let ended = Command::new(program)
        .arg(VERB)
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(&error))?;
    let told: Told = serde_json::from_slice(&ended.stdout)
        .map_err(|error| Failure::new(Code::Failure, format!("a second annals did not tell its memory: {error}")))?;
    let row = match (told.before, told.open, told.used) {
        (Some(before), Some(open), Some(used)) => {
            let note = format!(
                "{} before it opens the log, {} then, {} when it has read all",
                text::bytes(before),
                text::bytes(open),
                text::bytes(used)
            );
            Row::new("aims", name, "bytes", open.max(used) as f64).noting(note)
        }
        _ => Row::new("aims", name, "bytes", f64::NAN).noting("this system does not tell it"),
    };
    report.add(row.aiming(MEMORY_AIM));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_without_a_file_counts() {
        let status = "Name:\tannals\nVmRSS:\t    9000 kB\nRssAnon:\t    1234 kB\nRssFile:\t    7766 kB\n";
        assert_eq!(bytes_of("RssAnon:", status), Some(1234 * 1024));
        assert_eq!(
            bytes_of("Anonymous:", "Anonymous:             508 kB\nAnonHugePages:         0 kB\n"),
            Some(508 * 1024)
        );
        assert_eq!(bytes_of("RssAnon:", "VmRSS:\t 1 kB\n"), None);
    }
}
