//! `d1oci show`: what a package is, on one screen.

use d1_catalog::d1_metadata::{Citation, ScienceMetadata};
use d1_catalog::{Purpose, ScienceDocuments, science_metadata};
use d1_model::Identifier;
use d1_package::ArtifactState;
use d1_transfer::{ListedFile, list_files};
use oci_model::{Digest, Reference, annotations};
use serde::Serialize;

use super::package::{self, Opened, RatioArgument};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Lines, human};

/// Show what a package is: title, people, abstract, files and citation.
///
/// The command reads the science metadata of the package: EML, ISO 19115, Dublin Core, DataCite, FGDC or RO-Crate. `inspect` shows how
/// the package is stored, and `ls` lists all files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci show oci:store --id doi:10.18739/A2D795C92")]
pub(crate) struct Arguments {
    /// The package, or with `--id` the repository.
    reference: Reference,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    #[command(flatten)]
    ratio: RatioArgument,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    reference: String,
    digest: Digest,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(flatten)]
    state: ArtifactState,
    files: u64,
    bytes: u64,
    /// The largest files, the largest first.
    largest: Vec<ListedFile>,
    citation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<ScienceMetadata>,
}

/// How many files are shown.
const MOST_FILES: usize = 10;

/// How many characters of the abstract are shown.
const LONGEST_ABSTRACT: usize = 600;

/// How many people are shown.
const MOST_PEOPLE: usize = 12;

/// Characters in a line of text.
const WIDTH: usize = 78;

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let mut opened =
        package::open(context, &arguments.reference, arguments.id.as_ref(), Purpose::Package).await?;
    opened.package = opened.package.with_max_ratio(arguments.ratio.max_ratio);
    let (shown, faults) = shown(opened).await?;
    for fault in faults {
        context.printer.warning(fault);
    }
    context.printer.result(&shown, text)
}

/// Returns the facts, and the faults of metadata documents.
async fn shown(opened: Opened) -> Result<(Shown, Vec<String>), Failure> {
    let Opened { backend, package, reference, .. } = &opened;
    let ScienceDocuments { documents, faults, .. } = science_metadata(&**backend, package).await?;
    let metadata = documents.into_iter().next().map(|(_, metadata)| metadata);
    let listing = list_files(&**backend, package).await?;
    let (mut files, mut bytes) = (0, 0_u64);
    let mut largest: Vec<ListedFile> = Vec::new();
    for file in listing.iter() {
        files += 1;
        bytes = bytes.saturating_add(file.size);
        let at = largest.partition_point(|other| other.size >= file.size);
        if at < MOST_FILES {
            largest.insert(at, file);
            largest.truncate(MOST_FILES);
        }
    }
    let view = &package.view;
    let stated = |key: &str| view.manifest().annotations.get(key).cloned();
    let title = metadata.as_ref().and_then(|metadata| metadata.title.clone());
    let title = title.or_else(|| stated(annotations::DESCRIPTION)).or_else(|| stated(annotations::TITLE));
    let title = title.unwrap_or_else(|| match view.directory() {
        "" => reference.clone(),
        directory => directory.to_owned(),
    });
    let identifier = view.identifier().map(str::to_owned);
    let shown = Shown {
        citation: citation(&title, identifier.as_deref().unwrap_or(reference), metadata.as_ref()),
        reference: reference.clone(),
        digest: package.raw.digest().clone(),
        title,
        identifier,
        state: ArtifactState::of(&view.manifest().annotations),
        files,
        bytes,
        largest,
        metadata,
    };
    Ok((shown, faults))
}

fn citation(title: &str, identifier: &str, metadata: Option<&ScienceMetadata>) -> String {
    let doi = identifier.strip_prefix("doi:").map(|doi| format!("https://doi.org/{doi}"));
    let published = metadata.and_then(|metadata| metadata.published.as_deref());
    let citation = Citation {
        creators: metadata
            .map(|metadata| metadata.creators.iter().map(|party| party.name.as_str()).collect())
            .unwrap_or_default(),
        year: published.and_then(|date| date.get(..4)),
        title,
        version: None,
        publisher: metadata.and_then(|metadata| metadata.publisher.as_deref()),
        place: doi.as_deref().unwrap_or(identifier),
    };
    citation.to_string()
}

fn text(shown: &Shown, lines: &mut Lines<'_>) {
    paragraph(&shown.title, "", lines);
    if let Some(identifier) = &shown.identifier {
        lines.add(identifier);
    }
    let state = shown.state.to_string();
    if !state.is_empty() {
        lines.add(state);
    }
    if let Some(metadata) = &shown.metadata {
        about(metadata, lines);
    }
    lines.add("");
    lines.add(format_args!("{}, {}", human::count(shown.files, "file"), human::bytes(shown.bytes)));
    let width = shown.largest.iter().map(|file| human::bytes(file.size).len()).max().unwrap_or(0);
    for file in &shown.largest {
        lines.add(format_args!("  {:>width$}  {}", human::bytes(file.size), file.path));
    }
    let more = shown.files.saturating_sub(shown.largest.len() as u64);
    if more > 0 {
        lines.add(format_args!("  … and {more} more (`d1oci ls {}`)", shown.reference));
    }
    lines.add("");
    lines.add("Cite as:");
    paragraph(&shown.citation, "  ", lines);
}

/// Adds people, dates, licence, keywords and the abstract.
fn about(metadata: &ScienceMetadata, lines: &mut Lines<'_>) {
    let names: Vec<&str> =
        metadata.creators.iter().take(MOST_PEOPLE).map(|party| party.name.as_str()).collect();
    let others = metadata.creators.len().saturating_sub(names.len());
    let others = if others > 0 { format!(" and {others} others") } else { String::new() };
    let periods: Vec<String> = metadata.periods.iter().take(3).map(period).collect();
    for (label, value) in [
        ("Creators", names.join("; ") + &others),
        ("Published", metadata.published.clone().unwrap_or_default()),
        ("Publisher", metadata.publisher.clone().unwrap_or_default()),
        (
            "Licence",
            cut(metadata.license.as_deref().or(metadata.license_url.as_deref()).unwrap_or_default(), 160),
        ),
        ("Period", periods.join(", ")),
        ("Places", cut(&metadata.places.join("; "), 160)),
        ("Keywords", cut(&metadata.keywords.join(", "), 160)),
    ] {
        if !value.is_empty() {
            paragraph(&format!("{label}: {value}"), "", lines);
        }
    }
    if let Some(text) = &metadata.r#abstract {
        lines.add("");
        paragraph(&cut(text, LONGEST_ABSTRACT), "", lines);
    }
}

fn period(period: &d1_catalog::d1_metadata::Period) -> String {
    match (&period.begin, &period.end) {
        (Some(begin), Some(end)) if begin == end => begin.clone(),
        (begin, end) => {
            format!("{} to {}", begin.as_deref().unwrap_or_default(), end.as_deref().unwrap_or_default())
        }
    }
}

/// Returns a text of at most this many characters, which ends in `…` if it is cut.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

/// Adds a text in lines of [`WIDTH`] characters, if its words allow it.
fn paragraph(text: &str, indent: &str, lines: &mut Lines<'_>) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.add(format_args!("{indent}{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.add(format_args!("{indent}{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_break_between_words() {
        let mut output = Vec::new();
        let text = "word ".repeat(20);
        Lines::write(&mut output, |lines| paragraph(&text, "  ", lines)).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.lines().map(str::len).collect::<Vec<_>>(), [76, 26]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
