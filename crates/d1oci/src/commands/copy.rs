//! `d1oci copy`: between registries and layouts.

use d1_transfer::{CopyOptions, CopyReport};
use oci_model::{Location, Reference, Tag};
use registry_backend::Access;

use crate::context::Context;
use crate::failure::Failure;
use crate::near::found;
use crate::output::{Lines, human};
#[cfg(feature = "distribution-client")]
use crate::registries::SideOptions;
use crate::spellings::TaggedReference;

/// Copy an artifact from one repository to another, byte for byte.
///
/// Content that the target has is not sent again; a registry mounts blobs between its own repositories.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci copy --referrers oci:store:v1 oci:replica:v1")]
pub(crate) struct Arguments {
    /// The artifact.
    from: Reference,
    /// The target, with any number of tags: `REPOSITORY:v1,latest`. Without one, the copy gets the tag of the source, if any.
    to: TaggedReference,
    /// Further tags.
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// Copy the artifacts that refer to it too: attached system metadata, signatures.
    #[arg(short, long, alias = "recursive")]
    referrers: bool,
    /// Read every blob that the target has, and replace damaged ones.
    #[arg(long)]
    repair: bool,
    /// Include objects that were withdrawn from the target; their tombstones stay.
    #[arg(long)]
    include_withdrawn: bool,
    /// Copy objects that not everybody may read.
    #[arg(long)]
    include_private: bool,
    /// Let a registry forget the artifact that a tag named before; without it, the former artifact keeps a tag of its digest.
    #[arg(long)]
    no_keep: bool,
    #[cfg(feature = "distribution-client")]
    #[command(flatten)]
    sides: SideOptions,
}

pub(crate) async fn run(
    context: &Context,
    #[cfg_attr(not(feature = "distribution-client"), expect(unused_mut, reason = "no registry has options"))]
    mut arguments: Arguments,
) -> Result<(), Failure> {
    #[cfg(feature = "distribution-client")]
    context.registries.set_sides(
        std::mem::take(&mut arguments.sides),
        &arguments.from.location,
        &arguments.to.first.location,
    )?;
    let target = context.required_target(&arguments.from)?;
    let from = context.open(&arguments.from.location, Access::Read).await?;
    let target_location = &arguments.to.first.location;
    let to = context.open(target_location, Access::Create).await?;
    let mut options = CopyOptions::default();
    let tag = context.tag_only(&arguments.to.first)?.or(match target {
        oci_model::ManifestRef::Tag(tag) => Some(tag),
        oci_model::ManifestRef::Digest(_) => None,
    });
    options.tags = tag.into_iter().chain(&arguments.to.more).chain(&arguments.tags).cloned().collect();
    options.referrers = arguments.referrers;
    options.repair = arguments.repair;
    options.include_withdrawn = arguments.include_withdrawn;
    options.forget_moved = arguments.no_keep;
    options.include_private = arguments.include_private;
    options.mount_from = match (&arguments.from.location, target_location) {
        (Location::Registry { host, repository }, Location::Registry { host: other, .. })
            if host == other =>
        {
            Some(repository.clone())
        }
        _ => None,
    };
    let report = d1_transfer::copy(&*from, target, &*to, &options, &context.observer()).await;
    let report = found(&*from, &arguments.from, report).await?;
    context.printer.done(&report, |report, lines| text(report, &arguments, lines))
}

fn text(report: &CopyReport, arguments: &Arguments, lines: &mut Lines<'_>) {
    lines.add(format_args!("Copied {} to {}", arguments.from, arguments.to.first));
    lines.add(format_args!(
        "{}, {}, {} sent",
        human::count(report.manifests, "manifest"),
        human::count(report.blobs, "blob"),
        human::bytes(report.sent_bytes),
    ));
    lines.add(format_args!("Digest: {}", report.digest));
}
