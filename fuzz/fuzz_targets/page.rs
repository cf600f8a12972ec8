//! Pages of fields: segment header, slot, ANCHOR, index header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::page(data));
