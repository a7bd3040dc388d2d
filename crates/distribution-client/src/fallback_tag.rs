//! The tag under which referrers are kept where the registry does not list them (distribution-spec, "Referrers Tag
//! Schema").

use oci_model::{Digest, Tag};

/// Returns the tag for the referrers of a subject: the algorithm cut to 32 characters, the encoded part to 64, and `-`
/// for what a tag cannot have.
pub(crate) fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let fitting = |text: &str, limit| -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        text.chars().take(limit).map(|c| if allowed(c) { c } else { '-' }).collect()
    };
    let text = format!("{}-{}", fitting(subject.algorithm_name(), 32), fitting(subject.encoded(), 64));
    text.parse().ok()
}

/// Tells whether a tag is one under which referrers are kept: that of a subject with a known algorithm.
pub(crate) fn is_fallback_tag(tag: &Tag) -> bool {
    let encoded = tag.as_str().strip_prefix("sha256-").or_else(|| tag.as_str().strip_prefix("sha512-"));
    encoded.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_that_of_the_specification() {
        let sha256 = Digest::sha256_of(b"");
        let tag = fallback_tag(&sha256).unwrap();
        assert_eq!(tag.as_str(), format!("sha256-{}", sha256.encoded()));
        assert!(is_fallback_tag(&tag));
        let sha512: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        let tag = fallback_tag(&sha512).unwrap();
        assert_eq!(tag.as_str(), format!("sha512-{}", "ab".repeat(32)));
        assert!(is_fallback_tag(&tag));
        let odd: Digest =
            format!("test+algorithm+using+algorithm+separators+and+lots+of+characters:{}", "=".repeat(90))
                .parse()
                .unwrap();
        let expected = format!("test-algorithm-using-algorithm-s-{}", "-".repeat(64));
        assert_eq!(fallback_tag(&odd).unwrap().as_str(), expected);
    }

    #[test]
    fn tags_of_signatures_are_tags_like_any_other() {
        for text in [format!("sha256-{}.sig", "a".repeat(64)), "sha256-abc".to_owned(), "latest".to_owned()] {
            assert!(!is_fallback_tag(&text.parse().unwrap()), "{text}");
        }
    }
}
