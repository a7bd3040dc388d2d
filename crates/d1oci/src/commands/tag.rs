//! `d1oci tag`: more tags for an artifact.

use oci_model::{Digest, ManifestRef, Reference, Tag};
use registry_backend::Access;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::near::found;
use crate::output::human;

/// Give an artifact more tags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci tag oci:store:v1 latest doi_10.18739_A2D795C92")]
pub(crate) struct Arguments {
    /// The artifact.
    reference: Reference,
    /// The tags.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<Tag>,
    /// Let a registry forget the artifact that a tag named before; without it, the former artifact keeps a tag of its digest.
    #[arg(long)]
    no_keep: bool,
}

#[derive(Debug, Serialize)]
struct Tagged {
    digest: Digest,
    tags: Vec<Tag>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let target = context.required_target(&arguments.reference)?;
    let location = &arguments.reference.location;
    let backend = context.open(location, Access::Modify).await?;
    let manifest = found(&*backend, &arguments.reference, backend.read_manifest(target).await).await?;
    let observer = context.observer();
    for tag in &arguments.tags {
        if !arguments.no_keep {
            d1_transfer::keep_former(&*backend, tag, manifest.digest(), &observer).await?;
        }
        backend.write_manifest(&ManifestRef::Tag(tag.clone()), &manifest).await?;
    }
    let tagged = Tagged { digest: manifest.digest().clone(), tags: arguments.tags };
    context.printer.done(&tagged, |tagged, lines| {
        if let (true, [first, more @ ..]) =
            (context.printer.is_quiet() && tagged.tags.len() > 1, &tagged.tags[..])
        {
            let more = human::count(more.len() as u64, "more tag");
            lines.add(format_args!("{location}:{first} and {more} are {}", tagged.digest));
            return;
        }
        for tag in &tagged.tags {
            lines.add(format_args!("{location}:{tag} is {}", tagged.digest));
        }
    })
}
