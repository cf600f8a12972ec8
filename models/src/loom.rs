//! Small protocols, exhaustively: the doorbell, publishing within a process, LIVE between processes.
//!
//! The code is the real one. Doubles: the disk, of which only a mapping is needed ([`disk::Stub`], whose mappings are real
//! [`Region`](crate::io::map::Region)s on the heap), and the words of LIVE, which are atomics of loom with the orderings
//! of `SharedWords`. Beside each piece of published memory stands a relaxed atomic, written before it: who is shown the
//! memory must see that write, whatever the hardware may do.

mod disk;
mod doorbell;
mod live;
mod publish;

use super::{Model, count};

pub(super) fn all() -> Vec<Model> {
    let mut all = doorbell::models();
    all.extend(publish::models());
    all.extend(live::models());
    all
}

/// Times that a thread is stopped in the midst of its steps, at most, where going through all would take hours.
const PREEMPTIONS_MAX: usize = 3;

/// Runs a model under every schedule.
fn check(model: impl Fn() + Send + Sync + 'static) {
    check_within(None, model);
}

/// Runs a model under every schedule in which no more than [`PREEMPTIONS_MAX`] times a thread is stopped.
fn check_some(model: impl Fn() + Send + Sync + 'static) {
    check_within(Some(PREEMPTIONS_MAX), model);
}

fn check_within(preemptions_max: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 1_000_000;
    builder.preemption_bound = preemptions_max;
    builder.check(move || {
        count();
        model();
    });
}
