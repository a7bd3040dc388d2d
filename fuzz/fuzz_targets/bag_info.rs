//! Fuzzes `bag_info`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| d1oci_fuzz_parsers::bag_info(bytes));
