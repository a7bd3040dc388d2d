//! Fuzzes `layout_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| d1oci_fuzz_parsers::layout_index(bytes));
