//! The head of a block of a sealed segment, behind the dictionary it refers to.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::block(data));
