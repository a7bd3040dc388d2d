//! Readers of the values that several DataONE documents have in common; a value that does not read is noted, not kept.

use std::str::FromStr;

use crate::checksum::{Checksum, ChecksumAlgorithm};
use crate::date_time::DateTime;
use crate::error::Result;
use crate::identifier::{Identifier, IdentifierError};
use crate::oddity::{OddityCode, quoted};
use crate::xml::{Cursor, Element};

/// Reads an identifier.
pub(crate) fn read_identifier(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<Identifier>> {
    let path = cursor.path();
    let Some(text) = cursor.filled_text(element)? else { return Ok(None) };
    Ok(parse_identifier(cursor, &path, &text))
}

/// Reads an identifier from the text of an element. An empty text was noted before.
pub(crate) fn parse_identifier(cursor: &mut Cursor<'_>, path: &str, text: &str) -> Option<Identifier> {
    let parsed = text.parse();
    if let Err(error) = &parsed
        && !text.is_empty()
    {
        cursor.odd(OddityCode::InvalidValue, path, || IdentifierError::to_string(error));
    }
    parsed.ok()
}

/// Reads a number.
pub(crate) fn read_number<N: FromStr>(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<N>> {
    let path = cursor.path();
    let Some(text) = filled_token(cursor, element)? else { return Ok(None) };
    Ok(number(cursor, &path, &text))
}

/// Reads a number from an attribute.
pub(crate) fn read_number_attribute<N: FromStr>(
    cursor: &mut Cursor<'_>,
    element: &Element,
    name: &str,
) -> Option<N> {
    let text = element.attribute(name)?;
    let path = attribute_path(cursor, name);
    number(cursor, &path, text.trim())
}

/// Reads a truth value.
pub(crate) fn read_boolean(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<bool>> {
    let path = cursor.path();
    let Some(text) = filled_token(cursor, element)? else { return Ok(None) };
    Ok(boolean(cursor, &path, &text))
}

/// Reads a truth value from an attribute.
pub(crate) fn read_boolean_attribute(cursor: &mut Cursor<'_>, element: &Element, name: &str) -> Option<bool> {
    let text = element.attribute(name)?;
    let path = attribute_path(cursor, name);
    boolean(cursor, &path, text.trim())
}

/// Reads a date; its text is kept even if it does not read.
pub(crate) fn read_date(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<DateTime>> {
    let path = cursor.path();
    let Some(text) = filled_token(cursor, element)? else { return Ok(None) };
    let date = DateTime::from_text(text);
    if !date.is_schema_form() {
        cursor.odd(OddityCode::InvalidDate, &path, || {
            format!("“{}” is not a date and time in the form of the schema", quoted(date.text()))
        });
    } else if !date.has_zone() {
        cursor.odd(OddityCode::DateWithoutZone, &path, || {
            format!("“{}” names no time zone; it was taken as UTC", quoted(date.text()))
        });
    }
    Ok(Some(date))
}

/// Reads a checksum with its algorithm.
pub(crate) fn read_checksum(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<Checksum>> {
    let path = cursor.path();
    let name = element.attribute("algorithm").unwrap_or_default().trim().to_owned();
    let value = cursor.filled_text(element)?;
    if name.is_empty() {
        cursor.odd(OddityCode::MissingElement, &format!("{path}/@algorithm"), || {
            "the checksum does not name its algorithm".to_owned()
        });
        return Ok(None);
    }
    let Some(value) = value else { return Ok(None) };
    let checksum = Checksum::new(ChecksumAlgorithm::from_name(&name), value);
    if matches!(checksum.algorithm(), ChecksumAlgorithm::Other(_)) {
        cursor.odd(OddityCode::UnknownAlgorithm, &path, || {
            format!("“{}” is not a checksum algorithm that is known here", quoted(&name))
        });
    } else if checksum.algorithm().name() != name {
        cursor.odd(OddityCode::AlgorithmSpelling, &path, || {
            format!("“{}” is spelt “{}” in the vocabulary", quoted(&name), checksum.algorithm())
        });
    }
    if !checksum.is_well_formed() {
        cursor.odd(OddityCode::MalformedChecksum, &path, || {
            format!("“{}” is not the hexadecimal text of a checksum", quoted(&checksum.to_string()))
        });
    }
    Ok(Some(checksum))
}

/// Notes an attribute that must be there and is not.
pub(crate) fn note_missing_attribute(cursor: &mut Cursor<'_>, name: &str) {
    let path = attribute_path(cursor, name);
    cursor.odd(OddityCode::MissingElement, &path, || format!("the attribute “{name}” is missing"));
}

/// Reads a text whose type in the schema collapses whitespace, so that whitespace around it is nothing odd.
fn filled_token(cursor: &mut Cursor<'_>, element: &Element) -> Result<Option<String>> {
    let path = cursor.path();
    let text = cursor.raw_text(element)?;
    let token = text.trim();
    if token.is_empty() {
        cursor.odd(OddityCode::EmptyElement, &path, || "the element is empty".to_owned());
        return Ok(None);
    }
    Ok(Some(token.to_owned()))
}

fn number<N: FromStr>(cursor: &mut Cursor<'_>, path: &str, text: &str) -> Option<N> {
    let number = text.parse().ok();
    if number.is_none() {
        cursor.odd(OddityCode::InvalidValue, path, || {
            format!("“{}” is not a number that the schema allows", quoted(text))
        });
    }
    number
}

fn boolean(cursor: &mut Cursor<'_>, path: &str, text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        other => {
            cursor.odd(OddityCode::InvalidValue, path, || {
                format!("“{}” is neither true nor false", quoted(other))
            });
            None
        }
    }
}

fn attribute_path(cursor: &Cursor<'_>, name: &str) -> String {
    let path = cursor.path();
    if path.is_empty() { format!("@{name}") } else { format!("{path}/@{name}") }
}
