//! SQL that somebody wrote: it reads, ends when it shall, and changes nothing.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::logs::{self, Dice, ours};
use crate::error::ErrorKind;
use crate::io::SimStorage;
use crate::query::Query;
use crate::store::Store;

/// How long a statement may run before it is told to end.
const RUNS: Duration = Duration::from_millis(100);
/// How soon it must have ended then: a machine may be busy with other things.
const ENDS: Duration = Duration::from_secs(8);
const ROWS_MAX: usize = 500;

/// A store with a few hundred events, and all of them as lines.
fn small() -> &'static (Store, Vec<Vec<u8>>) {
    static SMALL: OnceLock<(Store, Vec<Vec<u8>>)> = OnceLock::new();
    SMALL.get_or_init(|| {
        let (clock, disk) = (logs::clock(), SimStorage::new());
        let store = logs::sound(&disk, logs::options(&clock));
        let noise: Vec<u8> = (0..4_000u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        logs::fill(&store, &clock, &mut Dice(&noise), 150);
        ours(store.seal());
        logs::fill(&store, &clock, &mut Dice(&noise), 300);
        let lines = logs::lines(&store.reader(), &Query::all());
        (store, lines)
    })
}

/// A statement over a small store.
pub fn sql(data: &[u8]) {
    let (store, lines) = small();
    let text = String::from_utf8_lossy(data);
    let begun = Instant::now();
    let outcome = crate::sql::fuzz::run(store, &text, RUNS, ROWS_MAX);
    let took = begun.elapsed();
    assert!(took < RUNS + ENDS, "{took:?} for {text}");
    if let Err(error) = outcome {
        let kinds = [ErrorKind::Invalid, ErrorKind::TooLarge, ErrorKind::Closed];
        assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
    }
    assert!(store.reader().tail().get() == lines.len() as u64, "{text} writes");
}
