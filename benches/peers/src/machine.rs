//! The machine that was measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::figures::Machine;

pub(crate) fn describe(directory: &Path) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| -> String {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory_kib: u64 = memory.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let load: Vec<String> = read("/proc/loadavg").split_whitespace().take(3).map(str::to_owned).collect();
    Machine {
        date: now(),
        cpu: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_mib: memory_kib / 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: file_system(directory, &read("/proc/self/mountinfo")),
        rustc: told_by("rustc", "--version"),
        load: load.join(" "),
        ..Machine::default()
    }
}

/// Loads of the last minute, five and fifteen.
fn now() -> String {
    let nanos = annals::Timestamp::now().to_string();
    // To the minute: `2026-01-01T10:20:30Z`.
    nanos.get(..16).unwrap_or(&nanos).replace('T', " ") + " UTC"
}

fn told_by(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Kind and mount options of the file system that holds a directory: the longest mount point that is a prefix.
fn file_system(directory: &Path, mounts: &str) -> String {
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let mut best = (0, String::new());
    for line in mounts.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let mut front = front.split(' ').skip(4);
        let (Some(point), Some(options)) = (front.next(), front.next()) else { continue };
        let kind = back.split(' ').next().unwrap_or_default();
        if directory.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), format!("{kind} ({options})"));
        }
    }
    best.1
}
