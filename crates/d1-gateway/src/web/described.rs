//! The facts about a package that its descriptions state.

use d1_catalog::{CatalogFile, CatalogPackage};

use crate::answer::Refused;
use crate::app::App;
use crate::packages;
use crate::selection::{Files, Selection};

/// The most files that a description lists. The link set and `sha256sums.txt` name the others.
const MOST_FILES: usize = 5000;

/// A person or an organisation.
#[derive(Clone, Debug, Default)]
pub(super) struct Creator {
    pub(super) name: String,
    pub(super) given: Option<String>,
    pub(super) family: Option<String>,
    pub(super) orcid: Option<String>,
}

/// The facts about a package that its descriptions state.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) base_url: String,
    /// The URL of the page.
    pub(super) page: String,
    /// The package's key, percent-encoded.
    pub(super) key: String,
    pub(super) digest: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) identifier: Option<String>,
    pub(super) series_id: Option<String>,
    pub(super) obsoletes: Option<String>,
    pub(super) creators: Vec<Creator>,
    pub(super) keywords: Vec<String>,
    /// The URL of the licence.
    pub(super) license: Option<String>,
    /// When it was published, or made: a date.
    pub(super) published: Option<String>,
    pub(super) publisher: Option<String>,
    pub(super) version: usize,
    pub(super) bytes: u64,
    pub(super) file_count: u64,
    /// The first files.
    pub(super) files: Vec<CatalogFile>,
    /// Boxes: west, south, east, north.
    pub(super) boxes: Vec<[f64; 4]>,
    pub(super) periods: Vec<(Option<String>, Option<String>)>,
}

impl Described {
    pub(super) async fn of(app: &App, package: &CatalogPackage, base_url: &str) -> Result<Self, Refused> {
        let known = package.clone();
        let versions = app.store.ask(move |catalog| catalog.versions(&known)).await?;
        let digest = &package.summary.digest;
        let version =
            versions.iter().position(|version| version.summary.digest == *digest).map_or(1, |at| at + 1);
        let mut files = Vec::new();
        let selection = Selection::default();
        let mut listed = Files::new(app, package, &selection);
        while let Some(page) = listed.next().await? {
            files.extend(page);
            if files.len() >= MOST_FILES {
                files.truncate(MOST_FILES);
                break;
            }
        }
        let summary = &package.summary;
        let title = summary.title.clone().or_else(|| summary.identifier.clone());
        let title = title.unwrap_or_else(|| summary.tag.to_string());
        Ok(Self {
            base_url: base_url.to_owned(),
            page: packages::page_url(base_url, package),
            key: packages::key(package),
            digest: digest.to_string(),
            description: default_description(package, &title),
            title,
            identifier: summary.identifier.clone(),
            series_id: summary.series_id.clone(),
            obsoletes: summary.obsoletes.clone(),
            creators: Vec::new(),
            keywords: Vec::new(),
            license: package.license.clone().filter(|license| is_web(license)),
            published: summary.created.as_ref().and_then(|created| created.get(..10)).map(str::to_owned),
            publisher: None,
            version,
            bytes: package.bytes,
            file_count: package.files,
            files,
            boxes: Vec::new(),
            periods: Vec::new(),
        })
    }

    /// Returns the DOI of the identifier, if it is one.
    pub(super) fn doi(&self) -> Option<&str> {
        self.identifier.as_deref()?.strip_prefix("doi:")
    }

    /// Returns the URL of a file of the package.
    pub(super) fn file_url(&self, file: &CatalogFile) -> String {
        packages::file_url(&self.base_url, &self.key, &file.path)
    }

    /// Returns the URL of the zip of the package.
    pub(super) fn zip_url(&self) -> String {
        format!("{}/zip/{}", self.base_url, self.key)
    }

    /// Returns the year of publication.
    pub(super) fn year(&self) -> Option<&str> {
        self.published.as_deref()?.get(..4)
    }
}

/// Returns whether a text is a URL that a link may lead to.
pub(super) fn is_web(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://"))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"\\^`{|}".contains(c))
}

/// Returns a description of a package whose metadata have none. Search engines want at least 50 characters.
fn default_description(package: &CatalogPackage, title: &str) -> String {
    let (files, bytes) = (package.files, package.bytes);
    format!(
        "Data package “{title}” with {files} files and {bytes} bytes, stored with the SHA-256 of every file."
    )
}
