//! The content of a science metadata document, in one form for all formats.

use serde::{Deserialize, Serialize};

use crate::time::day_range;

/// The content of a science metadata document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct ScienceMetadata {
    /// The format of the document.
    pub format: MetadataFormat,
    /// Identifier that the document states for itself or its package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_id: Option<String>,
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Further titles, such as translations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_titles: Vec<String>,
    /// The creators, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creators: Vec<Party>,
    /// The publisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Date of publication, as the document states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// The abstract. An empty line separates paragraphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#abstract: Option<String>,
    /// The methods. An empty line separates paragraphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<String>,
    /// Keywords, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Taxa.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taxa: Vec<Taxon>,
    /// Places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub boxes: Vec<BoundingBox>,
    /// Names of places without coordinates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Periods that the data are from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<Period>,
    /// The licence: its name, or the statement of rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Address of the licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_url: Option<String>,
    /// Language of the data or the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Awards that paid for the work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub funding: Vec<Award>,
    /// Tables and other data that the document describes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// Whether something was left out because of a bound.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// The format of a science metadata document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MetadataFormat {
    /// The document is unknown: the facts come from elsewhere.
    #[default]
    Unknown,
    /// Ecological Metadata Language 2.x.
    Eml,
    /// ISO 19115, as 19139 or 19115-3.
    Iso19115,
    /// Dublin Core.
    DublinCore,
    /// DataCite.
    DataCite,
    /// FGDC's Content Standard for Digital Geospatial Metadata.
    Fgdc,
    /// RO-Crate.
    RoCrate,
}

/// A person or an organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Party {
    /// The name for people: of the person, else of the organization, else the position.
    pub name: String,
    /// Given names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// ORCID without the address before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orcid: Option<String>,
    /// Electronic mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A taxon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taxon {
    /// Rank, such as `Species`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<String>,
    /// Scientific name.
    pub name: String,
    /// Common name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
}

/// A box in degrees: WGS 84, longitudes from -180 to 180. It crosses the antimeridian if `west` is greater than `east`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BoundingBox {
    /// Western longitude.
    pub west: f64,
    /// Southern latitude.
    pub south: f64,
    /// Eastern longitude.
    pub east: f64,
    /// Northern latitude.
    pub north: f64,
    /// The place in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A period. Dates are as the document states them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Period {
    /// The first date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begin: Option<String>,
    /// The last date. Without one, the period has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

impl Period {
    /// Returns the first and the last day, counted from 1970-01-01. An absent end is the largest number.
    ///
    /// ```
    /// use d1_metadata::Period;
    ///
    /// let period = Period { begin: Some("1970".to_owned()), end: Some("1970-02".to_owned()) };
    /// assert_eq!(period.days(), Some((0, 58)));
    /// ```
    #[must_use]
    pub fn days(&self) -> Option<(i64, i64)> {
        let begin = self.begin.as_deref().and_then(day_range);
        match (begin, self.end.as_deref()) {
            (Some((first, _)), None) => Some((first, i64::MAX)),
            (Some((first, last)), Some(end)) => {
                let end = day_range(end).map_or(last, |(_, end)| end);
                Some((first.min(end), first.max(end)))
            }
            (None, Some(end)) => day_range(end),
            (None, None) => None,
        }
    }
}

/// An award.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Award {
    /// Name of the funder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funder: Option<String>,
    /// Number of the award.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Title of the award.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Address of the award.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A table or other data that the document describes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Entity {
    /// Element of the document, such as `dataTable`.
    pub kind: String,
    /// XML identifier, which often is the object's identifier in a form that XML allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Name of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// Size of the file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Checksum of the file: algorithm and value, as the document states them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<(String, String)>,
    /// Address of the file. It is never requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Format of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Number of records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// The way in which a text table is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvDialect>,
    /// The columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// The way in which a text table is written, in the words of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsvDialect {
    /// Lines before the records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_lines: Option<u64>,
    /// Lines after the records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer_lines: Option<u64>,
    /// Text between fields, such as `,` or `\t`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_delimiter: Option<String>,
    /// Text between records, such as `\n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_delimiter: Option<String>,
    /// Character around fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// Whether adjacent delimiters count as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapse_delimiters: Option<bool>,
    /// Whether attributes are columns or rows: `column` or `row`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation: Option<String>,
    /// Encoding of the characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Attribute {
    /// Name.
    pub name: String,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Type of the stored values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// Scale: `nominal`, `ordinal`, `interval`, `ratio` or `dateTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// Unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Kind of number: `natural`, `whole`, `integer` or `real`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_type: Option<String>,
    /// The least value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<String>,
    /// The greatest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<String>,
    /// Format of dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_format: Option<String>,
    /// Codes and their meanings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<Code>,
    /// Texts that mean a missing value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// A code of an attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Code {
    /// The code.
    pub code: String,
    /// Its meaning.
    pub definition: String,
}

/// Returns the first ORCID in a text, such as an address or the bare identifier.
///
/// ```
/// assert_eq!(d1_metadata::orcid_in("http://orcid.org/0000-0002-1825-0097").as_deref(), Some("0000-0002-1825-0097"));
/// assert_eq!(d1_metadata::orcid_in("0000-0002-1825"), None);
/// ```
#[must_use]
pub fn orcid_in(text: &str) -> Option<String> {
    const LENGTH: usize = 19;
    let is_orcid = |window: &[u8]| {
        window.iter().enumerate().all(|(position, byte)| match position {
            4 | 9 | 14 => *byte == b'-',
            18 => byte.is_ascii_digit() || *byte == b'X' || *byte == b'x',
            _ => byte.is_ascii_digit(),
        })
    };
    let found = text.as_bytes().windows(LENGTH).take(1000).find(|window| is_orcid(window))?;
    std::str::from_utf8(found).ok().map(str::to_ascii_uppercase)
}
