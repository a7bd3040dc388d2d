//! `d1oci catalog`: what repositories hold, in one file that answers at once.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use d1_catalog::{
    Catalog, CatalogedRepository, ExportForm, ExportTable, RepositoryStatus, UpdateOptions, UpdateReport,
};
use d1_transfer::{PushOptions, PushReport};
use oci_model::Reference;
use registry_backend::Access;
use serde::Serialize;

use crate::catalogs::{OpenCatalog, cache_directory, remove, repository_name};
use crate::context::{Context, temporary_directory};
use crate::failure::{ExitStatus, Failure};
use crate::output::{Lines, human};

/// Keep a catalogue of repositories: packages, objects, files and the content of their metadata.
///
/// The catalogue is an SQLite file. `find`, `history` and `--id` use it and bring it up to date first, so they need no request for each
/// tag. It is a cache: it can be deleted at any time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci catalog update oci:store && d1oci find oci:store --text 'sea ice'")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Update(UpdateArguments),
    Status(StatusArguments),
    Publish(PublishArguments),
    Export(ExportArguments),
    Drop(DropArguments),
}

/// Bring catalogues up to date, and make those that are missing.
///
/// It reads new artifacts only: their manifest and index, and their metadata with as few requests as possible.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci catalog update ghcr.io/owner/name --catalog holdings.sqlite3")]
struct UpdateArguments {
    /// The repositories.
    #[arg(required = true)]
    repositories: Vec<Reference>,
    /// Do not start from the catalogue that a repository publishes.
    #[arg(long)]
    no_published: bool,
    /// Read everything again.
    #[arg(long)]
    rebuild: bool,
}

/// Show the content of catalogues.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci catalog status")]
struct StatusArguments {
    /// The repositories [default: all in the catalogue, or in the cache directory].
    repositories: Vec<Reference>,
}

/// Publish a catalogue in its repository, under the tag `d1-catalog`.
///
/// A first `catalog update` elsewhere starts from it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci catalog publish ghcr.io/owner/name")]
struct PublishArguments {
    /// The repository.
    repository: Reference,
}

/// Write the tables of catalogues as files for DuckDB, R or a spreadsheet.
///
/// It writes `packages`, `objects`, `files` and `documents`, as they are now; it does not update the catalogue.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci catalog export oci:store --output tables --form jsonl")]
struct ExportArguments {
    /// The repository. With `--catalog`, all repositories in the file are exported.
    #[arg(required_unless_present = "catalog")]
    repository: Option<Reference>,
    /// Directory for the files.
    #[arg(short, long, value_name = "DIRECTORY")]
    output: PathBuf,
    /// Form of the files.
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    form: Form,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Form {
    /// Comma-separated values.
    #[default]
    Csv,
    /// JSON Lines. Documents have their whole content.
    Jsonl,
    /// Apache Parquet with typed columns. Documents have their whole content as JSON.
    Parquet,
}

impl Form {
    /// Returns the form of the library, and the extension of its files.
    fn of_library(self) -> Result<(ExportForm, &'static str), Failure> {
        match self {
            Self::Csv => Ok((ExportForm::Csv, "csv")),
            Self::Jsonl => Ok((ExportForm::JsonLines, "jsonl")),
            #[cfg(feature = "parquet")]
            Self::Parquet => Ok((ExportForm::Parquet, "parquet")),
            #[cfg(not(feature = "parquet"))]
            Self::Parquet => {
                let message = "this d1oci was built without the feature `parquet`";
                Err(Failure::new(ExitStatus::Usage, message).with_hint(
                    "build it with `cargo install --locked --path crates/d1oci --features parquet`",
                ))
            }
        }
    }
}

/// Remove repositories from catalogues.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci catalog drop oci:store")]
struct DropArguments {
    /// The repositories.
    #[arg(required = true)]
    repositories: Vec<Reference>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    repository: String,
    catalog: PathBuf,
    #[serde(flatten)]
    report: UpdateReport,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    catalog: PathBuf,
    bytes: u64,
    repositories: Vec<RepositoryStatus>,
}

#[derive(Debug, Serialize)]
struct Published {
    repository: String,
    #[serde(flatten)]
    report: PushReport,
}

#[derive(Debug, Serialize)]
struct Exported {
    path: PathBuf,
    rows: u64,
}

#[derive(Debug, Serialize)]
struct Dropped {
    repository: String,
    dropped: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Update(arguments) => update(context, arguments).await,
        Action::Status(arguments) => status(context, &arguments),
        Action::Publish(arguments) => publish(context, arguments).await,
        Action::Export(arguments) => export(context, arguments),
        Action::Drop(arguments) => drop_repositories(context, &arguments),
    }
}

async fn update(context: &Context, arguments: UpdateArguments) -> Result<(), Failure> {
    let observer = context.observer();
    let mut list = context.printer.list(&[], "updated")?;
    for reference in &arguments.repositories {
        let location = context.repository_only(reference, "catalog update")?;
        let backend = context.open(location, Access::Read).await?;
        let published = !arguments.no_published && !arguments.rebuild;
        let open = context.catalogs.open_or_create(location, &*backend, published, context.printer).await?;
        if arguments.rebuild {
            open.catalog.drop_repository(&open.name)?;
        }
        let mut options = UpdateOptions::default();
        options.referrers = true;
        let repository = CatalogedRepository { catalog: &open.catalog, backend: &*backend, name: &open.name };
        let report = repository.update(&options, &observer).await?;
        let catalog = open.catalog.path().to_owned();
        let updated = Updated { repository: location.to_string(), catalog, report };
        list.item(&updated, updated_text)?;
    }
    list.end().map(drop)
}

fn updated_text(updated: &Updated, lines: &mut Lines<'_>) {
    let UpdateReport { tags, added, removed, unchanged, unreadable, .. } = updated.report;
    let mut text = format!(
        "{}: {}, {added} added, {removed} removed, {unchanged} unchanged",
        updated.repository,
        human::count(tags, "tag")
    );
    if unreadable > 0 {
        text += &format!(", {unreadable} unreadable");
    }
    lines.add(text);
}

fn status(context: &Context, arguments: &StatusArguments) -> Result<(), Failure> {
    let mut names = Vec::new();
    for reference in &arguments.repositories {
        names.push(repository_name(context.repository_only(reference, "catalog status")?));
    }
    let mut paths = Vec::new();
    match (&context.catalogs.catalog, names.as_slice()) {
        (Some(path), _) => paths.push(path.clone()),
        (None, []) => {
            let entries = cache_directory().and_then(|directory| fs::read_dir(directory).ok());
            let found = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
            paths.extend(
                found.filter(|path| path.extension().is_some_and(|extension| extension == "sqlite3")),
            );
            paths.sort();
        }
        (None, names) => {
            for name in names {
                paths.push(context.catalogs.path(name)?);
            }
        }
    }
    let mut list = context.printer.list(&[], "catalogs")?;
    for path in paths {
        let catalog = open(&path)?;
        let mut repositories = catalog.repositories()?;
        repositories.retain(|status| names.is_empty() || names.contains(&status.name));
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        list.item(&Status { catalog: path, bytes, repositories }, status_text)?;
    }
    list.end().map(drop)
}

fn status_text(status: &Status, lines: &mut Lines<'_>) {
    lines.add(format_args!("{} ({})", status.catalog.display(), human::bytes(status.bytes)));
    for repository in &status.repositories {
        let updated = repository.updated.map_or_else(|| "never".to_owned(), |time| time.to_string());
        let mut text = format!(
            "  {}: {}, {}, {}; updated {updated}",
            repository.name,
            human::count(repository.packages, "package"),
            human::count(repository.objects, "object"),
            human::count(repository.files, "file"),
        );
        if repository.unreadable > 0 {
            text += &format!("; {} unreadable", human::count(repository.unreadable, "tag"));
        }
        lines.add(text);
    }
}

async fn publish(context: &Context, arguments: PublishArguments) -> Result<(), Failure> {
    let location = context.repository_only(&arguments.repository, "catalog publish")?;
    let backend = context.open(location, Access::Modify).await?;
    let open = context.catalogs.open_or_create(location, &*backend, true, context.printer).await?;
    let repository = CatalogedRepository { catalog: &open.catalog, backend: &*backend, name: &open.name };
    let options = PushOptions::new(temporary_directory());
    let report = repository.publish(&options, &context.observer()).await?;
    let published = Published { repository: location.to_string(), report };
    context.printer.result(&published, |published, lines| {
        let Published { repository, report } = published;
        let tags: Vec<&str> = report.tags.iter().map(|tag| tag.as_str()).collect();
        lines.add(format_args!(
            "{repository}:{}@{}  {}",
            tags.join(","),
            report.digest,
            human::bytes(report.bytes)
        ));
    })
}

fn open(path: &Path) -> Result<Catalog, Failure> {
    Catalog::open_existing(path)?.ok_or_else(|| {
        Failure::new(ExitStatus::NotFound, format!("the catalogue {} does not exist", path.display()))
            .with_hint("`d1oci catalog update REPOSITORY` builds one")
    })
}

fn export(context: &Context, arguments: ExportArguments) -> Result<(), Failure> {
    let ExportArguments { repository, output, form } = arguments;
    let (form, extension) = form.of_library()?;
    let name = match &repository {
        Some(reference) => repository_name(context.repository_only(reference, "catalog export")?),
        None => String::new(),
    };
    let path = context.catalogs.path(&name)?;
    let catalog = open(&path)?;
    fs::create_dir_all(&output).map_err(|error| Failure::file("create", &output, error))?;
    let mut list = context.printer.list(&[], "exported")?;
    for table in ExportTable::ALL {
        let path = output.join(format!("{}.{extension}", table.name()));
        let mut file =
            tempfile::NamedTempFile::new_in(&output).map_err(|error| Failure::file("write", &path, error))?;
        let rows = catalog.export(table, form, BufWriter::new(file.as_file_mut()))?;
        let file = file.persist(&path).map_err(|error| Failure::file("write", &path, error.error))?;
        make_readable(&file).map_err(|error| Failure::file("write", &path, error))?;
        list.item(&Exported { path, rows }, |exported, lines| {
            lines.add(format_args!("{}  {}", exported.path.display(), human::count(exported.rows, "row")));
        })?;
    }
    list.end().map(drop)
}

/// Temporary files are for their owner alone, but an export is an ordinary file.
fn make_readable(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.sync_all()
}

fn drop_repositories(context: &Context, arguments: &DropArguments) -> Result<(), Failure> {
    let mut list = context.printer.list(&[], "dropped")?;
    for reference in &arguments.repositories {
        let location = context.repository_only(reference, "catalog drop")?;
        let name = repository_name(location);
        let path = context.catalogs.path(&name)?;
        let mut dropped = false;
        if context.catalogs.catalog.is_none() {
            dropped = path.exists();
            remove(&path)?;
        } else if let Some(OpenCatalog { catalog, name }) =
            context.catalogs.existing(location, context.printer)?
        {
            dropped = catalog.drop_repository(&name)?;
        }
        list.item(&Dropped { repository: location.to_string(), dropped }, |dropped, lines| {
            let verb = if dropped.dropped { "dropped" } else { "not in a catalogue" };
            lines.add(format_args!("{}: {verb}", dropped.repository));
        })?;
    }
    list.end().map(drop)
}
