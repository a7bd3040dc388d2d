//! The mapping from identifiers to OCI tags.

use sha2::{Digest, Sha256};

/// The longest tag that the OCI distribution specification allows.
const MAX_TAG_LENGTH: usize = 128;
/// How many hexadecimal digits of the SHA-256 a tag carries.
const HASH_DIGITS: usize = 16;
/// The text between the readable part of a tag and its hash.
const HASH_MARK: &str = "-x";

/// Maps an identifier's text to its tag.
pub(super) fn tag_of(identifier: &str) -> String {
    match plain_tag(identifier) {
        Some(tag) if tag.len() <= MAX_TAG_LENGTH && !ends_like_a_hashed_tag(&tag) => tag,
        _ => hashed_tag(identifier),
    }
}

/// Maps the two common forms whose text can be read back from the tag.
fn plain_tag(identifier: &str) -> Option<String> {
    if let Some(uuid) = identifier.strip_prefix("urn:uuid:") {
        return is_uuid(uuid).then(|| format!("urn_uuid_{uuid}"));
    }
    let (prefix, suffix) = identifier.strip_prefix("doi:")?.split_once('/')?;
    (is_doi_prefix(prefix) && is_doi_suffix(suffix)).then(|| format!("doi_{prefix}_{suffix}"))
}

fn is_uuid(text: &str) -> bool {
    let mut lengths = [8, 4, 4, 4, 12].into_iter();
    text.split('-').all(|group| {
        lengths.next() == Some(group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    }) && lengths.next().is_none()
}

fn is_doi_prefix(text: &str) -> bool {
    text.strip_prefix("10.").is_some_and(|registrant| {
        registrant.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn is_doi_suffix(text: &str) -> bool {
    !text.is_empty() && text.chars().all(stays)
}

/// Returns whether a character stays the same in the tag. `_` does not count, because other characters become `_`.
fn stays(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '-')
}

/// Keeps the two forms apart. Otherwise somebody could make a DOI that ends in the hash of another identifier.
fn ends_like_a_hashed_tag(tag: &str) -> bool {
    tag.rsplit_once(HASH_MARK)
        .is_some_and(|(_, end)| end.len() == HASH_DIGITS && end.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn hashed_tag(identifier: &str) -> String {
    let readable = MAX_TAG_LENGTH - HASH_MARK.len() - HASH_DIGITS;
    let mut tag: String = identifier
        .chars()
        .enumerate()
        // A tag must begin with a letter, a digit or `_`.
        .map(|(position, character)| match character {
            '.' | '-' if position == 0 => '_',
            _ if stays(character) => character,
            _ => '_',
        })
        .take(readable)
        .collect();
    tag.push_str(HASH_MARK);
    tag.extend(hex::encode(Sha256::digest(identifier.as_bytes())).chars().take(HASH_DIGITS));
    tag
}
