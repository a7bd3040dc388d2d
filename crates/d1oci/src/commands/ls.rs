//! `d1oci ls`: the files of a package.

use d1_model::Identifier;
use d1_package::ArtifactState;
use d1_package::annotations::D1_SERIES_ID;
use d1_transfer::{FileListing, ListedFile, OpenPackage, list_files, with_causes};
use oci_model::{MediaType, Reference};
use registry_backend::RegistryBackend;
use serde::{Serialize, Serializer};

use super::package::{
    Artifact, Children, OpenedArtifact, RatioArgument, open_any, state_of_file, unreadable,
};
use super::selection::Selection;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::near::nearest;
use crate::output::{Format, Lines, human};

/// List the files of a package: size, path, known DataONE identifiers and formats, and the state of objects that are archived,
/// replaced or not public.
///
/// Of an image index, it lists the files of every artifact in it. The sum of all listed files goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci ls oci:store:v1\nExample: d1oci ls oci:store:v1 data/ --tree")]
pub(crate) struct Arguments {
    /// The package, or with `--id` the repository.
    reference: Reference,
    /// List only files whose path matches, or that are in this directory: `*.csv`, `data/`.
    #[arg(value_name = "GLOB")]
    globs: Vec<String>,
    /// Show directories with their files and sizes below them.
    #[arg(short, long)]
    tree: bool,
    /// Show sizes as numbers of bytes.
    #[arg(short, long)]
    bytes: bool,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    #[command(flatten)]
    ratio: RatioArgument,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    reference: String,
    artifact_type: Option<MediaType>,
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series_id: Option<String>,
    #[serde(flatten)]
    state: ArtifactState,
    files: Selected<'a>,
}

/// The files of a package that the user wants to see.
#[derive(Debug)]
struct Selected<'a> {
    all: FileListing<'a>,
    directory: &'a str,
    selection: &'a Selection,
}

impl Selected<'_> {
    fn iter(&self) -> impl Iterator<Item = ListedFile> {
        self.all.iter().filter(|file| self.selection.wants_path(&file.path, self.directory))
    }
}

impl Serialize for Selected<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The form of a list for people.
#[derive(Clone, Copy, Debug)]
struct View {
    tree: bool,
    bytes: bool,
}

/// The number and the size of listed files.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    files: u64,
    bytes: u64,
}

/// An artifact of an image index.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Child<'a> {
    Listed(Box<Listing<'a>>),
    Unreadable { reference: String, error: String },
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { reference: asked, id, globs, tree, bytes, ratio: RatioArgument { max_ratio } } =
        arguments;
    let (selection, view) = (Selection::new(&globs, &[], &[])?, View { tree, bytes });
    let OpenedArtifact { backend, artifact, reference } = open_any(context, &asked, id.as_ref()).await?;
    let (raw, manifest) = match artifact {
        Artifact::Package(package) => {
            let package = package.with_max_ratio(max_ratio);
            let listing = listing(&*backend, &package, reference, &selection).await?;
            let sum = Sum::of(&listing);
            if sum.files == 0 && !selection.is_everything() {
                return Err(no_file(&package, &selection, &listing.reference));
            }
            let state = listing.state.to_string();
            if !state.is_empty() {
                context.printer.status(format_args!("{}: {state}", listing.reference));
            }
            context.printer.result(&listing, |listing, lines| files(listing, "", view, lines))?;
            if context.printer.format() == Format::Text {
                context.printer.status(sum.in_words(view));
            }
            return Ok(());
        }
        Artifact::Index { raw, manifest } => (raw, manifest),
    };
    let fields = [("reference", reference), ("mediaType", raw.media_type().to_string())];
    let mut list = context.printer.list(&fields, "artifacts")?;
    let mut children = Children::of(&*backend, &raw, &manifest)?;
    let mut failed = 0;
    while let Some((child, read)) = children.next().await? {
        let reference = format!("{}@{}", asked.location, child.digest);
        let package = match read {
            Ok(Artifact::Package(package)) => package.with_max_ratio(max_ratio),
            Ok(Artifact::Index { .. }) => continue,
            Err(error) => {
                failed += 1;
                let unreadable = Child::Unreadable { reference, error: with_causes(&error) };
                list.item(&unreadable, |child, lines| child_text(child, view, lines))?;
                continue;
            }
        };
        let listing = Box::new(listing(&*backend, &package, reference, &selection).await?);
        list.item(&Child::Listed(listing), |child, lines| child_text(child, view, lines))?;
    }
    list.end()?;
    unreadable(failed, &asked)
}

async fn listing<'a>(
    backend: &dyn RegistryBackend,
    package: &'a OpenPackage,
    reference: String,
    selection: &'a Selection,
) -> Result<Listing<'a>, Failure> {
    let view = &package.view;
    Ok(Listing {
        artifact_type: view.manifest().artifact_type.clone(),
        directory: view.directory().to_owned(),
        identifier: view.identifier().map(str::to_owned),
        series_id: view.manifest().annotations.get(D1_SERIES_ID).cloned(),
        state: ArtifactState::of(&view.manifest().annotations),
        files: Selected { all: list_files(backend, package).await?, directory: view.directory(), selection },
        reference,
    })
}

/// Returns the failure for patterns that match nothing, with a path that is like them.
fn no_file(package: &OpenPackage, selection: &Selection, reference: &str) -> Failure {
    let wanted = selection.text();
    let near = nearest(wanted, package.view.entries().map(|entry| entry.path));
    let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    Failure::new(ExitStatus::NotFound, format!("no file of the package matches `{wanted}`"))
        .with_hint(format!("{near}`d1oci ls {reference}` lists all files"))
}

impl Sum {
    fn of(listing: &Listing<'_>) -> Self {
        let add = |sum: Self, file: ListedFile| Self {
            files: sum.files + 1,
            bytes: sum.bytes.saturating_add(file.size),
        };
        listing.files.iter().fold(Self::default(), add)
    }

    fn in_words(self, view: View) -> String {
        format!("{}, {}", human::count(self.files, "file"), view.size(self.bytes))
    }
}

impl View {
    fn size(self, bytes: u64) -> String {
        if self.bytes { human::count(bytes, "byte") } else { human::bytes(bytes) }
    }

    /// Returns a size for a column.
    fn cell(self, bytes: u64) -> String {
        if self.bytes { bytes.to_string() } else { human::bytes(bytes) }
    }
}

fn child_text(child: &Child<'_>, view: View, lines: &mut Lines<'_>) {
    match child {
        Child::Listed(listing) => {
            let kind = listing.artifact_type.as_ref().map(|kind| format!(" ({kind})")).unwrap_or_default();
            lines.add(format_args!("{}{kind}:", listing.reference));
            files(listing, "  ", view, lines);
        }
        Child::Unreadable { reference, error } => lines.add(format_args!("error    {reference}: {error}")),
    }
}

fn files(listing: &Listing<'_>, indent: &str, view: View, lines: &mut Lines<'_>) {
    if view.tree {
        return tree(listing, indent, view, lines);
    }
    let width = listing.files.iter().map(|file| view.cell(file.size).len()).max().unwrap_or(0);
    for file in listing.files.iter() {
        let mut line = format!("{indent}{:>width$}  {}", view.cell(file.size), file.path);
        if let Some(identifier) = &file.identifier {
            line += &format!("  [{identifier}]");
        }
        if let Some(format_id) = &file.format_id {
            line += &format!("  ({format_id})");
        }
        lines.add(line + &state_of_file(&file));
    }
}

/// The deepest level with an indent of its own. A path has up to 4,096 bytes, and so some 2,000 levels.
const DEEPEST_INDENT: usize = 64;

/// Lists directories, with the sum of the files below each, and files.
fn tree(listing: &Listing<'_>, indent: &str, view: View, lines: &mut Lines<'_>) {
    let mut all: Vec<(String, u64)> = listing.files.iter().map(|file| (file.path, file.size)).collect();
    // All that is below a directory comes together.
    all.sort_unstable();
    // The sums of directories, in the order in which these come.
    let mut sums: Vec<Sum> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut before = "";
    for (path, size) in &all {
        open.truncate(shared_levels(before, path));
        while open.len() < levels(path) {
            open.push(sums.len());
            sums.push(Sum::default());
        }
        for number in &open {
            if let Some(sum) = sums.get_mut(*number) {
                sum.files += 1;
                sum.bytes = sum.bytes.saturating_add(*size);
            }
        }
        before = path;
    }
    let sizes = all.iter().map(|(_, size)| *size).chain(sums.iter().map(|sum| sum.bytes));
    let width = sizes.map(|size| view.cell(size).len()).max().unwrap_or(0);
    let deep = |depth: usize| "  ".repeat(depth.min(DEEPEST_INDENT));
    let mut sums = sums.into_iter();
    let mut before = "";
    for (path, size) in &all {
        let known = shared_levels(before, path);
        for (depth, name) in path.split('/').enumerate().take(levels(path)).skip(known) {
            let sum = sums.next().unwrap_or_default();
            let (depth, size) = (deep(depth), view.cell(sum.bytes));
            let count = human::count(sum.files, "file");
            lines.add(format_args!("{indent}{size:>width$}  {depth}{name}/  ({count})"));
        }
        let (depth, size) = (deep(levels(path)), view.cell(*size));
        lines.add(format_args!("{indent}{size:>width$}  {depth}{}", path.rsplit('/').next().unwrap_or(path)));
        before = path;
    }
}

/// Returns the number of directories in a path.
fn levels(path: &str) -> usize {
    path.matches('/').count()
}

/// Returns the number of directories, from the top, that two paths have in common.
fn shared_levels(left: &str, right: &str) -> usize {
    let most = levels(left).min(levels(right));
    left.split('/').zip(right.split('/')).take(most).take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    use super::shared_levels;

    #[test]
    fn shared_directories_are_counted() {
        for (left, right, expected) in
            [("", "a/b", 0), ("a/b", "a/c", 1), ("a/b", "a/b/c", 1), ("a/b/c", "a/x/c", 1), ("a", "a", 0)]
        {
            assert_eq!(shared_levels(left, right), expected, "{left} {right}");
        }
    }
}
