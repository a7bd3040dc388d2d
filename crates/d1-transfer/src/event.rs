//! What a transfer tells while it runs, for progress displays and logs.

use oci_model::Digest;
use registry_backend::Written;

/// Hears what happens. Calls come from many threads, often; they have to return quickly.
pub trait Observer: Send + Sync {
    /// Takes note of an event.
    fn event(&self, event: &Event<'_>);
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A phase begins; the totals are what is known now.
    Began {
        /// The phase.
        phase: Phase,
        /// Number of files or blobs it is about.
        items: u64,
        /// Number of bytes it is about.
        bytes: u64,
    },
    /// A phase has gone on by this much since the last call.
    Advanced {
        /// The phase.
        phase: Phase,
        /// Files or blobs finished.
        items: u64,
        /// Bytes done.
        bytes: u64,
    },
    /// A phase is over.
    Ended {
        /// The phase.
        phase: Phase,
    },
    /// A blob is where it should be.
    Blob {
        /// Its title, or media type if it has none.
        title: &'a str,
        /// Its digest.
        digest: &'a Digest,
        /// Its size in bytes.
        size: u64,
        /// How it got there.
        outcome: BlobOutcome,
    },
    /// Something that people should know, but that is no failure.
    Warning(&'a str),
}

/// A part of a transfer that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading and hashing files, and checking them against their manifests.
    Check,
    /// Making archive layers.
    Pack,
    /// Sending blobs.
    Upload,
    /// Receiving blobs.
    Download,
}

/// How a blob got where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlobOutcome {
    /// It was there before.
    AlreadyThere,
    /// It was linked from another repository.
    Mounted,
    /// It was sent.
    Uploaded,
    /// It was received.
    Downloaded,
    /// It was left by an earlier attempt or was at its final place.
    Kept,
}

impl From<Written> for BlobOutcome {
    fn from(written: Written) -> Self {
        match written {
            Written::AlreadyThere => Self::AlreadyThere,
            Written::Mounted => Self::Mounted,
            Written::Uploaded => Self::Uploaded,
        }
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event<'_>) {}
}
