//! A query by its plan, held against looking at every event.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::plan(data));
