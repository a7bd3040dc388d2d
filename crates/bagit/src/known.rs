//! Digests of files from earlier runs.

use std::fmt::Debug;
use std::path::Path;

use multi_digest::{AlgorithmSet, Digests};
use safe_files::FileState;

/// A memory of the digests of files, by path and state.
///
/// [`hash_files`](crate::hash_files) does not read a file whose digests are known. So it trusts that a file whose state is the same
/// has the same bytes. It never asks for digests when it validates a bag.
///
/// Implementations decide for how long, and for which states, they keep a digest. They must not keep a state that is as young as the
/// clock of the file system is coarse: a later change could leave the same state.
pub trait KnownDigests: Debug + Send + Sync {
    /// Returns the digests of a file in this state, if those by all these algorithms are known.
    fn lookup(&self, path: &Path, state: &FileState, algorithms: AlgorithmSet) -> Option<Digests>;

    /// Takes the digests of a file that had this state before and after it was read.
    fn remember(&self, path: &Path, state: &FileState, digests: &Digests);
}
