//! Compressed tar archives that depend on nothing but their content.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use crate::error::{Result, about};

/// The mode of directories.
pub(super) const DIRECTORY_MODE: u32 = 0o755;

/// The mode of programs.
pub(super) const PROGRAM_MODE: u32 = 0o755;

/// The mode of other files.
const DOCUMENT_MODE: u32 = 0o644;

/// Writes a tar archive with gzip compression. All files have the same date, and belong to root.
pub(super) struct Archive {
    builder: Builder<GzEncoder<Vec<u8>>>,
    /// Seconds since 1970.
    date: u64,
}

impl Archive {
    pub(super) fn new(date: u64) -> Self {
        // The header of gzip would name the operating system: 255 stands for an unknown one.
        let packed =
            GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::default());
        Self { builder: Builder::new(packed), date }
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.add(&format!("{path}/"), EntryType::Directory, &[], mode)
    }

    /// Adds a file that is not a program.
    pub(super) fn document(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.file(path, bytes, DOCUMENT_MODE)
    }

    pub(super) fn file(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
        self.add(path, EntryType::Regular, bytes, mode)
    }

    fn add(&mut self, path: &str, kind: EntryType, bytes: &[u8], mode: u32) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.date);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        self.builder.append_data(&mut header, path, bytes).map_err(about(path))
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        let written: io::Result<Vec<u8>> = self.builder.into_inner().and_then(|mut packed| {
            packed.flush()?;
            packed.finish()
        });
        written.map_err(about("the archive"))
    }
}
