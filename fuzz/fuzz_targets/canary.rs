//! Must fail, within seconds and from its seeds at once: it shows that inputs get past the checks.
//! A run that ends without a crash means that the fuzzers test nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::canary(data));
