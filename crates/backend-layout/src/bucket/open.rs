//! Finding a layout in an object store, creating one, and checking that the store supports safe writing.

use futures::StreamExt;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use registry_backend::{Access, Error, ErrorKind, Result};
use tokio::time::Instant;

use super::shared::{Clock, INGEST, Shared, failure};
use crate::index::EMPTY_INDEX;
use crate::storage::{INDEX_FILE, LAYOUT_FILE, LAYOUT_FILE_CONTENT, LAYOUT_FILE_LIMIT, check_layout_file};

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
    let fail = |error| failure("create", &shared.name, error);
    let only_new = PutOptions::from(PutMode::Create);
    match shared.store.put_opts(&shared.path(INDEX_FILE), EMPTY_INDEX.into(), only_new).await {
        Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
        Err(error) => return Err(fail(error)),
    }
    shared.store.put(&shared.path(LAYOUT_FILE), LAYOUT_FILE_CONTENT.into()).await.map_err(fail)?;
    Ok(())
}

/// Checks with a small object that the store keeps the promise on which the index relies: it refuses a put on the condition that the
/// object is unchanged if the object has changed. Returns the store's clock.
pub(super) async fn probe(shared: &Shared) -> Result<Clock> {
    // Taken early, so that the clock is never behind the dates of objects stored later.
    let begun = Instant::now();
    let path = shared.unique_path("probe");
    let put = |content: &'static str, mode: PutMode| {
        shared.store.put_opts(&path, PutPayload::from_static(content.as_bytes()), PutOptions::from(mode))
    };
    let found = async {
        let first = UpdateVersion::from(put("1", PutMode::Create).await?);
        put("2", PutMode::Update(first.clone())).await?;
        let refuses = matches!(put("3", PutMode::Update(first)).await, Err(StoreError::Precondition { .. }));
        let stored = shared.store.head(&path).await?.last_modified;
        Ok((refuses, Clock::new(stored.into(), begun)))
    }
    .await;
    // A failed probe leaves a few bytes in a place of their own.
    let _ = shared.store.delete(&path).await;
    match found {
        Ok((true, clock)) => Ok(clock),
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
        "the store does not refuse a conditional put whose condition fails, so two writers would lose each other's work: \
         enable conditional writes (for S3: `If-Match` and `aws_conditional_put=etag`), or open it for reading",
    )
}
