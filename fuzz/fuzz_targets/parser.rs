//! Fuzzes the parser that the environment variable `PARSER` names, over the corpus of the same name.
#![no_main]

use std::sync::OnceLock;

use d1oci_fuzz_parsers::{TARGETS, Target};

/// The chosen parser.
static PARSER: OnceLock<Target> = OnceLock::new();

fn choose() {
    let wanted = std::env::var("PARSER").unwrap_or_default();
    let Some((_, parser)) = TARGETS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("PARSER: expected one of {}, found `{wanted}`", names.join(", "));
    };
    PARSER.get_or_init(|| *parser);
}

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(parser) = PARSER.get() {
        parser(bytes);
    }
});
