//! `d1oci backup` and `d1oci restore`: a repository in an image layout, and back, with the options of `oras`.

use std::path::{Path, PathBuf};

use globset::Glob;
use oci_model::{Location, ManifestRef, Reference, Tag};
use registry_backend::Access;

use super::mirror;
use crate::context::Context;
use crate::failure::Failure;
use crate::near::found;
use crate::spellings::TaggedReference;

/// Save a repository, or some of its tags, in an image layout in a directory.
///
/// It works like `d1oci mirror`, with the options of `oras`. A second run sends only missing and moved artifacts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci backup oci:store:v1 --output saved")]
pub(crate) struct BackupArguments {
    /// The repository, with tags: `REPOSITORY:v1,v2`. Without tags, all are saved.
    #[arg(value_name = "REFERENCE")]
    reference: TaggedReference,
    /// Directory for the layout.
    #[arg(short, long, value_name = "DIRECTORY")]
    output: PathBuf,
    /// Save the artifacts that refer to the saved ones too: attached system metadata, signatures.
    #[arg(long)]
    include_referrers: bool,
    /// Save artifacts with objects that not everybody may read. Without it, they are left out and listed.
    #[arg(long)]
    include_private: bool,
}

/// Bring artifacts from an image layout back into a repository.
///
/// It works like `d1oci mirror`, with the options of `oras`. A second run sends only missing and moved artifacts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci restore --input saved oci:store:v1")]
pub(crate) struct RestoreArguments {
    /// The repository, with tags: `REPOSITORY:v1,v2`. Without tags, all are restored.
    #[arg(value_name = "REFERENCE")]
    reference: TaggedReference,
    /// Directory or tar file of the layout.
    #[arg(short, long, value_name = "PATH")]
    input: PathBuf,
    /// Leave out the artifacts that refer to the restored ones.
    #[arg(long)]
    exclude_referrers: bool,
    /// Report the changes without making them.
    #[arg(long)]
    dry_run: bool,
    /// Restore artifacts with objects that not everybody may read. Without it, they are left out and listed.
    #[arg(long)]
    include_private: bool,
}

pub(crate) async fn backup(context: &Context, arguments: BackupArguments) -> Result<(), Failure> {
    let output = &arguments.output;
    if let Some(directory) = output.to_str().and_then(|output| output.strip_suffix(".tar")) {
        let message =
            format!("expected a directory after `--output`, found the tar file `{}`", output.display());
        return Err(Failure::usage(message).with_hint(format!(
            "write `--output {directory}`; `tar -cf {} -C {directory} .` then packs it",
            output.display()
        )));
    }
    let tags = tags(&arguments.reference, |reference| {
        format!("`d1oci copy {reference} oci:{}` saves one artifact by its digest", output.display())
    })?;
    let layout = Location::Directory(output.clone());
    let mut mirrored = mirror::Arguments::between(arguments.reference.first.location, layout);
    mirrored.no_referrers = !arguments.include_referrers;
    mirrored.include_private = arguments.include_private;
    mirror_tags(context, mirrored, &tags).await
}

pub(crate) async fn restore(context: &Context, arguments: RestoreArguments) -> Result<(), Failure> {
    let input = &arguments.input;
    let tags = tags(&arguments.reference, |_| "leave the digest out, or name a tag".to_owned())?;
    let layout = layout_at(input)?;
    let mut mirrored = mirror::Arguments::between(layout, arguments.reference.first.location);
    mirrored.no_referrers = arguments.exclude_referrers;
    mirrored.dry_run = arguments.dry_run;
    mirrored.include_private = arguments.include_private;
    mirror_tags(context, mirrored, &tags).await
}

/// Returns the layout in a directory or a tar file.
fn layout_at(path: &Path) -> Result<Location, Failure> {
    if !path.is_file() {
        return Ok(Location::Directory(path.to_owned()));
    }
    let archive = format!("oci-archive:{}", path.display()).parse::<Reference>();
    archive.map(|reference| reference.location).map_err(|error| Failure::usage(error.to_string()))
}

/// Returns the tags of a reference. A digest is a failure with advice.
fn tags(reference: &TaggedReference, advice: impl FnOnce(&Reference) -> String) -> Result<Vec<Tag>, Failure> {
    let TaggedReference { first, more } = reference;
    match &first.target {
        None => Ok(Vec::new()),
        Some(ManifestRef::Tag(tag)) => Ok([tag].into_iter().chain(more).cloned().collect()),
        Some(ManifestRef::Digest(_)) => {
            Err(Failure::usage(format!("expected a repository or tags of it, found the digest `{first}`"))
                .with_hint(advice(first)))
        }
    }
}

/// Mirrors these tags, or all tags if there are none. A named tag that does not exist is a failure.
async fn mirror_tags(
    context: &Context,
    mut arguments: mirror::Arguments,
    tags: &[Tag],
) -> Result<(), Failure> {
    let location = arguments.from.location.clone();
    context.check_scheme(&location)?;
    let backend = context.open(&location, Access::Read).await?;
    for tag in tags {
        let at = ManifestRef::Tag(tag.clone());
        let reference = Reference { location: location.clone(), target: Some(at.clone()) };
        found(&*backend, &reference, backend.read_manifest(&at).await).await?;
    }
    // A tag has no character that means something in a pattern.
    let patterns = tags.iter().map(|tag| Glob::new(tag.as_str()));
    arguments.tags = patterns.collect::<Result<_, _>>().map_err(|error| Failure::usage(error.to_string()))?;
    mirror::run(context, arguments).await
}
