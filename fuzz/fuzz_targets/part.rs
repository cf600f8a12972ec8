//! A raw segment on its way into a backup.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::part(data));
