//! Choosing files of a package: all, those below a directory, some, or those that another version lacks.

use std::collections::HashSet;

use d1_catalog::{CatalogDirectory, CatalogFile, CatalogPackage, FileId};

use crate::answer::{Kind, Refused};
use crate::app::App;
use crate::request::Query;

/// How many files are read from the catalogue at once.
const PAGE: u64 = 1000;
/// The most files of the version to compare with.
const MOST_COMPARED: usize = 2_000_000;
/// The most files that are named one by one.
const MOST_NAMED: usize = 10_000;

/// The files of a package that a client wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// The directory, or an empty text for all.
    below: String,
    /// The paths, or none for all.
    paths: HashSet<String>,
    /// The contents of the version to compare with: they are left out.
    known: Option<HashSet<[u8; 32]>>,
    /// A text that differs for different selections.
    name: String,
}

impl Selection {
    /// Reads a selection: a directory, `file` for each path, `since` for another version.
    pub(crate) async fn of(app: &App, below: &str, query: &Query) -> Result<Self, Refused> {
        let paths: HashSet<String> = query.all("file").map(str::to_owned).collect();
        if paths.len() > MOST_NAMED {
            return Err(Refused::invalid(format!("expected at most {MOST_NAMED} files")));
        }
        let mut sorted: Vec<&String> = paths.iter().collect();
        sorted.sort_unstable();
        let since = query.get("since");
        let name = format!("{below}\n{sorted:?}\n{since:?}");
        let known = match since {
            None => None,
            Some(key) => {
                let package = crate::packages::package(app, key).await?;
                Some(contents(app, &package).await?)
            }
        };
        Ok(Self { below: below.trim_end_matches('/').to_owned(), paths, known, name })
    }

    /// Returns a text that differs for different selections.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn has(&self, file: &CatalogFile) -> bool {
        let is_named = self.paths.is_empty() || self.paths.contains(&file.path);
        let is_known = |sha256| self.known.as_ref().is_some_and(|known| known.contains(sha256));
        is_named && !file.sha256().as_ref().is_some_and(is_known)
    }
}

async fn contents(app: &App, package: &CatalogPackage) -> Result<HashSet<[u8; 32]>, Refused> {
    let mut known = HashSet::new();
    let selection = Selection::default();
    let mut files = Files::new(app, package, &selection);
    while let Some(page) = files.next().await? {
        known.extend(page.iter().filter_map(|file| file.sha256()));
        if known.len() > MOST_COMPARED {
            return Err(Refused::new(Kind::TooLarge, "the version to compare with has too many files"));
        }
    }
    Ok(known)
}

/// The selected files of a package that everybody may read, page by page, in the order of their paths.
pub(crate) struct Files<'a> {
    app: &'a App,
    package: &'a CatalogPackage,
    selection: &'a Selection,
    directory: Option<CatalogDirectory>,
    after: Option<FileId>,
    is_done: bool,
}

impl<'a> Files<'a> {
    pub(crate) fn new(app: &'a App, package: &'a CatalogPackage, selection: &'a Selection) -> Self {
        Self { app, package, selection, directory: None, after: None, is_done: false }
    }

    /// Returns the next files, possibly none, or `None` behind the last ones.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<CatalogFile>>, Refused> {
        if self.is_done {
            return Ok(None);
        }
        let directory = match self.directory.clone() {
            Some(directory) => directory,
            None => {
                let (id, below) = (self.package.id, self.selection.below.clone());
                let found = self.app.store.ask(move |catalog| catalog.directory(id, &below)).await?;
                let found = found.ok_or_else(|| Refused::not_found("the package has no such directory"))?;
                self.directory.insert(found).clone()
            }
        };
        let after = self.after;
        let page = self.app.store.ask(move |catalog| catalog.files(&directory, after, PAGE)).await?;
        self.is_done = (page.len() as u64) < PAGE;
        self.after = page.last().map(|file| file.id);
        let mut readable = Vec::with_capacity(page.len());
        for file in page {
            if self.selection.has(&file) && self.app.store.may_read(self.package, &file).await? {
                readable.push(file);
            }
        }
        Ok(Some(readable))
    }
}
