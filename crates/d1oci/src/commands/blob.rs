//! `d1oci blob`: single blobs by their digest.

use std::io::Write;
use std::path::{Path, PathBuf};

use bagit::{Algorithm, AlgorithmSet};
use d1_transfer::parts::{FileSource, hash_file, run_blocking};
use futures::TryStreamExt;
use oci_model::{Descriptor, Digest, Location, ManifestRef, MediaType, Reference};
use registry_backend::{Access, ByteStream, WriteHint, Written, verified};
use safe_files::{Existing, ResultFile};
use serde::Serialize;

use super::push::file_to_push;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::ContentOutput;

/// Work with blobs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci blob push oci:store data.csv")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Fetch(FetchArguments),
    Push(PushArguments),
}

/// Write a blob to standard output, or to a file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: d1oci blob fetch oci:store@sha256:66cb08ca4a391af21b1c9744eef4c7e3593bcb120d5491114999f9f39c259194 -o data.csv"
)]
struct FetchArguments {
    /// The repository, with the digest of the blob.
    reference: Reference,
    /// Write to this file, which appears when the whole blob has the right digest; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print its descriptor instead.
    #[arg(long)]
    descriptor: bool,
}

/// Store a file as a blob. A store may remove blobs that no artifact names.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci blob push oci:store data.csv")]
struct PushArguments {
    /// The repository, perhaps with the digest that the file must have.
    reference: Reference,
    /// The file.
    file: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    reference: String,
    digest: Digest,
    size: u64,
    unchanged: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Fetch(arguments) => fetch(context, &arguments).await,
        Action::Push(arguments) => push(context, &arguments).await,
    }
}

async fn fetch(context: &Context, arguments: &FetchArguments) -> Result<(), Failure> {
    let location = &arguments.reference.location;
    context.check_scheme(location)?;
    let digest = stated_digest(&arguments.reference)?.ok_or_else(|| {
        Failure::usage(format!("`{}` names no digest", arguments.reference)).with_hint(format!(
            "write the digest behind `{location}@`; `d1oci inspect {}` lists the blobs of an artifact",
            arguments.reference
        ))
    })?;
    let backend = context.open(location, Access::Read).await?;
    let size = backend.stat_blob(digest).await?;
    let size = size.ok_or_else(|| missing(digest, location))?;
    if arguments.descriptor {
        let media_type = MediaType::from_static("application/octet-stream");
        let descriptor = Descriptor::new(media_type, digest.clone(), size);
        let json = serde_json::to_vec(&descriptor).map_err(|error| Failure::output(error.into()))?;
        return context.printer.raw(&[&json[..], b"\n"].concat());
    }
    let content = verified(backend.read_blob(digest, None).await?, digest)?;
    match arguments.output.as_deref().filter(|output| *output != Path::new("-")) {
        None => {
            let output = ContentOutput::default();
            write(content, output.writer(), |error| output.failure(Failure::output(error))).await.map(drop)
        }
        Some(path) => {
            let failed = |error| Failure::file("write", path, error);
            let file = ResultFile::create(path, Existing::Replace).map_err(failed)?;
            write(content, file, failed).await?.commit().map_err(failed)
        }
    }
}

/// Writes the content, and returns the writer.
async fn write<W: Write>(
    mut content: ByteStream,
    mut output: W,
    failed: impl Fn(std::io::Error) -> Failure,
) -> Result<W, Failure> {
    while let Some(chunk) = content.try_next().await? {
        output.write_all(&chunk).map_err(&failed)?;
    }
    output.flush().map_err(&failed)?;
    Ok(output)
}

async fn push(context: &Context, arguments: &PushArguments) -> Result<(), Failure> {
    let location = &arguments.reference.location;
    context.check_scheme(location)?;
    let expected = stated_digest(&arguments.reference)?;
    let file = file_to_push(&arguments.file)?;
    let (path, observer) = (file.path.clone(), context.observer());
    let hashed =
        run_blocking(move || hash_file(file, AlgorithmSet::from(Algorithm::Sha256), None, &observer)).await?;
    if let Some(expected) = expected.filter(|expected| **expected != hashed.digest) {
        let message = format!("expected {expected} in `{}`, found {}", path.display(), hashed.digest);
        return Err(Failure::new(ExitStatus::Invalid, message));
    }
    let backend = context.open(location, Access::Create).await?;
    let source = FileSource::new(path, hashed.size, 0..hashed.size, hashed.digest.clone());
    let written = backend.write_blob(&source, &WriteHint::default()).await?;
    let pushed = Pushed {
        reference: format!("{location}@{}", hashed.digest),
        digest: hashed.digest,
        size: hashed.size,
        unchanged: written == Written::AlreadyThere,
    };
    context.printer.done(&pushed, |pushed, lines| {
        let verb = if pushed.unchanged { "Unchanged" } else { "Pushed" };
        lines.add(format_args!("{verb} {}", pushed.reference));
        lines.add(format_args!("Digest: {}", pushed.digest));
    })
}

/// Returns the digest in a reference. A tag names a manifest, not a blob.
fn stated_digest(reference: &Reference) -> Result<Option<&Digest>, Failure> {
    match &reference.target {
        None => Ok(None),
        Some(ManifestRef::Digest(digest)) => Ok(Some(digest)),
        Some(ManifestRef::Tag(tag)) => {
            Err(Failure::usage(format!("expected the digest of a blob, found the tag `{tag}`"))
                .with_hint(format!("`d1oci inspect {reference}` lists the blobs of the artifact")))
        }
    }
}

fn missing(digest: &Digest, location: &Location) -> Failure {
    Failure::new(ExitStatus::NotFound, format!("there is no blob {digest} in {location}"))
        .with_hint(format!("`d1oci manifest fetch {location}@{digest}` fetches a manifest"))
}
