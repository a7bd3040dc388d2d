//! System metadata as they are: what they say, and the bytes that say it.

use std::path::Path;

use bytes::Bytes;
use d1_model::{MAX_SYSTEM_METADATA_BYTES, Oddity, SystemMetadata};

use crate::{Error, Result};

/// A system metadata document.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    pub(crate) says: SystemMetadata,
    /// What departs from the schema.
    pub(crate) oddities: Vec<Oddity>,
}

impl Document {
    /// Reads a document that was read into memory.
    pub(crate) fn parse(bytes: Vec<u8>) -> d1_model::Result<Self> {
        let parsed = SystemMetadata::parse(&bytes)?;
        Ok(Self { bytes: bytes.into(), says: parsed.value, oddities: parsed.oddities })
    }

    /// Reads a document from a file. It blocks.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path, error);
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MAX_SYSTEM_METADATA_BYTES as u64 {
            let message =
                format!("it has {size} bytes, and system metadata have {MAX_SYSTEM_METADATA_BYTES} at most");
            return Err(Error::content(path.display().to_string(), message));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        Self::parse(bytes).map_err(|source| Error::SystemMetadata { path: path.to_owned(), source })
    }
}
