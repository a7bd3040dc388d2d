//! Finding a layout in an object store, making one, and finding out whether the store can be written to safely.

use std::time::SystemTime;

use futures::StreamExt;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use registry_backend::{Access, Error, ErrorKind, Result};

use super::failure::failure;
use super::{Clock, Shared};
use crate::index::EMPTY_INDEX;
use crate::storage::{INDEX_FILE, LAYOUT_FILE, LAYOUT_FILE_CONTENT, check_layout_file};

const OPERATION: &str = "open";

/// The most bytes of an `oci-layout` object that are read.
const LAYOUT_FILE_LIMIT: u64 = 64 * 1024;

/// Tells whether a layout is there; an error if it has to be and is not, or if the place is taken by something else.
pub(super) async fn open(shared: &Shared, access: Access) -> Result<bool> {
    let fail = |error| failure(OPERATION, &shared.name, error);
    match shared.store.get(&shared.path(LAYOUT_FILE)).await {
        Ok(found) if found.meta.size > LAYOUT_FILE_LIMIT => {
            Err(Error::new(ErrorKind::Invalid, OPERATION, &shared.name)
                .because("its `oci-layout` is too large"))
        }
        Ok(found) => {
            check_layout_file(&found.bytes().await.map_err(fail)?, &shared.name)?;
            Ok(true)
        }
        Err(StoreError::NotFound { .. }) if access == Access::Create => {
            check_room(shared).await.map(|()| false)
        }
        Err(StoreError::NotFound { .. }) => Err(Error::new(ErrorKind::NotFound, OPERATION, &shared.name)
            .because("there is no image layout: it has no `oci-layout`")),
        Err(error) => Err(fail(error)),
    }
}

/// A layout is made only where there is nothing, or the beginning of one: an index without `oci-layout`.
async fn check_room(shared: &Shared) -> Result<()> {
    let index = shared.path(INDEX_FILE);
    let mut listing = shared.store.list(Some(&shared.prefix));
    while let Some(found) = listing.next().await {
        let found = found.map_err(|error| failure(OPERATION, &shared.name, error))?.location;
        let is_beginning = found == index || found.prefix_matches(&shared.path(PROBES));
        if !is_beginning {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, &shared.name)
                .because(format!("there is no image layout, but other objects, such as `{found}`")));
        }
    }
    Ok(())
}

/// Makes the layout; `oci-layout` comes last, since it is what tells that there is one.
pub(super) async fn make(shared: &Shared) -> Result<()> {
    let fail = |error| failure("create", &shared.name, error);
    let only_new = PutOptions::from(PutMode::Create);
    match shared.store.put_opts(&shared.path(INDEX_FILE), EMPTY_INDEX.into(), only_new).await {
        Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
        Err(error) => return Err(fail(error)),
    }
    shared.store.put(&shared.path(LAYOUT_FILE), LAYOUT_FILE_CONTENT.into()).await.map_err(fail)?;
    Ok(())
}

/// Where the objects are that [`probe`] makes.
const PROBES: &str = "ingest";

/// Finds out with a small object whether the store keeps the promise on which the index relies: a put on the condition
/// that the object is unchanged fails if it is not. Returns how the store's clock differs from the local one.
pub(super) async fn probe(shared: &Shared) -> Result<Clock> {
    let local = SystemTime::now();
    let unique = local.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let path = shared.path(PROBES).join(format!("probe-{unique:x}-{}", std::process::id()));
    let put = |content: &'static str, mode: PutMode| {
        shared.store.put_opts(&path, PutPayload::from_static(content.as_bytes()), PutOptions::from(mode))
    };
    let found = async {
        let first = UpdateVersion::from(put("1", PutMode::Create).await?);
        put("2", PutMode::Update(first.clone())).await?;
        let refuses = matches!(put("3", PutMode::Update(first)).await, Err(StoreError::Precondition { .. }));
        let stored = shared.store.head(&path).await?.last_modified;
        Ok((refuses, Clock::compare(stored.into(), local)))
    }
    .await;
    // What is left of a failed probe is a few bytes in a place of its own.
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
        "the store does not refuse a conditional put whose condition is not met, so two writers would lose each other's \
         work: enable conditional writes (for S3: `If-Match` and `aws_conditional_put=etag`), or open it for reading",
    )
}
