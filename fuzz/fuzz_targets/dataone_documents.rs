//! Fuzzes `dataone_documents`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| d1oci_fuzz_parsers::dataone_documents(bytes));
