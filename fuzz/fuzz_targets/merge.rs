//! Merge patches, held against a naive merging.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::merge(data));
