//! Imports of the packages in a HashStore.

use std::collections::HashSet;
use std::sync::Arc;

use d1_model::Identifier;
use d1_transfer::Observer;
use registry_backend::RegistryBackend;

use crate::batch::{Batch, BatchOptions, BatchOutcome, Wanted};
use crate::hash_store_source::HashStoreSource;
use crate::node::DataOneSource;

/// Imports the packages of all resource maps in a HashStore, calls `done` after each one, and returns the objects that the
/// repository has as members of packages.
///
/// A package gets the digest that [`replicate`](crate::replicate()) gives it. Each object is read once. The name of an object
/// proves its SHA-256, and the algorithms of the system metadata and of the bag are computed in the same read. A failure
/// of one package does not stop the others.
pub async fn import_packages(
    backend: &dyn RegistryBackend,
    store: &HashStoreSource,
    options: &BatchOptions,
    observer: &Arc<dyn Observer>,
    done: &(dyn Fn(&Identifier, BatchOutcome) + Sync),
) -> HashSet<Identifier> {
    let source = DataOneSource::HashStore(store.clone());
    let batch = Batch::remembering(backend, &source, options, observer, done);
    let wanted = |identifier: &Identifier| Wanted {
        identifier: identifier.clone(),
        is_resource_map: true,
        modified: None,
    };
    batch.run(store.resource_maps().iter().map(wanted), false).await;
    batch.into_copied()
}
