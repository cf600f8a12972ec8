//! Events that the flow finds in the log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::flow(data));
