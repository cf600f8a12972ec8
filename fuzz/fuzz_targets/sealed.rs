//! A whole sealed segment, opened and asked everything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::sealed(data));
