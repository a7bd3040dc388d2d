//! Reading the entries of an index.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use oci_model::{Digest, Tag};
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::entry::{Entry, Kind, NO_SUBJECT, Said};
use super::span::{Span, place};
use super::{Name, SubjectHint};

/// Reads the entries of a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    aside: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    media_type: Text<'a>,
    #[serde(borrow)]
    digest: Text<'a>,
    size: u64,
    #[serde(borrow, default, deserialize_with = "no_list")]
    annotations: Option<Annotations<'a>>,
}

#[derive(Default, Deserialize)]
struct Annotations<'a> {
    #[serde(rename = "org.opencontainers.image.ref.name", borrow, default)]
    name: Option<Value<'a>>,
    #[serde(rename = "org.dataone.subject", borrow, default)]
    subject: Option<Value<'a>>,
}

/// A text that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text, or a value that is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value<'a> {
    #[serde(borrow)]
    Text(Text<'a>),
    Other(IgnoredAny),
}

/// Reads annotations; a list has none, where serde would read it by position.
fn no_list<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Annotations<'a>>, D::Error> {
    struct NoList;
    impl<'de> Visitor<'de> for NoList {
        type Value = Option<Annotations<'de>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("annotations")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Annotations::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }
    deserializer.deserialize_any(NoList)
}

impl<'a> Reader<'a> {
    /// Begins to read the text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, aside: String::new() }
    }

    /// Reads an entry that stands somewhere in the text.
    pub(super) fn entry(&mut self, text: &'a str) -> Entry {
        // A sequence would be read by position.
        let fields = text.starts_with('{').then(|| serde_json::from_str::<Fields<'_>>(text));
        let said = fields.and_then(Result::ok).and_then(|fields| self.said(&fields));
        Entry { place: Span::of(&place(self.text, text)), said }
    }

    /// Returns what the escapes in what was read stand for.
    pub(super) fn into_aside(self) -> String {
        self.aside
    }

    fn said(&mut self, fields: &Fields<'_>) -> Option<Said> {
        let annotations = fields.annotations.as_ref();
        let media_type = fields.media_type.0.parse().ok()?;
        Some(Said {
            kind: Kind::of(&media_type),
            media_type: self.span(&fields.media_type),
            digest: self.checked::<Digest>(&fields.digest)?,
            size: fields.size,
            name: match annotations.and_then(|annotations| annotations.name.as_ref()?.text()) {
                None => Name::None,
                Some(text) => self.checked::<Tag>(text).map_or(Name::Other, Name::Tag),
            },
            subject: match annotations.and_then(|annotations| annotations.subject.as_ref()?.text()) {
                Some(text) if text.0 == NO_SUBJECT => SubjectHint::None,
                Some(text) => self.checked::<Digest>(text).map_or(SubjectHint::Unknown, SubjectHint::Subject),
                None => SubjectHint::Unknown,
            },
        })
    }

    /// Returns the place of a text if it is of the form.
    fn checked<T: FromStr>(&mut self, text: &Text<'_>) -> Option<Span> {
        text.0.parse::<T>().ok()?;
        Some(self.span(text))
    }

    /// Returns the place of a text that is kept.
    fn span(&mut self, text: &Text<'_>) -> Span {
        match &text.0 {
            Cow::Borrowed(part) => Span::of(&place(self.text, part)),
            Cow::Owned(text) => {
                let start = self.text.len().saturating_add(self.aside.len());
                self.aside.push_str(text);
                Span::of(&(start..start.saturating_add(text.len())))
            }
        }
    }
}

impl<'a> Value<'a> {
    fn text(&self) -> Option<&Text<'a>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }
}
