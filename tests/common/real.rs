//! Real histories. One sample is part of the repository. The others are optional: beside it, in ../shared/data, or where
//! `ANNALS_TEST_DATA` says.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The names of those that are known, without their ending.
pub const KNOWN: [&str; 8] = [
    "expenses-bpic2020-domestic",
    "git-cargo",
    "github-2015-01-01-00",
    "loans-bpic2012",
    "notes-peps-sample",
    "permits-receipt",
    "webhooks-octokit",
    "wiki-edits-2015",
];

pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/notes-peps-sample.jsonl.zst")
}

pub fn directory() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    std::env::var_os("ANNALS_TEST_DATA").map_or_else(beside, PathBuf::from)
}

/// One of the optional ones; if it is not there, that is said.
pub fn optional(stem: &str) -> Option<PathBuf> {
    let path = directory().join(format!("{stem}.jsonl.zst"));
    if path.exists() {
        return Some(path);
    }
    // Not eprintln, which the harness keeps to itself when a test passes; and at once, as tests run beside it.
    let text = format!("SKIPPED {stem}: no {} (ANNALS_TEST_DATA)\n", path.display());
    std::io::stderr().write_all(text.as_bytes()).unwrap();
    None
}
