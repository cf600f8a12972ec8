//! A file of stored states beside a sound log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::snapshot(data));
