//! What the system counts of this process: processor time, memory, bytes written; and what a directory takes on disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// Seconds of processor time of all threads, in user space and in the kernel.
pub(crate) fn cpu_seconds() -> f64 {
    clock(ClockId::ProcessCPUTime)
}

/// The same of the calling thread alone.
pub(crate) fn thread_cpu_seconds() -> f64 {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> f64 {
    let time = clock_gettime(id);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Memory that is this process's own and not a page of some file, in MiB.
pub(crate) fn anonymous_mib() -> f64 {
    status_kib("RssAnon:") / 1024.0
}

fn status_kib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// Bytes that this process made the system write to disk, or will; 0 where the system does not tell.
pub(crate) fn written_bytes() -> f64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0.0)
}

/// Bytes that the files below a directory take on disk, room that was reserved included, holes not.
pub(crate) fn disk_bytes(directory: &Path) -> f64 {
    let mut files = Vec::new();
    files_below(directory, &mut files);
    files.iter().filter_map(|path| fs::symlink_metadata(path).ok()).map(|meta| meta.blocks() as f64 * 512.0).sum()
}

/// Reads every file below a directory, so that all of them are in the page cache, whatever the system did since they were
/// written.
pub(crate) fn warm(directory: &Path) {
    let mut files = Vec::new();
    files_below(directory, &mut files);
    for path in files {
        // What cannot be read shows in what is then measured on it.
        let _ = fs::File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
    }
}

/// All plain files below a directory.
pub(crate) fn files_below(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found.sort();
}
