//! Reading and printing times: an import reads two a line, an export prints two.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

use std::fmt::Write;
use std::hint::black_box;

use annals::Timestamp;
use criterion::{Criterion, criterion_group, criterion_main};

fn time(criterion: &mut Criterion) {
    let texts = [
        ("seconds", "2014-03-04T15:22:44-08:00"),
        ("milliseconds", "2011-10-01T00:38:44.546+02:00"),
        ("nanoseconds", "2026-11-01T14:00:00.123456789Z"),
    ];
    for (name, text) in texts {
        criterion.bench_function(&format!("time/parse/{name}"), |bencher| {
            bencher.iter(|| Timestamp::parse(black_box(text)).unwrap());
        });
        let time = Timestamp::parse(text).unwrap();
        let mut line = String::new();
        criterion.bench_function(&format!("time/print/{name}"), |bencher| {
            bencher.iter(|| {
                line.clear();
                write!(line, "{}", black_box(time)).unwrap();
                line.len()
            });
        });
    }
}

criterion_group!(benches, time);
criterion_main!(benches);
