//! How a caller follows long work, and cancels it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Reports how far work over many files has come. Events of different files interleave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgressEvent<'a> {
    /// The amount of work is known.
    Planned {
        /// The number of files.
        files: u64,
        /// The bytes of these files.
        bytes: u64,
    },
    /// Work on a file begins.
    Started {
        /// The path of the file in the bag.
        path: &'a str,
    },
    /// More bytes are done.
    Advanced {
        /// The bytes since the last such event of the same thread.
        bytes: u64,
    },
    /// Work on a file is done.
    Finished {
        /// The path of the file in the bag.
        path: &'a str,
    },
}

/// Follows long work. Several threads call it. Any closure over [`ProgressEvent`] implements it.
pub trait Progress: Sync {
    /// Takes one event. It should return at once.
    fn event(&self, event: ProgressEvent<'_>);

    /// Says whether the work should stop. It then ends with [`Error::Cancelled`].
    ///
    /// The work asks before each file and after each few hundred kilobytes.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl<F: Fn(ProgressEvent<'_>) + Sync> Progress for F {
    fn event(&self, event: ProgressEvent<'_>) {
        self(event);
    }
}

/// Ignores all progress and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&self, _event: ProgressEvent<'_>) {}
}

/// Adds a flag that cancels to another [`Progress`].
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use bagit::{Cancellable, CheckOptions, Error, NoProgress, ScanOptions, validate_directory};
///
/// let bag = tempfile::tempdir()?;
/// std::fs::write(bag.path().join("bagit.txt"), "BagIt-Version: 1.0\n")?;
/// let flag = AtomicBool::new(false);
/// // Another thread, or a signal, sets the flag.
/// flag.store(true, Ordering::Relaxed);
/// let progress = Cancellable::new(NoProgress, &flag);
/// let result = validate_directory(bag.path(), &ScanOptions::default(), &CheckOptions::default(), &progress);
/// assert!(matches!(result, Err(Error::Cancelled)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Cancellable<'a, P> {
    progress: P,
    flag: &'a AtomicBool,
}

impl<'a, P: Progress> Cancellable<'a, P> {
    /// Passes all events on to `progress`, and cancels the work once `flag` is true.
    pub fn new(progress: P, flag: &'a AtomicBool) -> Self {
        Self { progress, flag }
    }
}

impl<P: Progress> Progress for Cancellable<'_, P> {
    fn event(&self, event: ProgressEvent<'_>) {
        self.progress.event(event);
    }

    fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed) || self.progress.is_cancelled()
    }
}

/// Ends work that its caller has cancelled.
pub(crate) fn check_cancelled(progress: &dyn Progress) -> Result<()> {
    if progress.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}
