//! Rules as TOML, held against a naive reading of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::rules(data));
