//! `d1oci attach`: files that refer to an artifact.

use std::path::PathBuf;

use d1_transfer::{PushOptions, PushReport, attach_files};
use oci_model::{MediaType, Reference};
use registry_backend::Access;
use serde::Serialize;

use super::push::{annotations, created, export_manifest, file_to_push, parse_annotation};
use crate::context::{Context, temporary_directory};
use crate::failure::Failure;

/// Attach files to an artifact: they become an artifact of their own that refers to it.
///
/// The artifact itself does not change. `d1oci discover` lists attached artifacts.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: d1oci attach oci:store:v1 --artifact-type application/vnd.dataone.system-metadata+xml sysmeta.xml"
)]
pub(crate) struct Arguments {
    /// The artifact to attach to.
    reference: Reference,
    /// The files; `FILE:TYPE` states a file's media type.
    #[arg(value_name = "FILE", required_unless_present_any = ["annotations", "annotation_file"])]
    files: Vec<PathBuf>,
    /// Artifact type of the attachment.
    #[arg(long, value_name = "TYPE")]
    artifact_type: MediaType,
    /// Annotation of the attachment.
    #[arg(short, long = "annotation", value_name = "KEY=VALUE", value_parser = parse_annotation)]
    annotations: Vec<(String, String)>,
    /// Annotations of the attachment in a JSON file, as `oras` reads them: `{"$manifest": {"KEY": "VALUE"}}`.
    #[arg(long, value_name = "FILE")]
    annotation_file: Option<PathBuf>,
    /// Also write the manifest of the attachment to this file.
    #[arg(long, value_name = "FILE")]
    export_manifest: Option<PathBuf>,
    /// Time of creation, RFC 3339 [default: `SOURCE_DATE_EPOCH`, or none].
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
}

#[derive(Debug, Serialize)]
struct Attached<'a> {
    reference: String,
    subject: String,
    #[serde(flatten)]
    report: &'a PushReport,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let subject = context.required_target(&arguments.reference)?;
    if let Some(directory) = arguments.files.iter().find(|path| path.is_dir()) {
        return Err(Failure::usage(format!(
            "expected files to attach, found the directory `{}`",
            directory.display()
        ))
        .with_hint("name its files, or attach a zip or tar archive of it"));
    }
    let location = &arguments.reference.location;
    let backend = context.open(location, Access::Modify).await?;
    let mut options = PushOptions::new(temporary_directory());
    options.artifact_type = Some(arguments.artifact_type.clone());
    options.annotations = annotations(arguments.annotation_file.as_deref(), &arguments.annotations)?;
    options.created = created(arguments.created.as_deref())?;
    let files = arguments.files.iter().map(|path| file_to_push(path)).collect::<Result<Vec<_>, _>>()?;
    let report = attach_files(&*backend, subject, &files, &options, &context.observer()).await?;
    export_manifest(&*backend, &report.digest, arguments.export_manifest.as_deref()).await?;
    let attached = Attached {
        reference: format!("{location}@{}", report.digest),
        subject: arguments.reference.to_string(),
        report: &report,
    };
    context.printer.done(&attached, |attached, lines| {
        lines.add(format_args!("Attached to {}", attached.subject));
        lines.add(format_args!("ArtifactType: {}", report.artifact_type));
        lines.add(format_args!("Digest: {}", report.digest));
    })
}
