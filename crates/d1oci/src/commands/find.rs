//! `d1oci find`: packages and objects of a repository by their metadata.

use std::ops::ControlFlow;
use std::sync::Arc;

use bagit::Algorithm;
use d1_catalog::d1_metadata::BoundingBox;
use d1_catalog::{CatalogedRepository, Found, Query, find, parse_time};
use d1_model::{Checksum, Identifier};
use d1_transfer::{ListedFile, Observer};
use futures::TryStreamExt;
use jiff::Timestamp;
use jiff::civil::Date;
use oci_model::{Digest, Reference};
use registry_backend::{Access, RegistryBackend};
use serde::Serialize;

use super::package::state_of_file;
use crate::catalogs::OpenCatalog;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::output::{Format, human};
use crate::spellings::meant_in;

/// Find packages and objects in a repository, by identifier, title, format, date or digest, or by the content of their metadata.
///
/// WORDS are words of the metadata: titles, names, abstracts, keywords, places. The command searches all tagged artifacts and lists
/// matches as they are found; without words and options, all match. The `index.json` of an image layout answers questions for dates and
/// content digests without reading the artifacts. The date is the annotation
/// `org.opencontainers.image.created`; artifacts without this annotation never match a date filter. A catalogue (`d1oci catalog`) gives the
/// same results faster. The options for the content of metadata build a catalogue if there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci find oci:store mooring temperature\n\
                        Example: d1oci find oci:store --format-id text/csv --from 2025-01-01 --objects")]
pub(crate) struct Arguments {
    /// The repository.
    repository: Reference,
    /// Words in the metadata, as with `--text`.
    #[arg(value_name = "WORDS", conflicts_with = "text")]
    words: Vec<String>,
    /// DataONE identifier: of a package, its resource map, its series, or an object in it.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// DataONE object format identifier of the object, or of one in the package.
    #[arg(long, value_name = "FORMAT")]
    format_id: Option<String>,
    /// Content digest, as `inspect` shows it: finds packages with the same members, whatever node they came from.
    #[arg(long, value_name = "DIGEST")]
    content_digest: Option<Digest>,
    /// Created at this date or time or later: `2025-11-07`, `2025-11-07T12:00:00Z`.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    from: Option<Timestamp>,
    /// Created before this date or time.
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    to: Option<Timestamp>,
    /// A file with this checksum, `ALGORITHM:HEX`: `md5:…`, `sha1:…`, `sha256:…`, `sha512:…`.
    #[arg(long, value_name = "CHECKSUM", value_parser = parse_checksum)]
    checksum: Option<Wanted>,
    /// A file with this content hash, `hash://sha256/HEX`, as contentid and Preston write it.
    #[arg(long, value_name = "URI", value_parser = parse_hash_uri, conflicts_with = "checksum")]
    hash: Option<Wanted>,
    /// Words in the metadata, in any order: `sea ice`, `"sea ice"`, `glaci*`, `ice -glacier`.
    #[arg(long, value_name = "WORDS", help_heading = "Content of metadata")]
    text: Option<String>,
    /// Beginnings of words of the title, in any order: of the metadata, or of an artifact without metadata. With `--no-catalog`, a part of
    /// the title in the annotations of the artifact.
    #[arg(long, value_name = "WORDS", help_heading = "Content of metadata")]
    title: Option<String>,
    /// Creator: words of the name, or an ORCID.
    #[arg(long, value_name = "NAME", help_heading = "Content of metadata")]
    creator: Option<String>,
    /// A place of the metadata meets this box, in degrees: `-150,68,-149,69`. West greater than east crosses the antimeridian.
    #[arg(
        long,
        value_name = "WEST,SOUTH,EAST,NORTH",
        value_parser = parse_box,
        allow_hyphen_values = true,
        help_heading = "Content of metadata"
    )]
    bbox: Option<BoundingBox>,
    /// A period of the metadata meets these days: `2019-10-01,2020-12-31`. Either may be left out.
    #[arg(long, value_name = "FIRST,LAST", value_parser = parse_days, help_heading = "Content of metadata")]
    between: Option<Days>,
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
    let mut query = query(&arguments, context.catalogs.no_catalog);
    // A line of text shows no kind and no size.
    query.brief = context.printer.format() == Format::Text;
    let identifiers = match &arguments.id {
        Some(typed) => meant_in(&*backend, typed).await.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let observer = context.observer();
    let open = if query.content.is_empty() {
        context.catalogs.existing(location, context.printer)?
    } else {
        Some(context.catalogs.open_or_create(location, &*backend, true, context.printer).await?)
    };
    let mut list = context.printer.list(&[("repository", location.to_string())], "found")?;
    let mut show = |found: Found| {
        let line = Line { reference: format!("{location}@{}", found.artifact.digest), found };
        list.item(&line, |line, lines| lines.add(text(&location.to_string(), line)))
    };
    for identifier in identifiers {
        query.identifier = identifier;
        if matching(&*backend, open.as_ref(), &query, &observer, &mut show).await? > 0 {
            break;
        }
    }
    if list.end()? == 0 {
        let failure = Failure::new(ExitStatus::NotFound, format!("nothing in {location} matches"));
        return Err(failure.with_hint(format!(
            "a search finds tagged artifacts only; `d1oci tags {location}` lists the tags"
        )));
    }
    Ok(())
}

fn query(arguments: &Arguments, no_catalog: bool) -> Query {
    let mut query = Query::default();
    query.format_id.clone_from(&arguments.format_id);
    query.from = arguments.from;
    query.to = arguments.to;
    query.content_digest = arguments.content_digest.as_ref().map(ToString::to_string);
    query.objects = arguments.objects;
    let wanted = arguments.checksum.as_ref().or(arguments.hash.as_ref());
    query.digest = wanted.map(|wanted| (wanted.algorithm, wanted.digest.clone()));
    let words = (!arguments.words.is_empty()).then(|| arguments.words.join(" "));
    query.content.text = words.or_else(|| arguments.text.clone());
    // Without a catalogue, only the annotations of artifacts can be searched.
    let title = if no_catalog { &mut query.title } else { &mut query.content.title };
    title.clone_from(&arguments.title);
    query.content.creator.clone_from(&arguments.creator);
    query.content.bbox.clone_from(&arguments.bbox);
    (query.content.from, query.content.to) =
        arguments.between.map_or((None, None), |days| (days.first, days.last));
    query.content.archived = true;
    query
}

/// Shows what matches, and returns the number of matches.
async fn matching(
    backend: &dyn RegistryBackend,
    open: Option<&OpenCatalog>,
    query: &Query,
    observer: &Arc<dyn Observer>,
    show: &mut (dyn FnMut(Found) -> Result<(), Failure> + Send),
) -> Result<u64, Failure> {
    let mut count = 0;
    let mut shown = Ok(());
    let Some(OpenCatalog { catalog, name }) = open else {
        let mut results = find(backend, query, observer);
        while let Some(found) = results.try_next().await? {
            count += 1;
            show(found)?;
        }
        return Ok(count);
    };
    let repository = CatalogedRepository { catalog, backend, name };
    let each = &mut |found| {
        count += 1;
        shown = show(found);
        if shown.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    repository.find(query, observer, each).await?;
    shown.map(|()| count)
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
    let state = artifact.state.to_string();
    if !state.is_empty() {
        text += &format!("  ({state})");
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
    text + &state_of_file(object)
}

/// A digest that a file has.
#[derive(Clone, Debug)]
struct Wanted {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

/// The first and the last day of a time.
#[derive(Clone, Copy, Debug)]
struct Days {
    first: Option<Date>,
    last: Option<Date>,
}

fn parse_checksum(text: &str) -> Result<Wanted, String> {
    let checksum: Checksum = text.parse().map_err(|error| format!("expected ALGORITHM:HEX: {error}"))?;
    let algorithm = checksum.algorithm().name().parse();
    let algorithm = algorithm.map_err(|_| "expected md5, sha1, sha256, sha384 or sha512".to_owned())?;
    let digest = hex::decode(checksum.value()).ok().filter(|_| checksum.is_well_formed());
    let digest =
        digest.ok_or_else(|| "expected as many hexadecimal digits as the algorithm has".to_owned())?;
    Ok(Wanted { algorithm, digest })
}

fn parse_hash_uri(text: &str) -> Result<Wanted, String> {
    let parts = text.strip_prefix("hash://").and_then(|rest| rest.split_once('/'));
    let (algorithm, value) = parts.ok_or_else(|| "expected hash://ALGORITHM/HEX".to_owned())?;
    parse_checksum(&format!("{algorithm}:{value}"))
}

fn parse_box(text: &str) -> Result<BoundingBox, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let [west, south, east, north] = numbers.unwrap_or_default()[..] else {
        return Err("expected four numbers: WEST,SOUTH,EAST,NORTH".to_owned());
    };
    let is_valid = [west, east].iter().all(|longitude| (-180.0..=180.0).contains(longitude))
        && south >= -90.0
        && north <= 90.0
        && south <= north;
    if !is_valid {
        return Err(
            "expected longitudes from -180 to 180, and latitudes from -90 to 90 with south first".to_owned()
        );
    }
    Ok(BoundingBox { west, south, east, north, description: None })
}

fn parse_days(text: &str) -> Result<Days, String> {
    let day = |text: &str| match text.trim() {
        "" => Ok(None),
        day => {
            day.parse().map(Some).map_err(|_| format!("expected a date such as 2025-11-07, found `{day}`"))
        }
    };
    let (first, last) = text.split_once(',').ok_or_else(|| "expected FIRST,LAST".to_owned())?;
    Ok(Days { first: day(first)?, last: day(last)? })
}

/// Reads a day, which begins at midnight UTC, or a time.
pub(crate) fn parse_date(text: &str) -> Result<Timestamp, String> {
    parse_time(text).ok_or_else(|| {
        "expected a date such as 2025-11-07, or a time such as 2025-11-07T12:00:00Z".to_owned()
    })
}
