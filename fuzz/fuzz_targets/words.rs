//! A word of a command line, taken for everything that one can be.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::words(data));
