//! The document that lists the locations of an object: the answer of `resolve`.

use crate::error::{ErrorKind, Result};
use crate::identifier::Identifier;
use crate::oddity::{OddityCode, Parsed};
use crate::values::{read_identifier, read_number};
use crate::xml::{Cursor, DocumentKind, Element, NAMESPACE_V1, NAMESPACE_V2, read_document};

const KIND: DocumentKind = DocumentKind {
    name: "object location list",
    root: "objectLocationList",
    namespaces: &[NAMESPACE_V1, NAMESPACE_V2],
    max_bytes: 4 * 1024 * 1024,
};

/// The locations of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLocationList {
    /// The object.
    pub identifier: Identifier,
    /// The locations, the preferred one first. Any of them may be down.
    pub locations: Vec<ObjectLocation>,
}

/// One location of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLocation {
    /// The node, such as `urn:node:KNB`.
    pub node: Option<String>,
    /// The node's base URL, without the version.
    pub base_url: Option<String>,
    /// The versions of the interface that the node speaks, such as `v2`.
    pub versions: Vec<String>,
    /// The URL of the object.
    pub url: String,
    /// The preference for this location. The list is already in this order.
    pub preference: Option<i32>,
}

impl ObjectLocationList {
    /// Reads an `objectLocationList` document.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not well-formed XML in UTF-8, define entities, are more than 4 MiB, have another root
    /// element, or name no identifier.
    pub fn parse(bytes: &[u8]) -> Result<Parsed<Self>> {
        read_document(KIND, bytes, read)
    }
}

fn read(cursor: &mut Cursor<'_>, root: &Element) -> Result<ObjectLocationList> {
    let (mut identifier, mut locations) = (None, Vec::new());
    while let Some(element) = cursor.next_child(root)? {
        match element.name.as_str() {
            "identifier" => identifier = read_identifier(cursor, &element)?,
            "objectLocation" => locations.extend(read_location(cursor, &element)?),
            _ => cursor.skip_unknown(&element)?,
        }
    }
    let identifier = identifier.ok_or_else(|| {
        cursor.error(ErrorKind::Missing, "identifier", "expected an identifier, found none that can be used")
    })?;
    Ok(ObjectLocationList { identifier, locations })
}

fn read_location(cursor: &mut Cursor<'_>, location: &Element) -> Result<Option<ObjectLocation>> {
    let (mut node, mut base_url, mut versions) = (None, None, Vec::new());
    let (mut url, mut preference) = (None, None);
    while let Some(element) = cursor.next_child(location)? {
        match element.name.as_str() {
            "nodeIdentifier" => node = cursor.filled_text(&element)?,
            "baseURL" => base_url = cursor.filled_text(&element)?,
            "version" => versions.extend(cursor.filled_text(&element)?),
            "url" => url = cursor.filled_text(&element)?,
            "preference" => preference = read_number(cursor, &element)?,
            _ => cursor.skip_unknown(&element)?,
        }
    }
    let Some(url) = url else {
        cursor.odd(OddityCode::MissingElement, "objectLocation/url", || {
            "a location has no URL; it was left out".to_owned()
        });
        return Ok(None);
    };
    Ok(Some(ObjectLocation { node, base_url, versions, url, preference }))
}

#[cfg(test)]
mod tests {
    use super::ObjectLocationList;
    use crate::error::ErrorKind;
    use crate::oddity::OddityCode;

    #[test]
    fn all_locations_in_order() {
        let parsed = ObjectLocationList::parse(
            b"<d1:objectLocationList xmlns:d1='http://ns.dataone.org/service/types/v1'>
              <identifier>doi:10.5063/F1</identifier>
              <objectLocation><nodeIdentifier>urn:node:KNB</nodeIdentifier>
                <baseURL>https://knb.ecoinformatics.org/knb/d1/mn</baseURL><version>v1</version><version>v2</version>
                <url>https://knb.ecoinformatics.org/knb/d1/mn/v2/object/doi:10.5063%2FF1</url><preference>1</preference>
              </objectLocation>
              <objectLocation><nodeIdentifier>urn:node:B</nodeIdentifier></objectLocation>
              <objectLocation><url>https://b.example/x</url></objectLocation></d1:objectLocationList>",
        )
        .unwrap();
        let list = &parsed.value;
        assert_eq!(list.identifier.as_str(), "doi:10.5063/F1");
        let urls: Vec<_> = list.locations.iter().map(|location| location.url.as_str()).collect();
        assert_eq!(
            urls,
            ["https://knb.ecoinformatics.org/knb/d1/mn/v2/object/doi:10.5063%2FF1", "https://b.example/x"]
        );
        assert_eq!(list.locations[0].versions, ["v1", "v2"]);
        assert_eq!(list.locations[0].preference, Some(1));
        assert_eq!(parsed.oddities.len(), 1);
        assert!(parsed.has(OddityCode::MissingElement));
    }

    #[test]
    fn a_list_of_nothing_is_refused() {
        assert_eq!(
            ObjectLocationList::parse(b"<objectLocationList/>").unwrap_err().kind(),
            ErrorKind::Missing
        );
    }
}
