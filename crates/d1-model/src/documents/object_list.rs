//! The document that lists the objects of a node, the answer of `listObjects`.

use crate::checksum::Checksum;
use crate::date_time::DateTime;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::oddity::{OddityCode, Parsed, quoted};
use crate::values::{parse_identifier, read_checksum, read_date, read_number, read_number_attribute};
use crate::xml::{Cursor, DocumentKind, Element, NAMESPACE_V1, NAMESPACE_V2, read_document};

const KIND: DocumentKind = DocumentKind {
    name: "object list",
    root: "objectList",
    namespaces: &[NAMESPACE_V1, NAMESPACE_V2],
    max_bytes: 64 * 1024 * 1024,
};

/// Lists a slice of the objects of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectList {
    /// The number of listed objects that the document states.
    pub count: u64,
    /// The position of the first of them among all objects that match.
    pub start: u64,
    /// The number of objects that match.
    pub total: u64,
    /// The objects.
    pub objects: Vec<ObjectInfo>,
    /// The texts of unusable identifiers: at most 1000 of them.
    pub unusable: Vec<String>,
    /// The number of unusable entries.
    pub unusable_count: u64,
}

/// The most unusable identifiers that are kept.
const MAX_UNUSABLE: usize = 1000;

/// One object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The object's identifier.
    pub identifier: Identifier,
    /// The object's format.
    pub format_id: Option<String>,
    /// The object's checksum.
    pub checksum: Option<Checksum>,
    /// When the object's system metadata last changed.
    pub date_modified: Option<DateTime>,
    /// The object's size in bytes.
    pub size: Option<u64>,
}

impl ObjectList {
    /// Reads an `objectList` document.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not well-formed XML in UTF-8, define entities, are more than 64 MiB or have another root
    /// element.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read_document(KIND, bytes, read)
    }
}

fn read(cursor: &mut Cursor<'_>, root: &Element) -> Result<ObjectList> {
    let count = read_number_attribute(cursor, root, "count");
    let start: u64 = read_number_attribute(cursor, root, "start").unwrap_or_default();
    let total = read_number_attribute(cursor, root, "total");
    let (mut objects, mut unusable) = (Vec::new(), Vec::new());
    let (mut entries, mut unusable_count): (u64, u64) = (0, 0);
    while let Some(element) = cursor.next_child(root)? {
        if element.name == "objectInfo" {
            entries = entries.saturating_add(1);
            match read_object(cursor, &element)? {
                Ok(object) => objects.push(object),
                Err(identifier) => {
                    unusable_count = unusable_count.saturating_add(1);
                    unusable.extend((unusable.len() < MAX_UNUSABLE).then(|| quoted(&identifier)));
                }
            }
        } else {
            cursor.skip_unknown(&element)?;
        }
    }
    let count = count.unwrap_or(entries);
    if count != entries {
        cursor.odd(OddityCode::WrongCount, "@count", || format!("expected {count} entries, found {entries}"));
    }
    // Without a total, there are at least the objects of this slice.
    let total = total.unwrap_or_else(|| start.saturating_add(entries));
    Ok(ObjectList { count, start, total, objects, unusable, unusable_count })
}

/// Reads an entry, or returns the text of an invalid identifier.
fn read_object(cursor: &mut Cursor<'_>, object: &Element) -> Result<Result<ObjectInfo, String>> {
    let mut stated = String::new();
    let (mut identifier, mut format_id, mut checksum) = (None, None, None);
    let (mut date_modified, mut size) = (None, None);
    while let Some(element) = cursor.next_child(object)? {
        match element.name.as_str() {
            "identifier" => {
                let path = cursor.path();
                stated = cursor.filled_text(&element)?.unwrap_or_default();
                identifier = parse_identifier(cursor, &path, &stated);
            }
            "formatId" => format_id = cursor.filled_text(&element)?,
            "checksum" => checksum = read_checksum(cursor, &element)?,
            "dateSysMetadataModified" => date_modified = read_date(cursor, &element)?,
            "size" => size = read_number(cursor, &element)?,
            _ => cursor.skip_unknown(&element)?,
        }
    }
    let Some(identifier) = identifier else {
        cursor.odd(OddityCode::MissingElement, "objectInfo/identifier", || {
            "an object has no identifier that can be used; it is listed apart".to_owned()
        });
        return Ok(Err(stated));
    };
    Ok(Ok(ObjectInfo { identifier, format_id, checksum, date_modified, size }))
}

#[cfg(test)]
mod tests {
    use super::ObjectList;
    use crate::oddity::OddityCode;

    #[test]
    fn broken_entries_are_left_out_and_reported() {
        let parsed = ObjectList::parse(
            b"<d:objectList xmlns:d='http://ns.dataone.org/service/types/v1' count='3' start='10' total='99'>
              <objectInfo><identifier>a</identifier><size>-1</size></objectInfo>
              <objectInfo><identifier>a b</identifier></objectInfo></d:objectList>",
        )
        .unwrap();
        let list = &parsed.value;
        assert_eq!((list.unusable.as_slice(), list.unusable_count), (&["a b".to_owned()][..], 1));
        assert_eq!((list.count, list.start, list.total, list.objects.len()), (3, 10, 99, 1));
        assert_eq!(list.objects[0].size, None);
        for code in [OddityCode::WrongCount, OddityCode::InvalidValue, OddityCode::MissingElement] {
            assert!(parsed.has(code), "{code}");
        }
    }

    #[test]
    fn an_empty_list() {
        let parsed =
            ObjectList::parse(b"<o:objectList xmlns:o='http://ns.dataone.org/service/types/v1'/>").unwrap();
        assert_eq!((parsed.value.count, parsed.value.total), (0, 0));
        assert_eq!(parsed.oddities, []);
    }
}
