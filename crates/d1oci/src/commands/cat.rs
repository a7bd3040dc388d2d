//! `d1oci cat`: one file of a package.

use std::path::{Path, PathBuf};

use d1_catalog::Purpose;
use d1_model::Identifier;
use d1_transfer::{ByteRange, Error as TransferError, read_file};
use oci_model::Reference;
use safe_files::{Existing, ResultFile};

use super::package::{self, Opened, RatioArgument};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::ContentOutput;

/// Write one file of a package to standard output, or to a file.
///
/// The command reads only the bytes of this file and of the index. A file that is read as a whole is verified before it gets its name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci cat oci:store:v1 data/CP_2024_25m_Temp.csv | head")]
pub(crate) struct Arguments {
    /// The package, or with `--id` the repository.
    reference: Reference,
    /// Path of the file in the package.
    #[arg(required_unless_present = "id", conflicts_with = "id")]
    path: Option<String>,
    /// DataONE identifier of the file; without a tag or digest in the reference, the whole repository is searched.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// Write to this file; `-` is standard output.
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
        Some(output) => write_file(&opened, &path, arguments.range, output).await?,
    }
    Ok(())
}

/// Writes a file, which appears when everything is right.
async fn write_file(
    opened: &Opened,
    path: &str,
    range: Option<ByteRange>,
    output: &Path,
) -> Result<(), Failure> {
    let failed = |error| Failure::file("write", output, error);
    let file = ResultFile::create(output, Existing::Replace).map_err(failed)?;
    let file = read_file(&*opened.backend, &opened.package, path, range, file).await?;
    file.commit().map_err(failed)
}

/// Returns the path of the file: as given, or that of the member with the identifier, or of the only file.
fn path(opened: &Opened, arguments: &Arguments) -> Result<String, Failure> {
    let view = &opened.package.view;
    if let Some(path) = &arguments.path {
        // People copy paths from a pulled directory, with its name in front.
        let short = path.strip_prefix(view.directory()).and_then(|rest| rest.strip_prefix('/'));
        let short = short.filter(|short| view.entry(path).is_none() && view.entry(short).is_some());
        return Ok(short.unwrap_or(path).to_owned());
    }
    let identifier = arguments.id.as_ref().map(Identifier::as_str).unwrap_or_default();
    if let Some(entry) = view.entry_by_identifier(identifier) {
        return Ok(entry.path.to_owned());
    }
    let mut entries = view.entries();
    match (entries.next(), entries.next()) {
        (Some(only), None) if view.identifier() == Some(identifier) => Ok(only.path.to_owned()),
        _ => Err(TransferError::NotInPackage { wanted: identifier.to_owned() }.into()),
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
