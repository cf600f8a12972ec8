//! A time or a duration as people write it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::time(data));
