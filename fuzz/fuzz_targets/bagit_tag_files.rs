//! Fuzzes `bagit_tag_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| d1oci_fuzz_parsers::bagit_tag_files(bytes));
