//! `d1oci resolve`: the digest of an artifact.

use oci_model::{Descriptor, Reference};
use registry_backend::{Access, RegistryBackendExt};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::near::found;

/// Print the digest of the artifact that a reference names.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci resolve oci:store:v1")]
pub(crate) struct Arguments {
    /// The artifact.
    reference: Reference,
    /// Print the whole reference, with the digest.
    #[arg(short = 'l', long)]
    full_reference: bool,
}

#[derive(Debug, Serialize)]
struct Resolved {
    reference: String,
    descriptor: Descriptor,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let target = context.required_target(&arguments.reference)?;
    let location = &arguments.reference.location;
    let backend = context.open(location, Access::Read).await?;
    let descriptor = backend.resolve(target).await;
    let descriptor = found(&*backend, &arguments.reference, descriptor).await?;
    let resolved = Resolved { reference: format!("{location}@{}", descriptor.digest), descriptor };
    context.printer.result(&resolved, |resolved, lines| match arguments.full_reference {
        true => lines.add(&resolved.reference),
        false => lines.add(&resolved.descriptor.digest),
    })
}
