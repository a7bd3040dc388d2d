//! `d1oci version`: the version of this program and how it computes checksums.

use multi_digest::Lanes;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;

/// Show the version of this program; with -v, also the instructions that compute checksums.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The environment variable D1OCI_VECTORS limits the vector instructions that compute checksums of many files \
                        at once: none, 128, avx2 or avx512. Every choice gives the same checksums.\n\n\
                        Example: d1oci version -v"
)]
pub(crate) struct Arguments {}

#[derive(Debug, Serialize)]
struct Shown {
    version: &'static str,
    checksum_instructions: String,
}

pub(crate) fn run(context: &Context, _arguments: &Arguments) -> Result<(), Failure> {
    let shown = Shown { version: env!("CARGO_PKG_VERSION"), checksum_instructions: Lanes::new().to_string() };
    context.printer.result(&shown, |shown, lines| {
        lines.add(format_args!("d1oci {}", shown.version));
        if context.is_verbose() {
            lines.add(format_args!("checksums of many files at once: {}", shown.checksum_instructions));
        }
    })
}
