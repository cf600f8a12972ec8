//! Any file by any name, through `inspect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::inspect(data));
