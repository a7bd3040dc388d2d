//! Reading an index.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Entry, Index, ListPlace, Name};

/// What keeps a text from being an index.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// It is no JSON object, or a field is of the wrong type.
    #[error("it is no image index")]
    Syntax(#[from] serde_json::Error),
    /// It is of a version that does not exist.
    #[error("it has the schema version {0}, not 2")]
    Version(u64),
}

#[derive(Deserialize)]
struct TopLevel<'a> {
    #[serde(rename = "schemaVersion", default)]
    schema_version: Option<u64>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    manifests: Option<&'a RawValue>,
}

/// Reads the field as it stands, since `null` has a place in the text too.
fn even_null<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Index {
    /// Reads an index.
    pub(crate) fn parse(text: String) -> Result<Self, IndexError> {
        let (list, entries) = read_list(&text)?;
        let mut by_tag = HashMap::new();
        let mut by_digest = HashMap::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            let Some(listed) = &entry.listed else { continue };
            if let Name::Tag(tag) = &listed.name {
                by_tag.insert(tag.clone(), position);
            }
            by_digest.entry(listed.digest.clone()).or_insert(position);
        }
        Ok(Self { text, list, entries, by_tag, by_digest })
    }
}

/// What JSON takes for white space (RFC 8259 section 2).
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn read_list(text: &str) -> Result<(ListPlace, Vec<Entry>), IndexError> {
    // Serde reads a struct also from a sequence, which is no index.
    if !text.trim_start_matches(JSON_SPACE).starts_with('{') {
        super::fields::Fields::read(text)?;
    }
    let top: TopLevel<'_> = serde_json::from_str(text)?;
    if let Some(version) = top.schema_version.filter(|version| *version != 2) {
        return Err(IndexError::Version(version));
    }
    let Some(list) = top.manifests else {
        let object: &RawValue = serde_json::from_str(text)?;
        let brace = place(text, object).end.saturating_sub(1);
        let first_field = super::fields::Fields::read(text)?.is_empty();
        return Ok((ListPlace::Before { brace, first_field }, Vec::new()));
    };
    let entries: Option<Vec<&RawValue>> = serde_json::from_str(list.get())?;
    let entries =
        entries.unwrap_or_default().into_iter().map(|raw| Entry::read(raw.get(), place(text, raw))).collect();
    Ok((ListPlace::Value(place(text, list)), entries))
}

/// Where `text` has the value that was read from it.
fn place(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start.saturating_add(part.get().len())
}
