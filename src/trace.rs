//! What the store does beside appending and reading, told to a subscriber of the `tracing` crate. Without the feature
//! `tracing` every function here compiles to nothing.
//!
//! All of it is at level `debug`, of target `annals`; what stops or loses something is at level `warn`.

use std::fmt::Display;
use std::path::Path;

use crate::position::Position;
use crate::report::{Recovery, Repair};

#[cfg(feature = "tracing")]
macro_rules! tell {
    ($level:ident, $($fields:tt)*) => { tracing::event!(target: "annals", tracing::Level::$level, $($fields)*) };
}

#[cfg(not(feature = "tracing"))]
macro_rules! tell {
    ($level:ident, $($name:ident = $value:expr,)* $text:literal) => {{
        $(let _ = &$value;)*
    }};
}

/// A store was opened; what recovery found and did.
pub(crate) fn opened(store: &Path, recovery: &Recovery, reading: bool) {
    tell!(
        DEBUG,
        store = store.display().to_string().as_str(),
        reading = reading,
        tail = recovery.tail.get(),
        clean = recovery.clean,
        rewritten = recovery.rewritten,
        took_us = recovery.took.as_micros() as u64,
        "opened"
    );
    if let Some(cut) = &recovery.cut {
        tell!(
            WARN,
            file = cut.file.display().to_string().as_str(),
            offset = cut.offset,
            bytes = cut.bytes,
            reason = cut.reason.as_str(),
            "a torn tail was cut"
        );
    }
}

/// A segment is full, and the next one takes appends.
pub(crate) fn rolled(base: Position, epoch: u64) {
    tell!(DEBUG, base = base.get(), epoch = epoch, "rolled to a new segment");
}

/// A segment was sealed.
pub(crate) fn sealed(base: Position, events: u64, raw_bytes: u64, stored_bytes: u64) {
    tell!(
        DEBUG,
        base = base.get(),
        events = events,
        raw_bytes = raw_bytes,
        stored_bytes = stored_bytes,
        "sealed a segment"
    );
}

/// The writer has stopped for good.
pub(crate) fn poisoned(reason: &str) {
    tell!(WARN, reason = reason, "the writer has stopped");
}

/// A repair was made, or looked at.
pub(crate) fn repaired(store: &Path, repair: &Repair) {
    tell!(
        WARN,
        store = store.display().to_string().as_str(),
        done = repair.done,
        damaged_places = repair.damage.len() as u64,
        lost_events = repair.lost_events,
        tail = repair.tail.get(),
        "repair"
    );
}

/// A state was stored.
pub(crate) fn snapshot_written(file: &Path, position: Position, bytes: usize) {
    tell!(
        DEBUG,
        file = file.display().to_string().as_str(),
        position = position.get(),
        bytes = bytes as u64,
        "stored a state"
    );
}

/// A stored state was not used, or could not be stored.
pub(crate) fn snapshot_ignored(file: &Path, why: &dyn Display) {
    tell!(DEBUG, file = file.display().to_string().as_str(), why = why.to_string().as_str(), "ignored a stored state");
}
