//! The term index of a sealed segment: directory and page, or filter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::terms(data));
