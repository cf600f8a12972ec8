//! Header, tail or footer of a sealed segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::envelope(data));
