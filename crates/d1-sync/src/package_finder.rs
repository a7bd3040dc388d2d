//! Finding the packages of an object, also at nodes without a search index.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use d1_client::{ErrorKind, ObjectFilter};
use d1_model::{Identifier, MAX_RESOURCE_MAP_BYTES, RESOURCE_MAP_FORMAT_ID, ResourceMap};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::error::{Error, Result};
use crate::node::DataOneSource;
use crate::package::ObjectToRead;

/// How many resource maps are requested at once. The client also limits requests to each node.
const MAPS_AT_ONCE: usize = 8;

/// Finds the resource map of the package that an identifier belongs to. The identifier may be that of a map, of
/// metadata, of data, or of a series. A DOI that the node does not know is looked for in its other
/// [spellings](Identifier::spellings). Where a node has no search index, this reads all its resource maps.
///
/// # Errors
///
/// [`Error::Node`] if the node cannot answer. [`Error::NoPackage`] if the object is in no package.
/// [`Error::SeveralPackages`] if it is in several.
pub async fn find_resource_map(source: &DataOneSource, identifier: &Identifier) -> Result<Identifier> {
    PackageFinder::new(source).only(identifier).await
}

/// Finds the resource maps of objects. Where a node has no search index, it reads all maps of the node, once.
#[derive(Debug)]
pub(crate) struct PackageFinder<'a> {
    source: &'a DataOneSource,
    maps: OnceCell<MapsOfNode>,
    /// Whether the node said that it has no search index. It is not asked again.
    lacks_index: AtomicBool,
}

impl<'a> PackageFinder<'a> {
    pub(crate) fn new(source: &'a DataOneSource) -> Self {
        Self { source, maps: OnceCell::new(), lacks_index: AtomicBool::new(false) }
    }

    /// Returns the resource map of the only package of an object. A DOI may be in any spelling.
    ///
    /// # Errors
    ///
    /// Those of [`all`](Self::all). [`Error::SeveralPackages`] if the object is in several packages.
    pub(crate) async fn only(&self, identifier: &Identifier) -> Result<Identifier> {
        let found = self.only_exactly(identifier).await;
        if !found.as_ref().is_err_and(is_unknown) {
            return found;
        }
        for spelling in identifier.spellings().iter().skip(1) {
            let other = self.only_exactly(spelling).await;
            if !other.as_ref().is_err_and(is_unknown) {
                return other;
            }
        }
        found
    }

    async fn only_exactly(&self, identifier: &Identifier) -> Result<Identifier> {
        let mut maps = self.all(identifier).await?;
        if maps.len() > 1 {
            return Err(Error::SeveralPackages { identifier: identifier.clone(), resource_maps: maps });
        }
        maps.pop().ok_or_else(|| Error::NoPackage { identifier: identifier.clone(), format_id: None })
    }

    /// Returns the resource maps of all current packages of an object.
    ///
    /// # Errors
    ///
    /// [`Error::Node`] if the node cannot answer. [`Error::NoPackage`] if the object is in no package.
    pub(crate) async fn all(&self, identifier: &Identifier) -> Result<Vec<Identifier>> {
        let index = self.source.index().filter(|_| !self.lacks_index.load(Ordering::Relaxed));
        let found = match index {
            Some(index) => Some(index.find_packages(identifier).await),
            None => None,
        };
        let is_other = matches!(self.source, DataOneSource::NodeWithIndex { .. });
        let maps = match found {
            Some(Ok(found)) => found.resource_maps,
            Some(Err(error)) if error.kind() == ErrorKind::NotImplemented => {
                self.lacks_index.store(true, Ordering::Relaxed);
                self.read_from_maps(identifier).await?
            }
            // A Coordinating Node learns of new objects late.
            Some(Err(error)) if is_other && error.kind() == ErrorKind::NotFound => {
                self.read_from_maps(identifier).await?
            }
            Some(Err(error)) => return Err(error.into()),
            None => self.read_from_maps(identifier).await?,
        };
        if maps.is_empty() {
            // A resource map under another format is not found as a map. The format helps the reader of the error.
            let document = self.source.system_metadata(identifier).await.ok();
            let format_id = document.map(|document| document.value.format_id);
            return Err(Error::NoPackage { identifier: identifier.clone(), format_id });
        }
        Ok(maps)
    }

    async fn read_from_maps(&self, identifier: &Identifier) -> Result<Vec<Identifier>> {
        let meta = self.source.system_metadata(identifier).await?.value;
        if meta.format_id == RESOURCE_MAP_FORMAT_ID {
            return Ok(vec![meta.identifier]);
        }
        let maps = self.maps.get_or_try_init(|| MapsOfNode::read(self.source)).await?;
        let series = meta.series_id.iter();
        let mut found: Vec<Identifier> = Vec::new();
        for name in [&meta.identifier].into_iter().chain(series) {
            let more = maps.by_member.get(name).into_iter().flatten();
            found.extend(more.filter_map(|number| maps.identifiers.get(*number).cloned()));
        }
        found.sort_unstable();
        found.dedup();
        if found.len() < 2 {
            return Ok(found);
        }
        let mut current = Vec::new();
        for map in &found {
            if self.source.system_metadata(map).await?.value.obsoleted_by.is_none() {
                current.push(map.clone());
            }
        }
        Ok(if current.is_empty() { found } else { current })
    }
}

/// Tells whether the node knows no package of the identifier.
fn is_unknown(error: &Error) -> bool {
    match error {
        Error::Node(error) => error.kind() == ErrorKind::NotFound,
        error => matches!(error, Error::NoPackage { .. }),
    }
}

/// The members of all resource maps of a node.
#[derive(Debug, Default)]
struct MapsOfNode {
    identifiers: Vec<Identifier>,
    /// The numbers of the maps that name an object.
    by_member: HashMap<Identifier, Vec<usize>>,
}

impl MapsOfNode {
    /// Reads all maps. A map that cannot be read or parsed is left out, because other packages must not suffer from it.
    async fn read(source: &DataOneSource) -> Result<Self> {
        let format_id = Some(RESOURCE_MAP_FORMAT_ID.to_owned());
        let filter = ObjectFilter { format_id, ..ObjectFilter::default() };
        let listed = source.list_objects(&filter).map_err(Error::from);
        let read = listed.map_ok(|object| {
            let source = source.clone();
            async move { Ok::<_, Error>((read_map(&source, &object.identifier).await, object.identifier)) }
                .boxed()
        });
        let mut read = std::pin::pin!(read.try_buffer_unordered(MAPS_AT_ONCE));
        let mut maps = Self::default();
        while let Some((map, identifier)) = read.try_next().await? {
            match map {
                Ok(map) => maps.add(identifier, &map),
                Err(reason) => tracing::warn!(%identifier, reason, "this resource map is left out"),
            }
        }
        Ok(maps)
    }

    fn add(&mut self, identifier: Identifier, map: &ResourceMap) {
        let number = self.identifiers.len();
        for member in map.members() {
            self.by_member.entry(member.identifier().clone()).or_default().push(number);
        }
        self.identifiers.push(identifier);
    }
}

/// Reads and parses a map, or returns the reason why that failed.
async fn read_map(
    source: &DataOneSource,
    identifier: &Identifier,
) -> std::result::Result<ResourceMap, String> {
    let object = ObjectToRead { identifier: identifier.clone(), size: None, holders: Arc::from([]) };
    let read = source.read(&object, 0).await.map_err(|error| error.to_string())?;
    let mut stream = read.stream;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| error.to_string())?);
        if bytes.len() as u64 > MAX_RESOURCE_MAP_BYTES {
            return Err(format!("expected at most {MAX_RESOURCE_MAP_BYTES} bytes, found more"));
        }
    }
    ResourceMap::parse(&bytes).map(|parsed| parsed.value).map_err(|error| error.to_string())
}

/// Returns the results of a function for many identifiers, several at once, in any order.
pub(crate) async fn find_all(
    finder: &PackageFinder<'_>,
    identifiers: Vec<Identifier>,
) -> Vec<(Identifier, Result<Vec<Identifier>>)> {
    let find = |identifier: Identifier| async move {
        let found = finder.all(&identifier).await;
        (identifier, found)
    };
    stream::iter(identifiers)
        .map(|identifier| find(identifier).boxed())
        .buffer_unordered(MAPS_AT_ONCE)
        .collect()
        .await
}
