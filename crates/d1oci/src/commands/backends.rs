//! `d1oci backends`: what this program was built with.

use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;

/// List the backends that this program was built with.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci backends --format json")]
pub(crate) struct Arguments {}

#[derive(Debug, Serialize)]
struct Backend {
    name: &'static str,
    about: &'static str,
}

#[derive(Debug, Serialize)]
struct Listing {
    backends: Vec<Backend>,
    absent: Vec<&'static str>,
}

pub(crate) fn run(context: &Context, _arguments: &Arguments) -> Result<(), Failure> {
    let backends = context.backends.iter();
    let listing = Listing {
        backends: backends.map(|factory| Backend { name: factory.name(), about: factory.about() }).collect(),
        absent: context.backends.absent_features().collect(),
    };
    context.printer.result(&listing, |listing| {
        let present =
            listing.backends.iter().map(|backend| format!("{:<10} {}\n", backend.name, backend.about));
        let absent =
            listing.absent.iter().map(|feature| format!("{:<10} not built in (feature `{feature}`)\n", "-"));
        present.chain(absent).collect()
    })
}
