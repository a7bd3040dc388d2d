//! What is wrong with one object of a HashStore.

use serde::Serialize;

/// An object that was not imported, or a file that belongs to none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ImportFault {
    /// The object's identifier, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The file in the store that it is about, relative to the store.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl ImportFault {
    pub(super) fn of(identifier: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { identifier: Some(identifier.to_owned()), path: path.into(), message: message.into() }
    }

    pub(super) fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { identifier: None, path: path.into(), message: message.into() }
    }
}
