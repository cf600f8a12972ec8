//! The strings and id templates that the blocks of a sealed segment share.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::dictionary(data));
