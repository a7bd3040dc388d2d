//! What a caller is told while bytes move.

/// Tells how far work over many files has come. Events of different files interleave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgressEvent<'a> {
    /// What lies ahead is known.
    Planned {
        /// The number of files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A file's turn has come.
    Started {
        /// Its path in the bag.
        path: &'a str,
    },
    /// So many more bytes are done.
    Advanced {
        /// The bytes since the last such event of the same thread.
        bytes: u64,
    },
    /// A file is done.
    Finished {
        /// Its path in the bag.
        path: &'a str,
    },
}

/// Receives progress; any closure over [`ProgressEvent`] is one. It is called from several threads.
pub trait Progress: Sync {
    /// Takes one event; it should return at once.
    fn event(&self, event: ProgressEvent<'_>);
}

impl<F: Fn(ProgressEvent<'_>) + Sync> Progress for F {
    fn event(&self, event: ProgressEvent<'_>) {
        self(event);
    }
}

/// Ignores all progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&self, _event: ProgressEvent<'_>) {}
}
