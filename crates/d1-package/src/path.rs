//! Layer titles as directories of a package.

use safe_files::{PathFault, path_fault};

/// Returns a title without its empty and `.` components. The result may be empty.
pub(crate) fn clean_title(title: &str) -> Result<String, PathFault> {
    if title.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    let kept: Vec<&str> = title.split('/').filter(|component| !matches!(*component, "" | ".")).collect();
    let cleaned = kept.join("/");
    match path_fault(&cleaned) {
        Some(fault) if !cleaned.is_empty() => Err(fault),
        _ => Ok(cleaned),
    }
}

#[cfg(test)]
mod tests {
    use super::clean_title;

    #[test]
    fn titles_lose_their_dots() {
        for (title, cleaned) in [("pkg", "pkg"), ("pkg/./.", "pkg"), ("./a//b/", "a/b"), (".", ""), ("", "")]
        {
            assert_eq!(clean_title(title).as_deref(), Ok(cleaned), "{title}");
        }
        for title in ["..", "a/../b", "/a", "//", "~/x", "C:\\x"] {
            assert!(clean_title(title).is_err(), "{title}");
        }
    }
}
