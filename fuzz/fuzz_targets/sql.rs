//! SQL over a small store: it reads, and ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::sql(data));
