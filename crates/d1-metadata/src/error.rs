//! Errors of reading science metadata.

/// The result of reading a document.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a document cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The document exceeds a bound.
    #[error("expected at most {limit} {things}, found more")]
    TooLarge {
        /// The bound.
        limit: usize,
        /// The things that are counted.
        things: &'static str,
    },
    /// The document is neither well-formed XML nor JSON.
    #[error("the document is malformed: {0}")]
    Malformed(String),
    /// The document defines or uses entities that XML does not predefine.
    #[error("the document uses entities, which are refused")]
    Entities,
    /// The document has a format that this crate does not read.
    #[error("expected science metadata, found a document with the root `{root}`")]
    UnknownFormat {
        /// The root element, or the kind of JSON value.
        root: String,
    },
}
