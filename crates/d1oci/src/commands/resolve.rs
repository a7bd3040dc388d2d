//! `d1oci resolve`: the digest that a reference stands for.

use oci_model::{Descriptor, Reference};
use registry_backend::{Access, RegistryBackendExt};
use serde::Serialize;

use crate::context::{Context, required_target};
use crate::failure::Failure;

/// Print the digest that a reference stands for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci resolve oci:store:v1")]
pub(crate) struct Arguments {
    /// The artifact.
    reference: Reference,
    /// Print the whole reference with the digest in it.
    #[arg(short = 'l', long)]
    full_reference: bool,
}

#[derive(Debug, Serialize)]
struct Resolved {
    reference: String,
    descriptor: Descriptor,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let target = required_target(&arguments.reference)?;
    let location = &arguments.reference.location;
    let backend = context.open(location, Access::Read).await?;
    let descriptor = backend.resolve(target).await?;
    let resolved = Resolved { reference: format!("{location}@{}", descriptor.digest), descriptor };
    context.printer.result(&resolved, |resolved| match arguments.full_reference {
        true => resolved.reference.clone(),
        false => resolved.descriptor.digest.to_string(),
    })
}
