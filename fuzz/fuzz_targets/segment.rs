//! A raw segment, through recovery's scan and through `inspect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::segment(data));
