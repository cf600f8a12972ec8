//! The same log raw and sealed: the same answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::forms(data));
