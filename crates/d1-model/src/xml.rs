//! Reading and writing XML within bounds.

mod cursor;
mod guard;
mod sniff;
mod writer;

pub(crate) use self::cursor::{Cursor, DocumentKind, Element, read_document};
pub(crate) use self::guard::{GuardLimits, GuardedReader};
pub(crate) use self::sniff::{find_bytes, first_element};
pub(crate) use self::writer::XmlWriter;

/// Namespace of the version 1 types.
pub(crate) const NAMESPACE_V1: &str = "http://ns.dataone.org/service/types/v1";
/// Namespace of the version 2 types.
pub(crate) const NAMESPACE_V2: &str = "http://ns.dataone.org/service/types/v2.0";

/// Tells whether XML 1.0 can carry a character (production `Char`).
pub(crate) fn is_xml_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}
