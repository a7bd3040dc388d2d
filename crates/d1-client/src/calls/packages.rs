//! Which package an identifier belongs to.

use std::collections::HashSet;

use d1_model::{DateTime, FormatType, Identifier, RESOURCE_MAP_FORMAT_ID};

use super::search::{Entry, Question};
use crate::client::NodeClient;
use crate::context::Context;
use crate::error::{ErrorKind, Result};

/// The most objects that document one object, and the most maps that are considered.
const MOST_CANDIDATES: usize = 1000;

/// The packages that an identifier belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSearch {
    /// The object; where a series was asked for, its head.
    pub object: Identifier,
    /// What the object is.
    pub format_type: Option<FormatType>,
    /// The resource maps. None if the object is in no package; several if a person has to choose.
    pub resource_maps: Vec<Identifier>,
}

impl NodeClient {
    /// Finds the resource maps of the packages that an identifier belongs to, be it that of a map, of metadata, of data,
    /// or of a series of them.
    ///
    /// The rules are those of the R client (`rdataone`, `getDataPackage`): a map stands for itself; metadata are in their
    /// maps; data are in the maps of what documents them; of several maps, those count that nothing obsoletes. What the
    /// search index does not know can still be a map, by its system metadata.
    ///
    /// # Errors
    ///
    /// [`NotImplemented`](ErrorKind::NotImplemented) if the node has no search index and the identifier is not a map's;
    /// [`NotFound`](ErrorKind::NotFound) if the index does not know the identifier and it is not a map's.
    pub async fn find_packages(&self, identifier: &Identifier) -> Result<PackageSearch> {
        let context = self.context("find the package of", identifier);
        let unknown = match self.find_entry(identifier, &context).await {
            Ok(Some(entry)) => return self.packages_of(entry, &context).await,
            Ok(None) => context.error(ErrorKind::NotFound).because("the search index does not know it"),
            Err(error) if error.kind() == ErrorKind::NotImplemented => {
                let reason = "the node has no search index; the identifier of a resource map is needed";
                error.because(reason)
            }
            Err(error) => return Err(error),
        };
        let meta = self.meta(identifier).await?.value;
        if meta.format_id != RESOURCE_MAP_FORMAT_ID {
            return Err(unknown);
        }
        let resource_maps = vec![meta.identifier.clone()];
        Ok(PackageSearch { object: meta.identifier, format_type: Some(FormatType::Resource), resource_maps })
    }

    async fn find_entry(&self, identifier: &Identifier, context: &Context) -> Result<Option<Entry>> {
        let values = std::slice::from_ref(identifier);
        let question = Question { field: "id", values, current_only: false };
        let found = self.search(question, context).await?;
        if let Some(entry) = found.into_iter().find(|entry| entry.id == identifier.as_str()) {
            return Ok(Some(entry));
        }
        let found = self.search(Question { field: "seriesId", ..question }, context).await?;
        Ok(head(found))
    }

    async fn packages_of(&self, entry: Entry, context: &Context) -> Result<PackageSearch> {
        let object: Identifier = entry
            .id
            .parse()
            .map_err(|error| context.protocol(format!("the index names it “{}”: {error}", entry.id)))?;
        let format_type = entry.format_type.as_deref().map(format_type);
        let resource_maps = match &format_type {
            Some(FormatType::Resource) => vec![object.clone()],
            Some(FormatType::Data) => self.maps_of_data(&entry, context).await?,
            _ => identifiers(&entry.resource_map),
        };
        let resource_maps = self.current(resource_maps, context).await?;
        Ok(PackageSearch { object, format_type, resource_maps })
    }

    /// Returns the maps of what documents an object, or its own where nothing does.
    async fn maps_of_data(&self, entry: &Entry, context: &Context) -> Result<Vec<Identifier>> {
        let values = &identifiers(&entry.is_documented_by);
        let question = Question { field: "id", values, current_only: false };
        let documenting = self.search(question, context).await?;
        let maps = documenting.iter().flat_map(|entry| &entry.resource_map);
        let maps = identifiers(maps);
        Ok(if maps.is_empty() { identifiers(&entry.resource_map) } else { maps })
    }

    /// Drops the maps that others obsolete, unless that leaves none.
    async fn current(&self, maps: Vec<Identifier>, context: &Context) -> Result<Vec<Identifier>> {
        if maps.len() < 2 {
            return Ok(maps);
        }
        let question = Question { field: "id", values: &maps, current_only: true };
        let found = self.search(question, context).await?;
        let current: HashSet<_> = found.into_iter().map(|entry| entry.id).collect();
        let kept: Vec<_> = maps.iter().filter(|map| current.contains(map.as_str())).cloned().collect();
        Ok(if kept.is_empty() { maps } else { kept })
    }
}

fn format_type(name: &str) -> FormatType {
    [FormatType::Data, FormatType::Metadata, FormatType::Resource]
        .into_iter()
        .find(|known| known.name() == name)
        .unwrap_or_else(|| FormatType::Other(name.to_owned()))
}

/// Returns the head of a series: the one that nothing obsoletes, of several the one that was uploaded last.
fn head(entries: Vec<Entry>) -> Option<Entry> {
    let uploaded =
        |entry: &Entry| DateTime::from_text(entry.date_uploaded.clone().unwrap_or_default()).instant();
    entries.into_iter().max_by_key(|entry| (entry.obsoleted_by.is_none(), uploaded(entry)))
}

/// Returns texts as identifiers, each once; what is none is of no use.
fn identifiers<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<Identifier> {
    let mut seen = HashSet::new();
    let parsed = texts.into_iter().filter_map(|text| text.parse::<Identifier>().ok());
    parsed.filter(|identifier| seen.insert(identifier.clone())).take(MOST_CANDIDATES).collect()
}
