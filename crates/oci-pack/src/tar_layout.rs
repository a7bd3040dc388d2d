//! Where everything lies in the tar archive: a pure function of names and sizes.

use crate::{ArchiveEntry, PackError};

/// Positions in a tar archive that is written from a list of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarLayout {
    /// For each entry, where its data begins in the tar archive, in bytes; for a directory, where its header ends.
    pub data_offsets: Vec<u64>,
    /// Size of the archive in bytes, with its two closing zero blocks.
    pub size: u64,
}

/// Returns the layout of the archive that [`pack_archive`](crate::pack_archive) writes from these entries.
///
/// # Errors
///
/// If a name is not a relative, clean path; if the first entry is not a directory, or another entry comes before its
/// parent directory; if a name comes twice; if the archive would be larger than 2^63 bytes.
pub fn tar_layout(entries: &[ArchiveEntry]) -> Result<TarLayout, PackError> {
    todo!("{entries:?}")
}
