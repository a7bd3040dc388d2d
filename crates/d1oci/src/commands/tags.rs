//! `d1oci tags`: the tags of a repository.

use futures::TryStreamExt;
use oci_model::{Reference, Tag};
use registry_backend::Access;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;

/// List the tags of a repository.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci tags oci:store")]
pub(crate) struct Arguments {
    /// The repository.
    reference: Reference,
}

#[derive(Debug, Serialize)]
struct Listing {
    repository: String,
    tags: Vec<Tag>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = &arguments.reference.location;
    context.check_scheme(location)?;
    let backend = context.open(location, Access::Read).await?;
    let mut tags: Vec<Tag> = backend.tags().map_ok(|entry| entry.tag).try_collect().await?;
    tags.sort();
    let mut others = backend.other_names();
    while let Some((name, digest)) = others.try_next().await? {
        let hint = format!("name it `{location}@{digest}`");
        context.printer.warning(format_args!("`{name}` is a name that cannot be a tag; {hint}"));
    }
    let listing = Listing { repository: location.to_string(), tags };
    context.printer.result(&listing, |listing, lines| listing.tags.iter().for_each(|tag| lines.add(tag)))
}
