//! Deleting manifests and tags: changes of the index alone.

use async_trait::async_trait;
use oci_model::{Digest, ManifestRef, Tag};
use registry_backend::{Error, ErrorKind, Pruner, RepositoryAdmin, Result};

use crate::LayoutBackend;
use crate::attempts::Attempts;
use crate::index::{Edit, Index};
use crate::storage::Commit;

#[async_trait]
impl RepositoryAdmin for LayoutBackend {
    /// What only the deleted manifest listed, as an index does, is not listed any more either.
    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        const OPERATION: &str = "delete manifest";
        self.check_writable(OPERATION, digest)?;
        self.check_not_nested(OPERATION, digest).await?;
        self.update(OPERATION, digest.as_str(), |index| index.without(|listed| listed.is(digest))).await
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        const OPERATION: &str = "delete tag";
        self.check_writable(OPERATION, tag)?;
        self.update(OPERATION, tag.as_str(), |index| index.without_tag(tag)).await
    }

    fn pruner(&self) -> Option<&dyn Pruner> {
        Some(self)
    }
}

impl LayoutBackend {
    /// Changes the index; if there is nothing to change, what was to be deleted is not there.
    async fn update(
        &self,
        operation: &'static str,
        target: &str,
        change: impl Fn(&Index) -> Result<Option<Edit>> + Send + Sync,
    ) -> Result<()> {
        let absent = || Error::new(ErrorKind::NotFound, operation, format!("{target} in {self}"));
        // A look without the lock: what is not there does not make a layout that may be created.
        if change(&*self.storage.index().await?)?.is_none() {
            return Err(absent());
        }
        let mut attempts = Attempts::default();
        loop {
            let update = self.storage.begin_update().await?;
            let Some(edit) = change(update.index())? else { return Err(absent()) };
            if update.commit(edit).await? == Commit::Done {
                return Ok(());
            }
            attempts.lost(operation, target).await?;
        }
    }

    /// Refuses to delete a part of an index that stays: it would still be found there.
    async fn check_not_nested(&self, operation: &'static str, digest: &Digest) -> Result<()> {
        let index = self.storage.index().await?;
        let own = ManifestRef::Digest(digest.clone());
        match self.find_nested(&index, digest).await? {
            Some(nested) => {
                let whose = if index.find(&own).is_some() { "a part of" } else { "listed only by" };
                Err(Error::new(ErrorKind::Unsupported, operation, digest).because(format!(
                    "it is {whose} the index {}, which would have to be deleted first",
                    nested.parent
                )))
            }
            None => Ok(()),
        }
    }
}
