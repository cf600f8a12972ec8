//! The record of one event; what is read is written again and must be the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::record(data));
