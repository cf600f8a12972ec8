//! A stored state, by every type that states are made of.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::state(data));
