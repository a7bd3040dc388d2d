//! `d1oci cat`: one file of a package.

use std::path::{Path, PathBuf};

use d1_catalog::Purpose;
use d1_model::Identifier;
use d1_transfer::{ByteRange, Error as TransferError, read_file, read_file_to};
use globset::GlobBuilder;
use oci_model::Reference;
use safe_files::{Existing, ResultFile};

use super::package::{self, Opened, RatioArgument};
use crate::context::Context;
use crate::failure::Failure;
use crate::near::nearest;
use crate::output::ContentOutput;

/// Write one file of a package to standard output, or to a file.
///
/// The command reads only the bytes of this file and of the index. A file that is read as a whole is verified before it gets its name.
/// With `-o`, the same command continues a read of a large file that was interrupted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci cat oci:store:v1 data/CP_2024_25m_Temp.csv | head")]
pub(crate) struct Arguments {
    /// The package, or with `--id` the repository.
    reference: Reference,
    /// Path of the file in the package; its name is enough if no other file has it, and so is a pattern such as `*.csv` that matches one
    /// file. A package of one file needs no path.
    #[arg(conflicts_with = "id")]
    path: Option<String>,
    /// DataONE identifier of the file; without a tag or digest in the reference, the whole repository is searched.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// Write to this file, or into this directory; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Bytes to read, counted from 0, both ends included: `0-99`, `100-`.
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_range)]
    range: Option<ByteRange>,
    #[command(flatten)]
    ratio: RatioArgument,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let mut opened =
        package::open(context, &arguments.reference, arguments.id.as_ref(), Purpose::Bytes).await?;
    opened.package = opened.package.with_max_ratio(arguments.ratio.max_ratio);
    let path = path(&opened, &arguments)?;
    match arguments.output.as_deref().filter(|output| *output != Path::new("-")) {
        None => {
            let output = ContentOutput::default();
            let read =
                read_file(&*opened.backend, &opened.package, &path, arguments.range, output.writer()).await;
            read.map(drop).map_err(|error| output.failure(error))?;
        }
        Some(output) if output.is_dir() => {
            let name = path.rsplit('/').next().unwrap_or(&path);
            write_file(context, &opened, (&path, arguments.range), &output.join(name)).await?;
        }
        Some(output) => write_file(context, &opened, (&path, arguments.range), output).await?,
    }
    Ok(())
}

/// Writes a file, which appears when everything is right.
async fn write_file(
    context: &Context,
    opened: &Opened,
    (path, range): (&str, Option<ByteRange>),
    output: &Path,
) -> Result<(), Failure> {
    if range.is_none() {
        let observer = context.observer();
        return Ok(read_file_to(&*opened.backend, &opened.package, path, output, &observer).await?);
    }
    let failed = |error| Failure::file("write", output, error);
    let file = ResultFile::create(output, Existing::Replace).map_err(failed)?;
    let file = read_file(&*opened.backend, &opened.package, path, range, file).await?;
    file.commit().map_err(failed)
}

/// Returns the path of the file: as given, or that of the member with the identifier, or of the only file.
fn path(opened: &Opened, arguments: &Arguments) -> Result<String, Failure> {
    let view = &opened.package.view;
    if let Some(path) = &arguments.path {
        return path_in(opened, path);
    }
    let mut entries = view.entries();
    let only = match (entries.next(), entries.next()) {
        (Some(only), None) => Some(only.path.to_owned()),
        _ => None,
    };
    let Some(identifier) = opened.identifier.as_ref().map(Identifier::as_str) else {
        return only.ok_or_else(|| {
            Failure::usage("expected the path of a file: the package does not have exactly one")
                .with_hint(format!("`d1oci ls {}` lists the files", opened.reference))
        });
    };
    match view.entry_by_identifier(identifier) {
        Some(entry) => Ok(entry.path.to_owned()),
        None => only
            .filter(|_| view.identifier() == Some(identifier))
            .ok_or_else(|| TransferError::NotInPackage { wanted: identifier.to_owned() }.into()),
    }
}

/// Returns the path that a person means: a path in the package, also with `./` or the name of the package's directory in front; the
/// name of one file; or a pattern that matches one file.
fn path_in(opened: &Opened, wanted: &str) -> Result<String, Failure> {
    let view = &opened.package.view;
    let plain = wanted.trim_start_matches("./");
    // People copy paths from a pulled directory, with its name in front.
    let below = plain.strip_prefix(view.directory()).and_then(|rest| rest.strip_prefix('/'));
    let exact = [Some(wanted), Some(plain), below];
    if let Some(path) = exact.into_iter().flatten().find(|path| view.entry(path).is_some()) {
        return Ok(path.to_owned());
    }
    // A file in an archive without an index is found by reading the archive.
    if view.index().is_none() && !view.archives().is_empty() {
        return Ok(plain.to_owned());
    }
    let glob = GlobBuilder::new(plain).literal_separator(false).build().ok();
    let glob = glob.filter(|_| plain.contains(['*', '?', '['])).map(|glob| glob.compile_matcher());
    let is_meant = |path: &str| match &glob {
        Some(glob) => glob.is_match(path),
        None => !plain.contains('/') && path.rsplit('/').next() == Some(plain),
    };
    let mut found: Vec<&str> = view.entries().map(|entry| entry.path).filter(|path| is_meant(path)).collect();
    match found.len() {
        1 => Ok(found.remove(0).to_owned()),
        0 => {
            let near = nearest(plain, view.entries().map(|entry| entry.path));
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let list = format!("{near}`d1oci ls {}` lists the files", opened.reference);
            let error = TransferError::NotInPackage { wanted: wanted.to_owned() };
            Err(Failure::from(error).advising(list))
        }
        count => Err(Failure::usage(format!("expected one file, but `{wanted}` means {count}"))
            .with_details(found.into_iter().map(str::to_owned))
            .with_hint("name the path of one of them; `d1oci pull --include` writes several files")),
    }
}

/// Reads `FIRST-LAST` or `FIRST-`, as in HTTP (RFC 9110 section 14.1.2).
fn parse_range(text: &str) -> Result<ByteRange, String> {
    let (first, last) = text.split_once('-').ok_or("expected FIRST-LAST or FIRST-")?;
    let number =
        |text: &str| text.parse::<u64>().map_err(|_| format!("expected a whole number, found `{text}`"));
    let start = number(first)?;
    let end = match last {
        "" => None,
        last => Some(number(last)?.checked_add(1).ok_or("the last byte is too large a number")?),
    };
    if end.is_some_and(|end| end <= start) {
        return Err("the last byte is before the first".to_owned());
    }
    Ok(ByteRange { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(parse_range("0-99"), Ok(ByteRange { start: 0, end: Some(100) }));
        assert_eq!(parse_range("5-"), Ok(ByteRange { start: 5, end: None }));
        for text in ["", "5", "-5", "9-3", "a-b", "0-18446744073709551615"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }
}
