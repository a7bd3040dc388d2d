//! Fuzzes `bag_tar`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| d1oci_fuzz_parsers::bag_tar(bytes));
