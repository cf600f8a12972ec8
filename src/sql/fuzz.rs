//! What a fuzzer calls: a statement that is ended after a while, in a process whose SQLite may take little memory.

use std::sync::Once;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::statement::{Begun, Gone, Handed, Sink};
use super::value::Row;
use crate::error::Result;
use crate::store::Store;

/// Bytes that SQLite may take in all: less than a fuzzer has, and no statement over a small store needs more.
const HEAP_BYTES_MAX: i64 = 48 << 20;

/// Takes so many rows and no more.
struct Few {
    left: usize,
    columns: usize,
}

impl Sink for Few {
    fn begin(&mut self, begun: Begun) -> Handed {
        self.columns = begun.columns.len();
        Ok(())
    }

    fn row(&mut self, row: Row) -> Handed {
        assert_eq!((row.values().len(), row.columns().len()), (self.columns, self.columns));
        self.left = self.left.checked_sub(1).ok_or(Gone)?;
        Ok(())
    }
}

/// Answers a statement up to so many rows, and tells it to stop after so long, as an interrupter would.
pub(crate) fn run(store: &Store, text: &str, runs: Duration, rows_max: usize) -> Result<()> {
    static LIMITED: Once = Once::new();
    LIMITED.call_once(|| {
        let limit = rusqlite::Connection::open_in_memory()
            .and_then(|connection| connection.pragma_update(None, "hard_heap_limit", HEAP_BYTES_MAX));
        assert!(limit.is_ok(), "{limit:?}");
    });
    let job = store.job(text, ());
    let stop = std::sync::Arc::clone(&job.stop);
    let (over, ended) = crossbeam_channel::bounded::<()>(0);
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(runs) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let outcome = job.answer(&mut Few { left: rows_max, columns: 0 });
    drop(over);
    assert!(watch.join().is_ok());
    outcome
}
