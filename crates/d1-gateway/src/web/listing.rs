//! The files and directories in one directory of a package: one page of them.

use std::sync::Arc;

use d1_catalog::{CatalogDirectory, CatalogFile, CatalogPackage};

use super::described::Described;
use super::entities::Entities;
use super::page::{Link, Paging, bytes, counted, crumbs, cut, page_number};
use crate::answer::Refused;
use crate::app::App;
use crate::packages::{self, encoded_path, file_url};
use crate::request::Request;

/// How many files, and how many directories, one page lists.
const PAGE: u64 = 100;

/// The content of a directory, for a template.
pub(super) struct Listing {
    /// Links from the package to this directory, which is the last one.
    pub(super) crumbs: Vec<Link>,
    pub(super) directories: Vec<DirectoryRow>,
    pub(super) files: Vec<FileRow>,
    pub(super) paging: Paging,
    /// Number and size of all files below.
    pub(super) summary: String,
    pub(super) zip: String,
    pub(super) sums: String,
    pub(super) metalink: String,
    pub(super) urls: String,
    /// The zip of the package, to which a form sends the paths of chosen files.
    pub(super) choose: String,
}

/// A directory in a list.
pub(super) struct DirectoryRow {
    pub(super) url: String,
    pub(super) name: String,
    pub(super) files: String,
    pub(super) size: String,
}

/// A file in a list.
pub(super) struct FileRow {
    pub(super) url: String,
    pub(super) path: String,
    pub(super) name: String,
    /// The words of the metadata for the file.
    pub(super) about: String,
    pub(super) kind: String,
    pub(super) size: String,
    pub(super) digest: String,
}

/// A page of the content of a directory, as the catalogue has it.
pub(super) struct Listed {
    pub(super) directory: CatalogDirectory,
    subdirectories: d1_catalog::Page<CatalogDirectory>,
    files: Vec<CatalogFile>,
    file_total: u64,
    number: u64,
}

impl Listed {
    /// Reads the page of a directory that a client wants, without the files that not everybody may read.
    pub(super) async fn of(
        app: &Arc<App>,
        request: &Request,
        package: &CatalogPackage,
        path: &str,
    ) -> Result<Self, Refused> {
        let (id, wanted, number) = (package.id, path.to_owned(), page_number(request));
        let start = (number - 1) * PAGE;
        let read = app.store.ask(move |catalog| {
            let Some(directory) = catalog.directory(id, &wanted)? else { return Ok(None) };
            let subdirectories = catalog.subdirectories(&directory, start, PAGE)?;
            let files = catalog.files_in(&directory, start, PAGE)?;
            Ok(Some((directory, subdirectories, files)))
        });
        let no_directory = || Refused::not_found("the package has no such directory");
        let (directory, subdirectories, page) = read.await?.ok_or_else(no_directory)?;
        let mut files = Vec::with_capacity(page.items.len());
        for file in page.items {
            if app.store.may_read(package, &file).await? {
                files.push(file);
            }
        }
        Ok(Self { directory, subdirectories, files, file_total: page.total, number })
    }

    /// Returns whether the page shows nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.subdirectories.items.is_empty()
    }
}

impl Listing {
    pub(super) fn of(described: &Described, key: &str, listed: &Listed) -> Self {
        let base = described.base_url.as_str();
        let path = listed.directory.path.as_str();
        let below = if path.is_empty() { String::new() } else { format!("/{}", encoded_path(path)) };
        let entities = Entities::of(&described.document);
        let directories = listed.subdirectories.items.iter().map(|directory| DirectoryRow {
            url: format!("{base}/p/{key}/{}/", encoded_path(&directory.path)),
            name: directory.path.rsplit('/').next().unwrap_or_default().to_owned(),
            files: counted(directory.files, "file", "files"),
            size: bytes(directory.bytes),
        });
        let total = listed.file_total.max(listed.subdirectories.total);
        // The page of a bag lists its data unless the client asks for all.
        let all = if path.is_empty() { "all&" } else { "" };
        Self {
            crumbs: crumbs(base, key, &described.title, path),
            directories: directories.collect(),
            files: listed.files.iter().map(|file| row(base, key, &entities, file)).collect(),
            paging: Paging::of(&format!("{base}/p/{key}{below}/?{all}page="), listed.number, PAGE, total),
            summary: format!(
                "{}, {}",
                counted(listed.directory.files, "file", "files"),
                bytes(listed.directory.bytes)
            ),
            zip: format!("{base}/zip/{key}{below}"),
            sums: format!("{base}/sha256sums/{key}{below}"),
            metalink: format!("{base}/meta4/{key}{below}"),
            urls: format!("{base}/urls/{key}{below}"),
            choose: format!("{base}/zip/{key}"),
        }
    }
}

fn row(base: &str, key: &str, entities: &Entities<'_>, file: &CatalogFile) -> FileRow {
    let about = entities.find(file).map(|(entity, _)| {
        let name = entity.name.as_deref().filter(|name| *name != file.name());
        cut(entity.description.as_deref().or(name).unwrap_or_default(), 140)
    });
    FileRow {
        url: file_url(base, key, &file.path),
        path: file.path.clone(),
        name: file.name().to_owned(),
        about: about.unwrap_or_default(),
        kind: kind(file),
        size: bytes(file.size),
        digest: file.sha256().map(|sha256| hex::encode(sha256).chars().take(8).collect()).unwrap_or_default(),
    }
}

/// Returns the kind of a file in the words of people.
pub(super) fn kind(file: &CatalogFile) -> String {
    let format_id = file.format_id.as_deref().unwrap_or_default();
    let essence = file.media_type.split(';').next().unwrap_or_default().trim();
    let known = match essence {
        _ if format_id.contains("ecoinformatics.org/eml-") => "EML metadata",
        _ if format_id.contains("isotc211.org") => "ISO metadata",
        _ if format_id.contains("openarchives.org/ore") => "Resource map",
        _ if packages::is_system_metadata(&file.path) => "System metadata",
        "text/csv" => "CSV table",
        "text/tab-separated-values" => "TSV table",
        "text/plain" => "Text",
        "text/markdown" => "Markdown",
        "text/html" => "HTML",
        "application/json" | "application/ld+json" | "application/geo+json" => "JSON",
        "application/xml" | "text/xml" | "application/rdf+xml" => "XML",
        "application/pdf" => "PDF",
        "application/zip" => "Zip archive",
        "application/x-tar" | "application/gzip" | "application/x-gzip" => "Archive",
        "application/netcdf" | "application/x-netcdf" => "NetCDF",
        "application/vnd.apache.parquet" | "application/x-parquet" => "Parquet table",
        "application/octet-stream" => "Binary",
        _ if essence.starts_with("image/") => "Image",
        other => other,
    };
    known.to_owned()
}
