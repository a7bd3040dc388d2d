//! Names that people mistyped, and those that they probably meant.

use futures::{StreamExt, TryStreamExt};
use oci_model::{ManifestRef, Reference};
use registry_backend::{Error, ErrorKind, RegistryBackend, TagEntry};

use crate::failure::Failure;

/// How many tags are compared.
const MOST_TAGS: usize = 20_000;

/// Returns the name that is most like the wanted one, if one is: alike but for case, or for a few letters.
pub(crate) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    // One letter in four may differ.
    let most = (wanted.chars().count() / 4).max(1);
    let distances = names.into_iter().filter_map(|name| {
        let distance = strsim::osa_distance(&wanted, &name.to_lowercase());
        (distance <= most && distance < wanted.chars().count()).then_some((distance, name))
    });
    distances.min().map(|(_, name)| name)
}

/// Returns the result of reading what a reference names. If its tag does not exist, the advice of the failure names a tag that
/// is like it.
pub(crate) async fn found<T, E: Into<d1_transfer::Error>>(
    backend: &dyn RegistryBackend,
    reference: &Reference,
    result: Result<T, E>,
) -> Result<T, Failure> {
    match result {
        Ok(value) => Ok(value),
        Err(error) => Err(advised(backend, reference, error.into()).await),
    }
}

async fn advised(backend: &dyn RegistryBackend, reference: &Reference, error: d1_transfer::Error) -> Failure {
    let is_missing = matches!(&error, d1_transfer::Error::Backend(error) if is_missing(error));
    let failure = Failure::from(error);
    let Some(ManifestRef::Tag(tag)) = reference.target.as_ref().filter(|_| is_missing) else {
        return failure;
    };
    let location = &reference.location;
    // The list is a help alone: a failure does not matter.
    let listed: Vec<TagEntry> = backend.tags().take(MOST_TAGS).try_collect().await.unwrap_or_default();
    if listed.is_empty() {
        return failure.advising(format!("{location} has no tags"));
    }
    if listed.iter().any(|entry| entry.tag == *tag) {
        return failure;
    }
    match nearest(tag.as_str(), listed.iter().map(|entry| entry.tag.as_str())) {
        Some(near) => failure
            .advising(format!("did you mean `{location}:{near}`? `d1oci tags {location}` lists the tags")),
        None => failure.advising(format!("`d1oci tags {location}` lists the tags")),
    }
}

fn is_missing(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound && error.operation() != "open"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_differs_in_case_or_few_letters() {
        let names = ["v1.0", "v2.0", "latest", "data/series.csv"];
        for (wanted, near) in [
            ("v1.O", Some("v1.0")),
            ("V2.0", Some("v2.0")),
            ("lastest", Some("latest")),
            ("data/serie.csv", Some("data/series.csv")),
            ("other", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, names), near, "{wanted}");
        }
    }
}
