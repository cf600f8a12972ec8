//! Stored states, by bincode and by wincode.
#![no_main]

#[path = "../wincode.rs"]
mod against;

libfuzzer_sys::fuzz_target!(|data: &[u8]| against::wincode(data));
