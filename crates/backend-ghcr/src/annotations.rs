//! The annotations that GitHub shows on a package's page.

use oci_model::Annotations;

/// The keys that GitHub reads, and how many characters it accepts (docs.github.com, "Working with the Container registry",
/// "Labelling container images"). On an image index, they go on the index itself.
pub const SHOWN_ANNOTATIONS: [(&str, usize); 3] = [
    ("org.opencontainers.image.source", 256),
    ("org.opencontainers.image.description", 512),
    ("org.opencontainers.image.licenses", 256),
];

/// Returns the first annotation that is longer than GitHub accepts, with its limit in characters.
pub fn first_too_long(annotations: &Annotations) -> Option<(&'static str, usize)> {
    SHOWN_ANNOTATIONS
        .into_iter()
        .find(|(key, limit)| annotations.get(*key).is_some_and(|value| value.chars().count() > *limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_annotation_that_is_too_long_is_found() {
        let with = |length: usize| {
            Annotations::from([("org.opencontainers.image.description".to_owned(), "é".repeat(length))])
        };
        assert_eq!(first_too_long(&with(512)), None);
        assert_eq!(first_too_long(&with(513)), Some(("org.opencontainers.image.description", 512)));
    }
}
