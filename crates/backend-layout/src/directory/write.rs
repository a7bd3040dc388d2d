//! Storing blobs in files.

use std::fs::{self, File};
use std::time::SystemTime;

use oci_model::Digest;
use registry_backend::{BlobSource, Result};

use super::failure::failure;
use super::lock::Lock;
use super::partial::PartialFile;
use super::paths::Paths;
use crate::blocking::joined;
use crate::storage::Presence;
use crate::transfer::{Batch, BlobCheck, next_batch};

const OPERATION: &str = "write blob";

/// How much is handed to the writing thread at once: large enough for the handing over to cost nothing.
const BATCH_BYTES: usize = 1024 * 1024;

/// Stores a blob; while one batch is written and hashed on another thread, the next one is gathered.
pub(super) async fn store(paths: &Paths, blob: &dyn BlobSource) -> Result<()> {
    let check = BlobCheck::new(blob)?;
    let mut stream = blob.open(0).await?;
    let mut batch = next_batch(&mut stream, BATCH_BYTES).await?;
    let mut writer = Writer::new(paths.clone(), blob.digest().clone(), check);
    loop {
        let last = batch.last;
        let writing = tokio::task::spawn_blocking(move || writer.write(batch));
        if last {
            return joined(OPERATION, writing).await.map(drop);
        }
        let next = next_batch(&mut stream, BATCH_BYTES).await;
        // The writing is waited for in any case: when the error is seen, the temporary file is gone.
        let written = joined(OPERATION, writing).await;
        (writer, batch) = (written?, next?);
    }
}

/// Makes a blob count as stored now, under the lock that keeps it from being removed.
///
/// What cannot be renewed, since it is another user's, is reported as absent: storing it again replaces it.
pub(super) fn renew(paths: &Paths, digest: &Digest, size: u64, _lock: Lock) -> Presence {
    let path = paths.blob(digest);
    let is_there = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size);
    let renewed = || File::open(&path)?.set_modified(SystemTime::now());
    if is_there && renewed().is_ok() { Presence::Kept } else { Presence::Absent }
}

struct Writer {
    paths: Paths,
    digest: Digest,
    check: BlobCheck,
    file: Option<PartialFile>,
}

impl Writer {
    fn new(paths: Paths, digest: Digest, check: BlobCheck) -> Self {
        Self { paths, digest, check, file: None }
    }

    fn write(mut self, batch: Batch) -> Result<Self> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => PartialFile::create(&self.paths, self.digest.encoded())
                .map_err(|error| failure(OPERATION, &self.digest, &self.paths.ingest(), error))?,
        };
        for piece in &batch.pieces {
            self.check.update(piece)?;
            file.write(piece).map_err(|error| failure(OPERATION, &self.digest, file.path(), error))?;
        }
        if !batch.last {
            self.file = Some(file);
            return Ok(self);
        }
        self.check.finish()?;
        let path = self.paths.blob(&self.digest);
        file.persist(&path).map_err(|error| failure(OPERATION, &self.digest, &path, error))?;
        Ok(self)
    }
}
