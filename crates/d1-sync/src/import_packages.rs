//! Imports of the packages in a HashStore.

use std::collections::HashSet;
use std::sync::Arc;

use d1_model::Identifier;
use d1_transfer::Observer;
use registry_backend::RegistryBackend;

use crate::batch::{Batch, BatchOptions, BatchOutcome, Wanted};
use crate::hash_store_source::HashStoreSource;
use crate::node::DataOneSource;

/// A map of more bytes describes a large package: some 1,500 objects or more. Memory grows with the objects of the packages at once.
const LARGE_MAP: u64 = 1 << 20;

/// How many large packages are imported at once at most.
const LARGE_AT_ONCE: usize = 2;

/// Imports the packages of all resource maps in a HashStore, calls `done` after each one, and returns the objects that the
/// repository has as members of packages.
///
/// A package gets the digest that [`replicate`](crate::replicate()) gives it. Each object is read once. The name of an object
/// proves its SHA-256, and the algorithms of the system metadata and of the bag are computed in the same read. A failure
/// of one package does not stop the others. Of large packages, at most two are imported at once.
pub async fn import_packages(
    backend: &dyn RegistryBackend,
    store: &HashStoreSource,
    options: &BatchOptions,
    observer: &Arc<dyn Observer>,
    done: &(dyn Fn(&Identifier, BatchOutcome) + Sync),
) -> HashSet<Identifier> {
    let source = DataOneSource::HashStore(store.clone());
    let mut members = HashSet::new();
    let (large, small): (Vec<_>, Vec<_>) =
        store.resource_maps().iter().partition(|(_, size)| *size > LARGE_MAP);
    for (maps, parallel) in [(small, options.parallel), (large, options.parallel.min(LARGE_AT_ONCE))] {
        let options = BatchOptions { parallel, ..options.clone() };
        let batch = Batch::remembering(backend, &source, &options, observer, done);
        let wanted = |(identifier, _): &(Identifier, u64)| Wanted {
            identifier: identifier.clone(),
            is_resource_map: true,
            modified: None,
        };
        batch.run(maps.into_iter().map(wanted), false).await;
        members.extend(batch.into_copied());
    }
    members
}
