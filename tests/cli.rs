//! The command line as its users meet it: transcripts of good and of bad input, with exit codes and messages.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "cli/backup.rs"]
mod backup;
#[path = "cli/bad.rs"]
mod bad;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/damage.rs"]
mod damage;
#[path = "cli/flow.rs"]
mod flow;
#[path = "cli/govern.rs"]
mod govern;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/prove.rs"]
mod prove;
#[path = "cli/read.rs"]
mod read;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/seal.rs"]
mod seal;
#[path = "cli/signals.rs"]
mod signals;
#[cfg(feature = "sqlite")]
#[path = "cli/sql.rs"]
mod sql;
#[path = "cli/state.rs"]
mod state;
#[path = "cli/workers.rs"]
mod workers;
#[path = "cli/write.rs"]
mod write;
