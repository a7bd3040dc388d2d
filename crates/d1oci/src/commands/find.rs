//! `d1oci find`: packages and objects of a repository by their metadata.

use d1_catalog::{Found, Query, find, parse_time};
use d1_model::Identifier;
use d1_transfer::ListedFile;
use futures::TryStreamExt;
use jiff::Timestamp;
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::human;

/// Find packages and objects in a repository, by identifier, title, format or date.
///
/// Searches all tagged artifacts and lists matches as they are found; without options, all match. The date is the annotation
/// `org.opencontainers.image.created`; artifacts without this annotation never match a date filter.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci find oci:store --format-id text/csv --from 2025-01-01 --objects")]
pub(crate) struct Arguments {
    /// The repository.
    repository: Reference,
    /// DataONE identifier: of a package, its resource map, its series, or an object in it.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// A part of the title, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// DataONE object format identifier of the object, or of one in the package.
    #[arg(long, value_name = "FORMAT")]
    format_id: Option<String>,
    /// Created at this date or time or later: `2025-11-07`, `2025-11-07T12:00:00Z`.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    from: Option<Timestamp>,
    /// Created before this date or time.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    to: Option<Timestamp>,
    /// List matching objects, in packages and by themselves.
    #[arg(long)]
    objects: bool,
}

#[derive(Debug, Serialize)]
struct Line {
    reference: String,
    #[serde(flatten)]
    found: Found,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.repository, "find")?;
    let backend = context.open(location, Access::Read).await?;
    let mut query = Query::default();
    query.identifier = arguments.id;
    query.title = arguments.title;
    query.format_id = arguments.format_id;
    query.from = arguments.from;
    query.to = arguments.to;
    query.objects = arguments.objects;
    let observer = context.observer();
    let mut list = context.printer.list(&[("repository", location.to_string())], "found")?;
    let mut results = find(&*backend, &query, &observer);
    while let Some(found) = results.try_next().await? {
        let line = Line { reference: format!("{location}@{}", found.artifact.digest), found };
        list.item(&line, |line, lines| lines.add(text(&location.to_string(), line)))?;
    }
    if list.end()? == 0 {
        let failure = Failure::new(ExitStatus::NotFound, format!("nothing in {location} matches"));
        return Err(
            failure.with_hint("a search finds tagged artifacts only; `d1oci tags REPOSITORY` lists the tags")
        );
    }
    Ok(())
}

fn text(repository: &str, line: &Line) -> String {
    let Found { artifact, object, .. } = &line.found;
    let mut text = format!("{repository}:{}", artifact.tag);
    if let Some(object) = object {
        return text + "  " + &object_text(object);
    }
    if let Some(identifier) = &artifact.identifier {
        text += &format!("  [{identifier}]");
    }
    if let Some(format_id) = &artifact.format_id {
        text += &format!("  ({format_id})");
    }
    if let Some(created) = &artifact.created {
        text += &format!("  {created}");
    }
    match (&artifact.title, &artifact.artifact_type) {
        (Some(title), _) => text += &format!("  {title}"),
        (None, Some(artifact_type)) => text += &format!("  {artifact_type}"),
        (None, None) => {}
    }
    text
}

fn object_text(object: &ListedFile) -> String {
    let mut text = format!("{}  {}", human::bytes(object.size), object.path);
    if let Some(identifier) = &object.identifier {
        text += &format!("  [{identifier}]");
    }
    if let Some(format_id) = &object.format_id {
        text += &format!("  ({format_id})");
    }
    text
}

fn parse_date(text: &str) -> Result<Timestamp, String> {
    parse_time(text).ok_or_else(|| {
        "expected a date such as 2025-11-07, or a time such as 2025-11-07T12:00:00Z".to_owned()
    })
}
