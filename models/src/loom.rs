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

/// Runs a model under every schedule.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 1_000_000;
    builder.check(move || {
        count();
        model();
    });
}
