//! The index of a layout as functions of text, for the fuzz targets of this project; not part of the interface.

use oci_model::{Digest, RawManifest, Tag};

use crate::index::{Added, Additions, Index};

/// Returns the tags of an index, if the text is one.
#[must_use]
pub fn tags(text: &str) -> Option<Vec<Tag>> {
    Index::parse(text.to_owned()).ok().map(|index| index.tags())
}

/// Returns the digest that a tag names.
#[must_use]
pub fn digest_of(text: &str, tag: &Tag) -> Option<Digest> {
    let index = Index::parse(text.to_owned()).ok()?;
    index.find(&tag.clone().into()).map(|entry| entry.digest)
}

/// Returns the text with a manifest under a tag; `None` if the text says so already or the manifest is not valid.
#[must_use]
pub fn with_manifest(text: &str, tag: &Tag, raw: &RawManifest) -> Option<String> {
    let index = Index::parse(text.to_owned()).ok()?;
    let mut additions = Additions::to(&index);
    let added = additions.add(Some(tag), raw, &raw.parse().ok()?).ok()?;
    (added == Added::Yes).then(|| Some(index.pieces(&additions.edit().ok()?).collect()))?
}

/// Returns the text without a tag, if it has the tag.
#[must_use]
pub fn without_tag(text: &str, tag: &Tag) -> Option<String> {
    let index = Index::parse(text.to_owned()).ok()?;
    let edit = index.without_tag(tag).ok()??;
    Some(index.pieces(&edit).collect())
}
