//! What projections and the flow keep, with the place in the log that it stands for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::checkpoint(data));
