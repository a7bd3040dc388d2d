//! The state of objects and packages at DataONE: archived, replaced, not public.

use std::fmt;

use d1_model::Identifier;
use oci_model::Annotations;
use serde::Serialize;

use crate::annotations::{D1_ARCHIVED, D1_CONTENT_DIGEST, D1_NOT_PUBLIC, D1_OBSOLETED_BY};

/// The state of one object, from its system metadata. The default is that of a current public object outside any series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectState {
    /// Series identifier.
    pub series_id: Option<Identifier>,
    /// Identifier of the version that replaces the object.
    pub obsoleted_by: Option<Identifier>,
    /// Whether the object is archived.
    pub archived: bool,
    /// Whether not everybody may read the object.
    pub not_public: bool,
}

/// The state of an artifact, as its annotations state it.
///
/// ```
/// use d1_package::ArtifactState;
/// use oci_model::Annotations;
///
/// let mut annotations = Annotations::new();
/// annotations.insert("org.dataone.archived".to_owned(), "true".to_owned());
/// annotations.insert("org.dataone.obsoleted-by".to_owned(), "doi:10.5072/B".to_owned());
/// let state = ArtifactState::of(&annotations);
/// assert_eq!(state.to_string(), "archived, replaced by doi:10.5072/B");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ArtifactState {
    /// Whether the object that gave a package its identifier is archived.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Identifier of the version that replaces this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obsoleted_by: Option<String>,
    /// Number of its objects that not everybody may read.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_public: u64,
    /// Digest of the identities of all members, see [`content_digest`](crate::content_digest()).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
}

impl ArtifactState {
    /// Reads the annotations of a manifest.
    #[must_use]
    pub fn of(annotations: &Annotations) -> Self {
        let text = |key: &str| annotations.get(key).cloned();
        Self {
            archived: text(D1_ARCHIVED).is_some_and(|value| value == "true"),
            obsoleted_by: text(D1_OBSOLETED_BY),
            // A number that cannot be read still says that there are such objects.
            not_public: text(D1_NOT_PUBLIC).map_or(0, |count| count.parse().unwrap_or(1)),
            content_digest: text(D1_CONTENT_DIGEST),
        }
    }

    /// Tells whether two artifacts state equal content, and the same state of it. An artifact without a content digest equals none.
    #[must_use]
    pub fn is_equal_content_in_equal_state(&self, other: &Self) -> bool {
        self.content_digest.is_some() && self == other
    }
}

/// Writes the state in words, or nothing for a current public artifact.
impl fmt::Display for ArtifactState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let archived = self.archived.then(|| "archived".to_owned());
        let obsoleted_by = self.obsoleted_by.as_ref().map(|newer| format!("replaced by {newer}"));
        let not_public = match self.not_public {
            0 => None,
            1 => Some("1 object not public".to_owned()),
            count => Some(format!("{count} objects not public")),
        };
        let all: Vec<String> = [archived, obsoleted_by, not_public].into_iter().flatten().collect();
        formatter.write_str(&all.join(", "))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
