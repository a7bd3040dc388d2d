//! Finding a layout in an object store, creating one, and checking that the store supports safe writing.

use std::time::Duration;

use futures::StreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use registry_backend::{Access, Error, ErrorKind, Result};
use tokio::time::Instant;

use super::failure::{failure, is_about_bucket};
use super::lease::PROBE;
use super::shared::{INGEST, Shared};
use crate::index::EMPTY_INDEX;
use crate::storage::{
    Attempts, INDEX_FILE, LAYOUT_FILE, LAYOUT_FILE_CONTENT, LAYOUT_FILE_LIMIT, check_layout_file,
};

const OPERATION: &str = "open";

/// Tells whether the layout exists.
///
/// # Errors
///
/// If the layout has to exist and does not, or if something else is in its place.
pub(super) async fn open(shared: &Shared, access: Access) -> Result<bool> {
    let fail = |error| failure(OPERATION, &shared.name, error);
    match shared.store.get(&shared.path(LAYOUT_FILE)).await {
        Ok(found) if found.meta.size > LAYOUT_FILE_LIMIT => {
            Err(Error::new(ErrorKind::Invalid, OPERATION, &shared.name)
                .because(format!("expected an `oci-layout` of at most {LAYOUT_FILE_LIMIT} bytes")))
        }
        Ok(found) => {
            check_layout_file(&found.bytes().await.map_err(fail)?, &shared.name)?;
            Ok(true)
        }
        Err(error) if is_about_bucket(&error) => Err(fail(error)),
        Err(StoreError::NotFound { .. }) if access == Access::Create => {
            check_room(shared).await.map(|()| false)
        }
        Err(StoreError::NotFound { .. }) => Err(Error::new(ErrorKind::NotFound, OPERATION, &shared.name)
            .because("the prefix does not hold an image layout: it has no `oci-layout`")),
        Err(error) => Err(fail(error)),
    }
}

/// Checks that the prefix is empty, or holds only what an interrupted [`create`] leaves: an index without `oci-layout`.
async fn check_room(shared: &Shared) -> Result<()> {
    let index = shared.path(INDEX_FILE);
    let mut listing = shared.store.list(Some(&shared.prefix));
    while let Some(found) = listing.next().await {
        let found = found.map_err(|error| failure(OPERATION, &shared.name, error))?.location;
        let is_ours = found == index || found.prefix_matches(&shared.path(INGEST));
        if !is_ours {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, &shared.name).because(format!(
                "the prefix does not hold an image layout but other objects, such as `{found}`"
            )));
        }
    }
    Ok(())
}

/// Creates the layout. `oci-layout` comes last, since it marks a layout.
pub(super) async fn create(shared: &Shared) -> Result<()> {
    const OPERATION: &str = "create";
    let fail = |error| failure(OPERATION, &shared.name, error);
    let index = shared.path(INDEX_FILE);
    let mut attempts = Attempts::default();
    loop {
        let only_new = PutOptions::from(PutMode::Create);
        match shared.store.put_opts(&index, EMPTY_INDEX.into(), only_new).await {
            Ok(_) => break,
            // A store may refuse both of two writers that come together: then the index is missing still.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                match shared.store.head(&index).await {
                    Ok(_) => break,
                    Err(StoreError::NotFound { .. }) => attempts.lost(OPERATION, &shared.name).await?,
                    Err(error) => return Err(fail(error)),
                }
            }
            Err(error) => return Err(fail(error)),
        }
    }
    shared.store.put(&shared.path(LAYOUT_FILE), LAYOUT_FILE_CONTENT.into()).await.map_err(fail)?;
    Ok(())
}

/// Creates the missing index of a layout in which nothing is stored.
pub(super) async fn create_index(shared: &Shared) -> Result<()> {
    check_nothing_stored(shared).await?;
    create(shared).await
}

/// Checks that a layout without an index has no blobs: an empty index would hide them.
pub(super) async fn check_nothing_stored(shared: &Shared) -> Result<()> {
    let blobs = shared.path("blobs");
    match shared.store.list(Some(&blobs)).next().await {
        None => Ok(()),
        Some(Err(error)) => Err(failure("list the blobs of", &shared.name, error)),
        Some(Ok(blob)) => Err(Error::new(ErrorKind::Invalid, OPERATION, &shared.name).because(format!(
            "its `{INDEX_FILE}` is missing, and `{}` shows that content was stored: restore it from a version or a backup, \
             or list the artifacts again with `d1oci repair --relist`",
            blob.location
        ))),
    }
}

/// The object that says that a store was tried and refuses conditional puts whose condition fails.
fn proof(shared: &Shared) -> Option<Path> {
    let bucket = shared.place.bucket.as_ref()?.digest();
    let server = bucket.encoded().get(..16)?;
    Some(shared.path(INGEST).join(format!("conditional-put-{server}")))
}

/// How long the result of a trial counts: an operator may exchange the server.
const PROOF_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Tells whether an earlier writer tried this store.
pub(super) async fn is_proven(shared: &Shared, access: Access) -> bool {
    let Some(path) = proof(shared).filter(|_| access != Access::Read) else { return false };
    let Ok(meta) = shared.store.head(&path).await else { return false };
    shared.now().duration_since(meta.last_modified.into()).map_or(true, |age| age < PROOF_LIFETIME)
}

/// Checks with a small object that the store keeps the promise on which the index relies: it refuses a put on the condition that the
/// object is unchanged if the object has changed. Reads the store's clock, too.
pub(super) async fn probe(shared: &Shared) -> Result<()> {
    let mut attempts = Attempts::default();
    loop {
        match probe_once(shared).await {
            // A put that is repeated after a lost answer is refused.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                attempts.lost(OPERATION, &shared.name).await?;
            }
            probed => {
                probed?;
                if let Some(path) = proof(shared) {
                    // Without it, the next writer tries again.
                    let _ = shared.store.put(&path, PutPayload::new()).await;
                }
                return Ok(());
            }
        }
    }
}

async fn probe_once(shared: &Shared) -> Result<()> {
    // Taken early, so that the clock is never behind the dates of objects stored later.
    let begun = Instant::now();
    let path = shared.unique_path(PROBE.trim_end_matches('-'));
    let put = |content: &'static str, mode: PutMode| {
        shared.store.put_opts(&path, PutPayload::from_static(content.as_bytes()), PutOptions::from(mode))
    };
    let found = async {
        let first = UpdateVersion::from(put("1", PutMode::Create).await?);
        put("2", PutMode::Update(first.clone())).await?;
        let refuses = matches!(put("3", PutMode::Update(first)).await, Err(StoreError::Precondition { .. }));
        let stored = shared.store.head(&path).await?.last_modified;
        Ok((refuses, stored))
    }
    .await;
    // A failed probe leaves a few bytes in a place of their own, until somebody prunes.
    let _ = shared.store.delete(&path).await;
    match found {
        Ok((true, stored)) => {
            shared.place.clock.set(stored.into(), begun);
            Ok(())
        }
        Ok((false, _)) => Err(no_conditional_put(shared)),
        Err(error) => match failure(OPERATION, &shared.name, error) {
            failed if failed.kind() == ErrorKind::Unsupported => {
                Err(no_conditional_put(shared).caused_by(failed))
            }
            failed => Err(failed),
        },
    }
}

fn no_conditional_put(shared: &Shared) -> Error {
    Error::new(ErrorKind::Unsupported, OPERATION, &shared.name).because(
        "the store ignores or refuses the conditions of a put, so two writers would lose each other's work: \
         use a store with conditional writes (docs/buckets.md), or open it for reading",
    )
}
