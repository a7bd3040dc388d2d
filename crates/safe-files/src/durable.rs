//! Names that survive a power cut.

use std::io;
use std::path::Path;

/// Syncs a directory, so that the names in it survive a power cut.
///
/// Only Unix can sync a directory. Elsewhere this does nothing.
///
/// # Errors
///
/// If the directory cannot be opened or synced.
#[cfg(unix)]
pub fn sync_directory(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

/// Does nothing: this system cannot sync a directory.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of Unix")]
pub fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
