//! The facts about a package that its descriptions state.

use d1_catalog::d1_metadata::{MetadataFormat, ScienceMetadata};
use d1_catalog::{CatalogFile, CatalogPackage};

use crate::answer::Refused;
use crate::app::App;
use crate::packages;
use crate::selection::{Files, Selection};

/// The longest description, in characters: search engines take no longer one.
const LONGEST_DESCRIPTION: usize = 5000;
/// The shortest description that search engines take, in characters.
const SHORTEST_DESCRIPTION: usize = 50;
/// The most variables that a description lists.
const MOST_VARIABLES: usize = 1000;
/// The most files that a description lists. The link set and `sha256sums.txt` name the others.
pub(super) const MOST_FILES: usize = 5000;

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
    pub(super) taxa: Vec<String>,
    pub(super) places: Vec<String>,
    /// Columns of tables.
    pub(super) variables: Vec<Variable>,
    /// The versions of the package, the oldest first.
    pub(super) versions: Vec<CatalogPackage>,
    /// The science metadata document that the facts are from.
    pub(super) document: ScienceMetadata,
    /// Its path in the package.
    pub(super) document_path: Option<String>,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) definition: Option<String>,
    pub(super) unit: Option<String>,
}

impl Described {
    /// Reads the facts about a package, and at most this many of its files.
    pub(super) async fn of(
        app: &App,
        package: &CatalogPackage,
        base_url: &str,
        most_files: usize,
    ) -> Result<Self, Refused> {
        let known = package.clone();
        let asked = app
            .store
            .ask(move |catalog| Ok((catalog.versions(&known)?, catalog.science_metadata(known.id)?)));
        let (versions, stored) = asked.await?;
        let digest = &package.summary.digest;
        let version =
            versions.iter().position(|version| version.summary.digest == *digest).map_or(1, |at| at + 1);
        let files = first_files(app, package, most_files).await?;
        let summary = &package.summary;
        let title = summary.title.clone().or_else(|| summary.identifier.clone());
        let title = title.unwrap_or_else(|| summary.tag.to_string());
        let mut described = Self {
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
            taxa: Vec::new(),
            places: Vec::new(),
            variables: Vec::new(),
            versions,
            document: ScienceMetadata::default(),
            document_path: None,
        };
        // The metadata of a package that is not wholly public may be private.
        let is_readable = packages::is_readable(package);
        let mut documents = stored.into_iter().filter(|_| is_readable);
        let known = documents.find(|stored| stored.metadata.format != MetadataFormat::Unknown);
        if let Some(known) = known {
            described.document_path = known.path;
            described.document = known.metadata.clone();
            described.add(known.metadata);
        }
        Ok(described)
    }

    /// Adds the content of a science metadata document.
    fn add(&mut self, document: ScienceMetadata) {
        if let Some(title) = document.title {
            self.title = title;
        }
        if let Some(text) = document.r#abstract.filter(|text| !text.trim().is_empty()) {
            self.description = match text.chars().count() < SHORTEST_DESCRIPTION {
                true => format!("{text} ({})", self.description),
                false => text.chars().take(LONGEST_DESCRIPTION).collect(),
            };
        }
        self.creators = document
            .creators
            .into_iter()
            .map(|party| Creator {
                name: party.name,
                given: party.given,
                family: party.family,
                orcid: party
                    .orcid
                    .map(|orcid| format!("https://orcid.org/{orcid}"))
                    .filter(|url| is_web(url)),
            })
            .collect();
        self.keywords = document.keywords;
        self.publisher = document.publisher;
        let published =
            document.published.and_then(|date| date.get(..10).or(date.get(..4)).map(str::to_owned));
        self.published = published.or(self.published.take());
        let license =
            document.license_url.into_iter().chain(document.license).find(|license| is_web(license));
        self.license = license.or(self.license.take());
        self.boxes = document
            .boxes
            .iter()
            .map(|bounds| [bounds.west, bounds.south, bounds.east, bounds.north])
            .collect();
        let named = document.boxes.into_iter().filter_map(|bounds| bounds.description);
        self.places = named.chain(document.places).collect();
        self.periods = document.periods.into_iter().map(|period| (period.begin, period.end)).collect();
        self.taxa = document.taxa.into_iter().map(|taxon| taxon.name).collect();
        let attributes = document.entities.into_iter().flat_map(|entity| entity.attributes);
        self.variables = attributes
            .take(MOST_VARIABLES)
            .map(|attribute| Variable {
                name: attribute.name,
                definition: attribute.definition,
                unit: attribute.unit,
            })
            .collect();
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

/// Returns the first files of a package that everybody may read.
async fn first_files(app: &App, package: &CatalogPackage, most: usize) -> Result<Vec<CatalogFile>, Refused> {
    let mut files = Vec::new();
    let selection = Selection::default();
    let mut listed = Files::new(app, package, &selection);
    while files.len() < most
        && let Some(page) = listed.next().await?
    {
        files.extend(page);
    }
    files.truncate(most);
    Ok(files)
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
