//! Titles of blobs, and paths of files relative to directories.

use oci_model::{Descriptor, annotations};

/// Returns the title of a blob, or its media type if it has no title.
pub(crate) fn title(descriptor: &Descriptor) -> &str {
    descriptor.annotation(annotations::TITLE).unwrap_or(descriptor.media_type.as_str())
}

/// Joins two relative paths. Each of them may be empty.
pub(crate) fn join(directory: &str, path: &str) -> String {
    match (directory, path) {
        ("", path) => path.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, path) => format!("{directory}/{path}"),
    }
}

/// Returns a path relative to a directory, or `None` if it is not below the directory. Every path is below the
/// empty one.
#[must_use]
pub fn below<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    if directory.is_empty() {
        return Some(path);
    }
    path.strip_prefix(directory)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::{below, join};

    #[test]
    fn what_is_joined_is_below() {
        for (directory, path, joined) in [("a", "b/c", "a/b/c"), ("", "b", "b"), ("a/b", "c", "a/b/c")] {
            assert_eq!(join(directory, path), joined);
            assert_eq!(below(directory, joined), Some(path));
        }
        assert_eq!(join("a", ""), "a");
        for (directory, path) in [("a", "ab"), ("a", "a"), ("a/b", "a/c"), ("a", "b/a")] {
            assert_eq!(below(directory, path), None, "{directory} {path}");
        }
    }
}
