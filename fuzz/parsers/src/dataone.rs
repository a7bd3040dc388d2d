//! Documents of DataONE nodes: system metadata, resource maps, lists and errors.

use d1_model::{
    Checksum, ErrorDocument, Identifier, Node, NodeList, ObjectFormatList, ObjectList, ObjectLocationList,
    ResourceMap, SystemMetadata, looks_like_error, looks_like_resource_map, looks_like_system_metadata,
};

use crate::text;

/// Reads system metadata.
pub fn system_metadata(bytes: &[u8]) {
    let _ = looks_like_system_metadata(bytes);
    let Ok(parsed) = SystemMetadata::parse(bytes) else { return };
    assert!(looks_like_system_metadata(bytes));
    let Ok(written) = parsed.value.to_xml() else { return };
    let again = SystemMetadata::parse(&written).expect("what is written can be read").value;
    // Dates may have been written in another form, once.
    let twice = again.to_xml().expect("what was read from what was written can be written");
    assert_eq!(SystemMetadata::parse(&twice).expect("what is written can be read").value, again);
    assert_eq!((&again.identifier, again.size), (&parsed.value.identifier, parsed.value.size));
    assert_eq!(again.checksum, parsed.value.checksum);
    assert_eq!(again.access_policy, parsed.value.access_policy);
}

/// Reads a resource map.
pub fn resource_map(bytes: &[u8]) {
    let _ = looks_like_resource_map(bytes);
    let Ok(parsed) = ResourceMap::parse(bytes) else { return };
    let Ok(written) = parsed.value.to_rdf_xml() else { return };
    let again = ResourceMap::parse(&written).expect("what is written can be read").value;
    assert_eq!(again.identifier(), parsed.value.identifier());
    let members = |map: &ResourceMap| {
        let names =
            map.members().iter().map(|member| (member.identifier().clone(), member.is_resource_map()));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(members(&again), members(&parsed.value));
}

/// Reads an error, a list or a description of a node.
pub fn dataone_documents(bytes: &[u8]) {
    let _ = (ObjectList::parse(bytes), Node::parse(bytes), NodeList::parse(bytes));
    let _ = (ObjectLocationList::parse(bytes), ObjectFormatList::parse(bytes), looks_like_error(bytes));
    if let Ok(parsed) = ErrorDocument::parse(bytes) {
        let mut written = Vec::new();
        if parsed.value.write_xml(&mut written).is_ok() {
            let again = ErrorDocument::parse(&written).expect("what is written can be read").value;
            assert_eq!(
                (again.error_code, again.detail_code),
                (parsed.value.error_code, parsed.value.detail_code)
            );
        }
    }
    if let Ok(parsed) = Checksum::parse_xml(bytes) {
        let mut written = Vec::new();
        if parsed.value.write_xml(&mut written).is_ok() {
            let again = Checksum::parse_xml(&written).expect("what is written can be read").value;
            assert_eq!(again, parsed.value);
        }
    }
}

/// Reads an identifier, and makes a path segment and a tag of it.
pub fn identifier(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let _ = Identifier::from_path_segment(text);
    let Ok(identifier) = text.parse::<Identifier>() else { return };
    let segment = identifier.to_path_segment();
    assert!(!segment.contains(['/', '?', '#']));
    assert_eq!(Identifier::from_path_segment(&segment).as_ref(), Ok(&identifier));
    let tag = identifier.tag();
    assert!(tag.parse::<oci_model::Tag>().is_ok(), "{tag}");
}
