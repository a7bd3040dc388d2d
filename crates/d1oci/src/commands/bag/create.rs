//! `d1oci bag create`: a bag from a directory, by copying or in place.

use std::path::{Path, PathBuf};

use bagit::{Algorithm, BagBuilder, BagInfo, Version};

use super::{progress, validate};
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};

/// Make a bag of a directory or of single files.
///
/// With a TARGET the payload is copied into it; with `--in-place` the directory itself becomes the bag, and what is in it moves into its `data/`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci bag create ./plots ./plots-bag --info 'Contact-Name=Mooring Group'")]
pub(crate) struct Arguments {
    /// The payload: a directory, or a file.
    source: PathBuf,
    /// The new bag.
    #[arg(required_unless_present = "in_place", conflicts_with = "in_place")]
    target: Option<PathBuf>,
    /// Make the source itself a bag.
    #[arg(long)]
    in_place: bool,
    /// Algorithm of the manifests; several times for several [default: sha512 and sha256].
    #[arg(short, long = "algorithm", value_name = "NAME")]
    algorithms: Vec<Algorithm>,
    /// Element of `bag-info.txt`, in order.
    #[arg(short, long = "info", value_name = "LABEL=VALUE", value_parser = parse_element)]
    info: Vec<(String, String)>,
    /// File in the form of `bag-info.txt` with elements that come first.
    #[arg(long, value_name = "FILE")]
    info_file: Option<PathBuf>,
    /// `Bagging-Date` [default: today, in UTC; or that of SOURCE_DATE_EPOCH].
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
    /// Directory of further tag files, and its place in the bag: `metadata:metadata`.
    #[arg(long, value_name = "DIRECTORY:PLACE")]
    include_tags: Vec<String>,
    /// Follow symbolic links in the source instead of refusing them.
    #[arg(long)]
    dereference: bool,
    /// Refuse names that not every system can have, instead of warning of them.
    #[arg(long)]
    portable: bool,
    /// Put a bag into a bag.
    #[arg(long)]
    allow_bag: bool,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let builder = builder(&arguments)?;
    let progress = progress(context);
    let (bag, created) = match &arguments.target {
        None => (&arguments.source, builder.create_in_place(&arguments.source, &progress)),
        Some(target) => {
            let builder = if arguments.source.is_file() {
                let name = arguments.source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                builder.payload_file(name, &arguments.source)
            } else {
                builder.payload_directory(&arguments.source)
            };
            (target, builder.create(target, &progress))
        }
    };
    drop(progress);
    let created = created.map_err(with_hint)?;
    validate::print(context, bag, &created.report)
}

fn builder(arguments: &Arguments) -> Result<BagBuilder, Failure> {
    let mut builder = BagBuilder::new()
        .info(info(arguments)?)
        .bagging_date(&date(arguments.date.as_deref())?)
        .dereference(arguments.dereference)
        .portable(arguments.portable)
        .allow_bag(arguments.allow_bag);
    if !arguments.algorithms.is_empty() {
        builder = builder.algorithms(arguments.algorithms.iter().copied());
    }
    for include in &arguments.include_tags {
        let (directory, place) = include
            .rsplit_once(':')
            .ok_or_else(|| Failure::usage(format!("`{include}` is not of the form DIRECTORY:PLACE")))?;
        builder = builder.tag_directory(place, directory);
    }
    Ok(builder)
}

fn info(arguments: &Arguments) -> Result<BagInfo, Failure> {
    let mut info = match &arguments.info_file {
        Some(path) => read_info(path)?,
        None => BagInfo::new(),
    };
    for (label, value) in &arguments.info {
        info.push(label, value)?;
    }
    Ok(info)
}

fn read_info(path: &Path) -> Result<BagInfo, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, error))?;
    let (info, faults) = BagInfo::parse(&text, Version::V1_0);
    if faults.is_empty() {
        return Ok(info);
    }
    let faults: Vec<_> = faults.iter().map(super::fault_line).collect();
    Err(Failure::new(
        ExitStatus::Invalid,
        format!("`{}` is not of the form of `bag-info.txt`", path.display()),
    )
    .with_details(faults))
}

/// Returns the stated date, or the one of the environment's clock.
pub(crate) fn date(stated: Option<&str>) -> Result<String, Failure> {
    match stated {
        Some(stated) => Ok(stated.to_owned()),
        None => {
            let time = crate::context::source_date_epoch()?.unwrap_or_else(jiff::Timestamp::now);
            // A timestamp is written in UTC, its date before the `T` (RFC 3339).
            Ok(time.to_string().split('T').next().unwrap_or_default().to_owned())
        }
    }
}

/// Returns the failure with advice for the errors that have a way out.
pub(crate) fn with_hint(error: bagit::Error) -> Failure {
    let hint = match &error {
        bagit::Error::AlreadyBag(_) => Some("`--allow-bag` puts it into a new bag all the same"),
        bagit::Error::TargetNotEmpty(_) => Some("name a directory that does not exist yet"),
        bagit::Error::Unbaggable { .. } => Some("`--dereference` follows symbolic links"),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

fn parse_element(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((label, value)) if !label.is_empty() => Ok((label.to_owned(), value.to_owned())),
        _ => Err("write LABEL=VALUE".to_owned()),
    }
}
