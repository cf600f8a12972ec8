//! A receipt, and the bytes under a leaf.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::receipt(data));
