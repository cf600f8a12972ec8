//! Models: pieces of the library under every order of their steps.
//!
//! With loom (`--features loom`) the small protocols run exhaustively, weak memory included: every order of threads, and
//! every value that an atomic load may give. With shuttle (`--features shuttle`) whole stores run on a simulated disk,
//! in as many random orders as wanted, each access to shared memory taken for sequentially consistent.
//!
//! A model must hold as the code is, and must fail under each of its controls: something made weaker on purpose.

#![allow(missing_docs, missing_debug_implementations, clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[cfg(annals_loom)]
mod loom;
#[cfg(annals_shuttle)]
mod shuttle;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use crate::sync::chosen::{Weakness, What, set_weakness};

/// One model.
pub struct Model {
    pub name: &'static str,
    /// What must hold.
    pub claim: &'static str,
    /// What it must notice: a word of [`What`], and the file in which it is done.
    pub controls: &'static [&'static str],
    /// Runs so many schedules, or all.
    run: fn(u64),
}

/// Every model of the checker that this was built with.
#[must_use]
pub fn all() -> Vec<Model> {
    #[cfg(annals_loom)]
    return loom::all();
    #[cfg(annals_shuttle)]
    return shuttle::all();
}

/// Whether the models go through every schedule.
pub const IS_EXHAUSTIVE: bool = cfg!(annals_loom);

static SCHEDULES: AtomicU64 = AtomicU64::new(0);

/// Counts one schedule; for the closure that each of them runs.
fn count() {
    SCHEDULES.fetch_add(1, Ordering::Relaxed);
}

/// How many schedules have begun.
#[must_use]
pub fn schedules() -> u64 {
    SCHEDULES.load(Ordering::Relaxed)
}

/// Runs a model, and returns how many schedules that took.
///
/// # Panics
/// If it does not hold.
pub fn run(model: &Model, schedules_max: u64, control: Option<&str>) {
    set_weakness(control.map(|control| {
        let (what, file) = control.split_once(':').unwrap_or((control, ""));
        let what = match what {
            "release" => What::Release,
            "acquire" => What::Acquire,
            "fence" => What::Fence,
            "notify" => What::Notify,
            "send" => What::Send,
            "stale" => What::Stale,
            "sync" => What::Sync,
            other => panic!("nothing is called {other:?}"),
        };
        Weakness { what, file: file.to_owned() }
    }));
    (model.run)(schedules_max);
}
