//! ANCHOR, LIVE and LOCK beside a sound log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::identity(data));
