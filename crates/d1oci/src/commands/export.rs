//! `d1oci export`: a package as a bag, in a directory or a zip file.

use std::path::{Path, PathBuf};

use d1_catalog::Purpose;
use d1_model::Identifier;
use d1_sync::{ExportForm, ExportOptions, ExportReport};
use oci_model::Reference;
use serde::Serialize;

use super::package::{self, RatioArgument};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// Export a package as a bag, as DataONE's services expect it.
///
/// A package that is a bag stays as it is, plus the MD5 and SHA-256 manifests that it lacks. From any other package, data go to `data`,
/// science metadata and resource maps to `metadata`, and system metadata to `metadata/sysmeta`.
///
/// The final name appears when the bag is complete and valid.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci export oci:store --id doi:10.18739/A2D795C92 -o package.zip")]
pub(crate) struct Arguments {
    /// The package.
    reference: Reference,
    /// DataONE identifier of the package, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// A new directory, which becomes the bag, or a new file whose name ends in `.zip`, with the bag at its root.
    #[arg(short, long, value_name = "DIRECTORY|FILE.zip")]
    output: PathBuf,
    #[command(flatten)]
    ratio: RatioArgument,
}

#[derive(Debug, Serialize)]
struct Exported<'a> {
    reference: &'a str,
    path: String,
    #[serde(flatten)]
    report: &'a ExportReport,
}

/// Endings of archives that an export does not write. A directory with such a name would be taken for an archive.
const OTHER_ARCHIVES: [&str; 8] =
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".7z", ".rar"];

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let name = arguments.output.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if OTHER_ARCHIVES.iter().any(|ending| name.ends_with(ending)) {
        let shown = arguments.output.display();
        return Err(Failure::usage(format!(
            "expected a directory or a file that ends in `.zip`, found `{shown}`"
        ))
        .with_hint("export a directory, then `tar -cf` packs it"));
    }
    if arguments.output == Path::new("-") {
        return Err(Failure::usage("cannot export a bag to standard output")
            .with_hint("`d1oci cat` writes a file to standard output; `-o ./-` names a directory"));
    }
    let opened =
        package::open(context, &arguments.reference, arguments.id.as_ref(), Purpose::Package).await?;
    let is_zip = arguments.output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    let form = if is_zip { ExportForm::Zip } else { ExportForm::Directory };
    let at = opened.package.raw.digest().clone().into();
    let observer = context.observer();
    let mut options = ExportOptions::new(form);
    options.max_ratio = arguments.ratio.max_ratio;
    let report = d1_sync::export(&*opened.backend, &at, &arguments.output, &options, &observer).await?;
    let path = arguments.output.display().to_string();
    let exported = Exported { reference: &opened.reference, path, report: &report };
    context.printer.done(&exported, text)
}

fn text(exported: &Exported<'_>, lines: &mut Lines<'_>) {
    let ExportReport { identifier, files, bytes, digest, .. } = exported.report;
    lines.add(format_args!("Exported {} to `{}`", exported.reference, exported.path));
    lines.add(format_args!("{} of {} in a valid bag", human::count(*files, "file"), human::bytes(*bytes)));
    if let Some(identifier) = identifier {
        lines.add(format_args!("Identifier: {identifier}"));
    }
    lines.add(format_args!("Digest: {digest}"));
}
