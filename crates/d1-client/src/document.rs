//! A document as a node sent it, and what it says.

use bytes::Bytes;
use d1_model::{Oddity, Parsed};

/// Holds the bytes of a document and what they say.
///
/// The bytes are what should be stored: a value that is written again need not have the same ones.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The document as it came.
    pub bytes: Bytes,
    /// What it says.
    pub value: T,
    /// What was odd about it, in order of first appearance.
    pub oddities: Vec<Oddity>,
}

impl<T> Document<T> {
    pub(crate) fn new(bytes: Bytes, parsed: Parsed<T>) -> Self {
        Self { bytes, value: parsed.value, oddities: parsed.oddities }
    }
}
