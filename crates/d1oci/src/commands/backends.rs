//! `d1oci backends`: the backends of this program.

use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;

/// List the backends of this program.
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
    let all = context.all_backends();
    let listing = Listing {
        backends: all
            .iter()
            .map(|factory| Backend { name: factory.name(), about: factory.about() })
            .collect(),
        absent: all.absent_features().collect(),
    };
    context.printer.result(&listing, |listing, lines| {
        for Backend { name, about } in &listing.backends {
            lines.add(format_args!("{name:<10} {about}"));
        }
        for feature in &listing.absent {
            lines.add(format_args!("{:<10} not built in (feature `{feature}`)", "-"));
        }
    })
}
