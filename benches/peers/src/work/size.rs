//! Bytes per event on disk for real logs: each is appended in batches of 100 to an empty store, which is then closed.

use super::{Case, Run, Spec, want};
use crate::event;
use crate::figures::Better;

/// The largest packed log of a short run.
const SHORT_BYTES: u64 = 2 << 20;

pub(crate) fn run(run: &mut Run) {
    let Some(logs) = run.logs.clone() else {
        return absent(run, "ANNALS_TEST_DATA is not set: no real logs were measured");
    };
    let found = event::real_logs(&logs);
    if found.is_empty() {
        return absent(run, "ANNALS_TEST_DATA holds no *.jsonl.zst: no real logs were measured");
    }
    let (found, left): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|(_, path)| run.long || std::fs::metadata(path).is_ok_and(|meta| meta.len() <= SHORT_BYTES));
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
        absent(run, &format!("real logs that only --long measures: {}", names.join(", ")));
    }
    // What it takes does not depend on the round.
    let rounds = std::mem::replace(&mut run.rounds, 1);
    for (name, path) in found {
        let case = format!("{name}: bytes per event");
        let cases: &[Case<'_>] = &[("bytes", &case, "bytes", Better::Lower)];
        let wants = vec![want("file", path.display())];
        let peers = run.peers.clone();
        run.measure(&peers, &Spec { work: "size", child: "fill", wants, cases, filled: false });
    }
    run.rounds = rounds;
}

fn absent(run: &mut Run, why: &str) {
    eprintln!("!!! SKIPPED: {why}");
    run.absent.push(why.to_owned());
}
