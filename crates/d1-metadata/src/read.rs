//! Recognises the format of a document and reads it.

use std::borrow::Cow;

use crate::content::ScienceMetadata;
use crate::error::{Error, Result};
use crate::tree::Node;
use crate::{datacite, dublin_core, eml, fgdc, iso, limits, ro_crate};

/// The largest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Reads a science metadata document. Its root element decides the format.
///
/// # Errors
///
/// [`Error::TooLarge`] beyond a bound, [`Error::Entities`] if the document defines entities, [`Error::Malformed`] if it is not
/// well-formed, [`Error::UnknownFormat`] if it is something else.
pub fn read(bytes: &[u8]) -> Result<ScienceMetadata> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(Error::TooLarge { limit: MAX_DOCUMENT_BYTES, things: "bytes" });
    }
    let text = decoded(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
    let mut metadata = if text.trim_start().starts_with(['{', '[']) {
        ro_crate::read(&text)?
    } else {
        of_root(&Node::parse(&text)?)?
    };
    limits::apply(&mut metadata);
    Ok(metadata)
}

fn of_root(root: &Node) -> Result<ScienceMetadata> {
    let has = |path: &[&str]| root.at(path).is_some();
    Ok(match &*root.name {
        "eml" => eml::read(root),
        "MD_Metadata" | "MI_Metadata" => iso::read(root),
        "metadata" if has(&["idinfo"]) => fgdc::read(root),
        "resource" if has(&["titles"]) => datacite::read(root),
        _ if dublin_core::is_it(root) => dublin_core::read(root),
        name => return Err(Error::UnknownFormat { root: name.chars().take(100).collect() }),
    })
}

/// Returns the bytes as text. Old documents are in Latin-1, whose bytes are the first characters of Unicode.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}
