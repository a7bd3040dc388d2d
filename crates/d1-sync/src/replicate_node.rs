//! Replication of all packages of a node, or of those that changed.

use std::collections::HashSet;
use std::sync::Arc;

use d1_client::ObjectFilter;
use d1_model::{DateTime, Identifier, RESOURCE_MAP_FORMAT_ID};
use d1_transfer::Observer;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use oci_model::Tag;
use registry_backend::{RegistryBackend, RegistryBackendExt};

use crate::batch::{Batch, BatchOptions, BatchOutcome, Wanted};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::node::DataOneSource;
use crate::package_finder::find_all;

/// How far the clock of a node may be behind ours.
const CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_mins(10);
/// How long before the last list a new one begins. Some changes reach a node late, with the date of their origin.
const LATE_CHANGES: SignedDuration = SignedDuration::from_hours(24);
/// How often the list is read again for changes during the replication.
const MOST_ROUNDS: usize = 10;

/// The packages of a node that are wanted. The default is all packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeSelection {
    /// Only packages with an object that changed at this time or later. A journal supplies the time of its last run.
    pub from: Option<DateTime>,
    /// Only packages with an object that changed before this time.
    pub to: Option<DateTime>,
    /// Only packages with an object of this format.
    pub format_id: Option<String>,
}

/// Replicates the packages of a node, and calls `done` after each one. A failure of one package does not stop the others.
///
/// The list of the node is read to its end before the first package is copied. Afterwards the list is read again
/// from the time of the first reading, until nothing new is listed. So changes during the replication are not missed.
///
/// Without a journal and a date, the node lists its resource maps, and each package is compared with the node. With
/// one of them, the node lists all objects since then. A changed object leads to its packages: by the journal, by the
/// node's search index, or by the node's resource maps.
///
/// # Errors
///
/// The error of a list. The packages of earlier lists are done.
pub async fn replicate_node(
    backend: &dyn RegistryBackend,
    source: &DataOneSource,
    selection: &NodeSelection,
    options: &BatchOptions,
    journal: Option<&Journal>,
    observer: &Arc<dyn Observer>,
    done: &(dyn Fn(&Identifier, BatchOutcome) + Sync),
) -> Result<()> {
    let scope = scope(source, selection, options);
    let noted = journal.and_then(|journal| journal.listed_until(&scope));
    let noted = noted.and_then(|text| DateTime::from_text(text).instant());
    let noted = noted.map(|instant| DateTime::from_instant(instant - LATE_CHANGES));
    let mut round = Round {
        from: selection.from.clone().or(noted),
        all_formats: selection.from.is_some()
            || journal.is_some_and(|journal| !journal.packages().is_empty()),
        is_first: true,
    };
    let began = Timestamp::now() - CLOCK_DIFFERENCE;
    let mut started = began;
    let mut seen = HashSet::new();
    let batch = Batch::new(backend, source, options, journal, observer, done);
    for _ in 0..MOST_ROUNDS {
        let listed = round.list(source, selection, started, &mut seen).await?;
        if listed.is_empty() && !round.is_first {
            break;
        }
        let mut changed = HashSet::new();
        if let (true, Some(journal)) = (round.is_first, journal) {
            changed.extend(without_tags(backend, journal).await?);
        }
        // A complete list has the maps of all packages, so no package is left to find. A list of one format lacks them.
        let is_complete = round.from.is_none() && selection.format_id.is_none();
        listed.replicate(&batch, journal, changed, is_complete).await;
        if selection.to.is_some() {
            break;
        }
        let from = DateTime::from_instant(started);
        started = Timestamp::now() - CLOCK_DIFFERENCE;
        round = Round { from: Some(from), all_formats: true, is_first: false };
    }
    match journal {
        Some(journal) if batch.failed() == 0 && selection.to.is_none() => {
            journal.note_listed(&scope, DateTime::from_instant(began).text())
        }
        _ => Ok(()),
    }
}

/// Returns a text that differs for selections that cover different packages.
fn scope(source: &DataOneSource, selection: &NodeSelection, options: &BatchOptions) -> String {
    let (number, count) = options.shard.unwrap_or((0, 1));
    let format_id = selection.format_id.as_deref().unwrap_or("*");
    let private = if options.replicate.include_private { " private" } else { "" };
    format!("{} {format_id} {number}/{count}{private}", source.name())
}

/// Returns the resource maps of complete packages whose tags the repository no longer has.
async fn without_tags(backend: &dyn RegistryBackend, journal: &Journal) -> Result<Vec<Identifier>> {
    let packages = journal.packages();
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    let tags: HashSet<Tag> = backend.tags_if_any().map_ok(|entry| entry.tag).try_collect().await?;
    let has_tag = |map: &Identifier| map.tag().parse().is_ok_and(|tag: Tag| tags.contains(&tag));
    Ok(packages.into_iter().filter(|map| !has_tag(map)).collect())
}

/// One reading of the list.
struct Round {
    from: Option<DateTime>,
    /// Whether objects of all formats are listed, or only resource maps.
    all_formats: bool,
    is_first: bool,
}

/// The entries of one reading.
#[derive(Default)]
struct Listed {
    maps: Vec<Wanted>,
    /// Other objects, with the dates of their system metadata.
    others: Vec<(Identifier, Option<String>)>,
}

impl Round {
    /// Reads the list to its end. `seen` holds the entries of earlier rounds that this round can list again.
    async fn list(
        &self,
        source: &DataOneSource,
        selection: &NodeSelection,
        started: Timestamp,
        seen: &mut HashSet<(Identifier, Option<String>)>,
    ) -> Result<Listed> {
        let format_id = match (&selection.format_id, self.all_formats) {
            (Some(format_id), _) => Some(format_id.clone()),
            (None, true) => None,
            (None, false) => Some(RESOURCE_MAP_FORMAT_ID.to_owned()),
        };
        let (from, to) = (self.from.clone(), selection.to.clone());
        let filter = ObjectFilter { from, to, format_id, ..ObjectFilter::default() };
        let mut entries = source.list_objects(&filter);
        let mut listed = Listed::default();
        while let Some(object) = entries.try_next().await? {
            let instant = object.date_modified.as_ref().and_then(DateTime::instant);
            let modified = object.date_modified.map(|date| date.text().to_owned());
            let can_come_again = instant.is_none_or(|instant| instant >= started);
            if can_come_again && !seen.insert((object.identifier.clone(), modified.clone())) {
                continue;
            }
            if object.format_id.as_deref() == Some(RESOURCE_MAP_FORMAT_ID) {
                let identifier = object.identifier;
                listed.maps.push(Wanted { identifier, is_resource_map: true, modified });
            } else {
                listed.others.push((object.identifier, modified));
            }
        }
        Ok(listed)
    }
}

impl Listed {
    fn is_empty(&self) -> bool {
        self.maps.is_empty() && self.others.is_empty()
    }

    /// Replicates the packages of all entries, and these changed packages.
    async fn replicate(
        self,
        batch: &Batch<'_>,
        journal: Option<&Journal>,
        mut changed: HashSet<Identifier>,
        is_complete: bool,
    ) {
        batch.run(self.maps, false).await;
        let mut unknown = Vec::new();
        for (object, modified) in self.others {
            match journal.and_then(|journal| journal.outdated(&object, modified.as_deref())) {
                Some(maps) => changed.extend(maps),
                None if is_complete || batch.has_copied(&object, modified.as_deref()) => {}
                None => unknown.push(object),
            }
        }
        for (object, found) in find_all(&batch.finder, unknown).await {
            match found {
                Ok(maps) => changed.extend(maps),
                Err(Error::NoPackage { .. }) => tracing::info!(%object, "the object is in no package"),
                Err(error) => batch.fail(&object, error),
            }
        }
        let mut changed: Vec<_> = changed.into_iter().collect();
        changed.sort_unstable();
        let wanted = |identifier| Wanted { identifier, is_resource_map: true, modified: None };
        batch.run(changed.into_iter().map(wanted), true).await;
    }
}
