//! A page of data of a sealed segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::payload(data));
