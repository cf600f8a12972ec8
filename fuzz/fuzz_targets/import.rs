//! A history to import, one event a line, and out of an export again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::import(data));
