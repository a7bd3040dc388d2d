//! Object formats: the media type and file extension of each DataONE `formatId`.

mod builtin;

use crate::error::Result;
use crate::oddity::{OddityCode, Parsed, quoted};
use crate::values::read_number_attribute;
use crate::xml::{Cursor, DocumentKind, Element, NAMESPACE_V1, NAMESPACE_V2, read_document};

const KIND: DocumentKind = DocumentKind {
    name: "object format list",
    root: "objectFormatList",
    namespaces: &[NAMESPACE_V2, NAMESPACE_V1],
    max_bytes: 16 * 1024 * 1024,
};

/// The purpose of a format.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FormatType {
    /// Data of any kind.
    Data,
    /// Documents that describe data.
    Metadata,
    /// Documents that describe packages, such as resource maps.
    Resource,
    /// Any other purpose, with its name from the list.
    Other(String),
}

impl FormatType {
    /// Returns the name in the list, such as `METADATA`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Data => "DATA",
            Self::Metadata => "METADATA",
            Self::Resource => "RESOURCE",
            Self::Other(name) => name,
        }
    }

    fn from_name(name: &str) -> Self {
        [Self::Data, Self::Metadata, Self::Resource]
            .into_iter()
            .find(|known| known.name() == name)
            .unwrap_or_else(|| Self::Other(name.to_owned()))
    }
}

/// One format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFormat {
    /// The format's identifier in DataONE. It is not a media type, even if it looks like one.
    pub format_id: String,
    /// The format's name for people.
    pub name: String,
    /// The purpose of the format.
    pub format_type: FormatType,
    /// The format's media type, such as `text/xml`.
    pub media_type: Option<String>,
    /// The usual file extension, without the dot.
    pub extension: Option<String>,
}

/// Lists formats, and finds them by their identifiers.
///
/// ```
/// use d1_model::{FormatType, ObjectFormatList};
///
/// let formats = ObjectFormatList::builtin();
/// let eml = formats.get("https://eml.ecoinformatics.org/eml-2.2.0").ok_or("unknown format")?;
/// assert_eq!(eml.format_type, FormatType::Metadata);
/// assert_eq!(eml.media_type.as_deref(), Some("text/xml"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectFormatList {
    /// The formats, in the order of the list.
    formats: Vec<ObjectFormat>,
    /// Positions in `formats`, ordered by `formatId`.
    by_format_id: Vec<usize>,
}

impl ObjectFormatList {
    /// Returns the built-in list: the 160 formats of list 1.28.
    #[must_use]
    pub fn builtin() -> &'static Self {
        builtin::list()
    }

    /// Reads an `objectFormatList` document, the answer to `/v2/formats` of a Coordinating Node.
    ///
    /// # Errors
    ///
    /// Fails when the document is not well-formed XML in UTF-8, defines entities, is larger than 16 MiB or has another
    /// root element.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read_document(KIND, bytes, read_list)
    }

    /// Returns the formats in the order of the list.
    #[must_use]
    pub fn formats(&self) -> &[ObjectFormat] {
        &self.formats
    }

    /// Finds a format by its identifier.
    #[must_use]
    pub fn get(&self, format_id: &str) -> Option<&ObjectFormat> {
        let found =
            self.by_format_id.binary_search_by(|index| self.format_id_at(*index).cmp(format_id)).ok()?;
        self.formats.get(*self.by_format_id.get(found)?)
    }

    fn from_formats(formats: Vec<ObjectFormat>) -> Self {
        let mut list = Self { by_format_id: (0..formats.len()).collect(), formats };
        let mut order = std::mem::take(&mut list.by_format_id);
        order.sort_by(|left, right| list.format_id_at(*left).cmp(list.format_id_at(*right)));
        list.by_format_id = order;
        list
    }

    fn format_id_at(&self, index: usize) -> &str {
        self.formats.get(index).map_or("", |format| &format.format_id)
    }
}

/// Returns the media type of a format of the built-in list, such as `text/xml` for `eml://ecoinformatics.org/eml-2.1.1`.
#[must_use]
pub fn media_type_for(format_id: &str) -> Option<&'static str> {
    ObjectFormatList::builtin().get(format_id)?.media_type.as_deref()
}

fn read_list(cursor: &mut Cursor<'_>, root: &Element) -> Result<ObjectFormatList> {
    let count: Option<usize> = read_number_attribute(cursor, root, "count");
    let mut formats = Vec::new();
    while let Some(element) = cursor.next_child(root)? {
        if element.name == "objectFormat" {
            formats.extend(read_format(cursor, &element)?);
        } else {
            cursor.skip_unknown(&element)?;
        }
    }
    if count.is_some_and(|count| count != formats.len()) {
        cursor.odd(OddityCode::WrongCount, "@count", || {
            format!("expected {} formats, found {}", count.unwrap_or_default(), formats.len())
        });
    }
    Ok(ObjectFormatList::from_formats(formats))
}

fn read_format(cursor: &mut Cursor<'_>, format: &Element) -> Result<Option<ObjectFormat>> {
    let (mut format_id, mut name, mut format_type) = (None, None, None);
    let (mut media_type, mut extension) = (None, None);
    while let Some(element) = cursor.next_child(format)? {
        match element.name.as_str() {
            "formatId" => format_id = cursor.filled_text(&element)?,
            "formatName" => name = cursor.filled_text(&element)?,
            "formatType" => format_type = cursor.filled_text(&element)?,
            "mediaType" => {
                media_type = element.attribute("name").map(|name| name.trim().to_owned());
                cursor.skip(&element)?;
            }
            "extension" => extension = cursor.filled_text(&element)?,
            _ => cursor.skip_unknown(&element)?,
        }
    }
    let Some(format_id) = format_id else {
        cursor.odd(OddityCode::MissingElement, "objectFormat/formatId", || {
            format!(
                "the format “{}” has no formatId; it was left out",
                quoted(name.as_deref().unwrap_or_default())
            )
        });
        return Ok(None);
    };
    let format_type = FormatType::from_name(format_type.as_deref().unwrap_or_default());
    if let FormatType::Other(other) = &format_type {
        cursor.odd(OddityCode::InvalidValue, "objectFormat/formatType", || {
            format!("“{}” is not a type of format", quoted(other))
        });
    }
    let name = name.unwrap_or_else(|| format_id.clone());
    let media_type = media_type.filter(|media_type| !media_type.is_empty());
    Ok(Some(ObjectFormat { format_id, name, format_type, media_type, extension }))
}
