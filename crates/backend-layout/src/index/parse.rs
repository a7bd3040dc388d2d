//! Reading an index.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::finder::Finder;
use super::reader::Reader;
use super::span::{LONGEST_TEXT, Texts, place};
use super::{Entry, Index, ListPlace, Listed, Name, SubjectHint};

/// What keeps a text from being an index.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// It is no JSON object, or a field is of the wrong type.
    #[error("it is no image index")]
    Syntax(#[from] serde_json::Error),
    /// It is of a version that does not exist.
    #[error("it has the schema version {0}, not 2")]
    Version(u64),
    /// It is longer than any that is read.
    #[error("it has {0} bytes")]
    Length(usize),
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
        if text.len() > LONGEST_TEXT {
            return Err(IndexError::Length(text.len()));
        }
        let mut reader = Reader::new(&text);
        let (list, entries) = read_list(&text, &mut reader)?;
        let aside = reader.into_aside();
        let mut index = Self {
            texts: Texts::new(text, aside),
            list,
            entries,
            by_tag: Finder::default(),
            by_digest: Finder::default(),
            by_subject: Finder::default(),
        };
        index.by_digest = index.finder(|listed| Some(listed.digest));
        index.by_tag = index.finder(|listed| match listed.name {
            Name::Tag(tag) => Some(tag),
            _ => None,
        });
        index.by_subject = index.finder(|listed| match listed.subject {
            SubjectHint::Subject(subject) => Some(subject),
            _ => None,
        });
        Ok(index)
    }

    fn finder<'a>(&'a self, text: impl Fn(Listed<'a>) -> Option<&'a str>) -> Finder {
        Finder::new(self.listed().filter_map(|(position, listed)| Some((position, text(listed)?))))
    }
}

/// What JSON takes for white space (RFC 8259 section 2).
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn read_list<'a>(text: &'a str, reader: &mut Reader<'a>) -> Result<(ListPlace, Vec<Entry>), IndexError> {
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
        let brace = place(text, object.get()).end.saturating_sub(1);
        let first_field = super::fields::Fields::read(text)?.is_empty();
        return Ok((ListPlace::Before { brace, first_field }, Vec::new()));
    };
    let entries: Option<Vec<&RawValue>> = serde_json::from_str(list.get())?;
    let entries = entries.unwrap_or_default().into_iter().map(|raw| reader.entry(raw.get())).collect();
    Ok((ListPlace::Value(place(text, list.get())), entries))
}
