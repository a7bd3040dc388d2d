//! Every document among the samples can be read, and its oddities are reported.

use std::fs;

use d1_model::{
    Checksum, ChecksumAlgorithm, ErrorDocument, ErrorKind, Node, ObjectFormatList, ObjectList, Oddity,
    RESOURCE_MAP_FORMAT_ID, ResourceMap, SystemMetadata, decode_path_segment, encode_path_segment,
    looks_like_error, looks_like_resource_map, looks_like_system_metadata,
};
use sha2::Digest;

use crate::common::{sample, samples};

/// Renders oddities as `code path xoccurrences`.
fn facts(oddities: &[Oddity]) -> Vec<String> {
    oddities.iter().map(|odd| format!("{} {} x{}", odd.code, odd.path, odd.occurrences)).collect()
}

const NO_ZONE: &[&str] =
    &["date-without-zone dateUploaded x1", "date-without-zone dateSysMetadataModified x1"];

/// Path, identifier, whether it is public, oddities.
const SYSTEM_METADATA: &[(&str, &str, bool, &[&str])] = &[
    ("objects/doi_10.18739_A2901ZH2M.sysmeta.xml", "doi:10.18739/A2901ZH2M", true, &[]),
    ("objects/jtao.1700.1.sysmeta.xml", "jtao.1700.1", true, &[]),
    (
        "objects/urn_uuid_1b35d0a5-b17a-423b-a2ed-de2b18dc367a.sysmeta.xml",
        "urn:uuid:1b35d0a5-b17a-423b-a2ed-de2b18dc367a",
        true,
        &[],
    ),
    ("pkg-peggym133/data.1.1.sysmeta.xml", "data.1.1", false, NO_ZONE),
    ("pkg-peggym133/peggym.133.1.resourcemap.sysmeta.xml", "peggym.133.1.resourcemap", false, NO_ZONE),
    ("pkg-peggym133/peggym.133.1.sysmeta.xml", "peggym.133.1", true, NO_ZONE),
    (
        "resource-maps/resourceMap_evanlpettis.57.11.sysmeta.xml",
        "resourceMap_evanlpettis.57.11",
        true,
        &[
            "empty-element replicationPolicy/preferredMemberNode x1",
            "empty-element replicationPolicy/blockedMemberNode x1",
        ],
    ),
    (
        "sysmeta/systemMetadataSampleUnicodeSupplEscaped.xml",
        "common-unicode-supplementary-escaped-𐌔𐌕𐌖𐌗common-unicode-supplementary-escaped-%F0%90%8C%94%F0%90%8C%95%F0%90%8C%96%F0%90%8C%97",
        false,
        &["malformed-checksum checksum x1"],
    ),
    (
        "sysmeta/systemMetadata_v1_0.xml",
        "string",
        false,
        &[
            "unknown-algorithm checksum x1",
            "malformed-checksum checksum x1",
            "date-without-zone dateUploaded x1",
        ],
    ),
    (
        "sysmeta/systemMetadata_v2_0.xml",
        "test_pid",
        false,
        &[
            "algorithm-spelling checksum x1",
            "malformed-checksum checksum x1",
            "date-without-zone dateUploaded x1",
        ],
    ),
    (
        "sysmeta/sysmeta_v2_long_identifiers.xml",
        "very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_very_long_pid_",
        false,
        &["algorithm-spelling checksum x1", "date-without-zone dateUploaded x1"],
    ),
];

/// Path, identifier, number of members, number of relations, oddities.
const RESOURCE_MAPS: &[(&str, &str, usize, usize, &[&str])] = &[
    (
        "pkg-peggym133/peggym.133.1.resourcemap",
        "peggym.133.1.resourcemap",
        2,
        1,
        &["literal-object ore:isAggregatedBy x2", "invalid-date dcterms:modified x1"],
    ),
    (
        "resource-maps/datapack_hcdb-resmap-prov.xml",
        "urn:uuid:1d23e155-3ef5-47c6-9612-027c80855e8d",
        12,
        12,
        &["self-documentation cito:documents x1"],
    ),
    (
        "resource-maps/libclient_python_example_2013_11_5.xml",
        "MAP_PID",
        3,
        2,
        &["one-way-aggregation ore:aggregates x3"],
    ),
    (
        "resource-maps/merritt_literal_aggregates_object.xml",
        "ark:/13030/m50000w1/1/mrt-dataone-map.rdf",
        4,
        3,
        &[
            "literal-object ore:describes x1",
            "literal-object ore:aggregates x4",
            "aggregation-uri ore:describes x1",
            "one-way-aggregation ore:aggregates x4",
        ],
    ),
    (
        "resource-maps/missingIdentifier.xml",
        "test01_file_a",
        2,
        1,
        &["missing-identifier ore:ResourceMap x1", "one-way-aggregation ore:aggregates x2"],
    ),
    (
        "resource-maps/nonCnResolveURIs.xml",
        "28335b70-8d10-49f7-910f-9a84a14703d4",
        2,
        1,
        &[
            "aggregation-uri ore:describes x1",
            "not-resolve-uri ore:ResourceMap x1",
            "one-way-aggregation ore:aggregates x2",
            "not-resolve-uri ore:aggregates x2",
        ],
    ),
    (
        "resource-maps/nonStandardAggregationResourceURI.xml",
        "resource_map_id",
        2,
        1,
        &["aggregation-uri ore:describes x1", "one-way-aggregation ore:aggregates x2"],
    ),
    ("resource-maps/ore_basic_valid_random_order.xml", "ORE_PID_DIDDID", 4, 3, &[]),
    (
        "resource-maps/resourceMap_evanlpettis.57.11",
        "resourceMap_evanlpettis.57.11",
        6,
        5,
        &["literal-object ore:isAggregatedBy x6"],
    ),
    (
        "resource-maps/test_ResMap_DocsOnly_10.xml",
        "MonolithicPackage",
        11,
        10,
        &["literal-object ore:isAggregatedBy x11", "one-way-documentation cito:documents x10"],
    ),
    (
        "resource-maps/test_ResMap_isByOnly_5.xml",
        "MonolithicPackage",
        6,
        5,
        &["literal-object ore:isAggregatedBy x6", "one-way-documentation cito:isDocumentedBy x5"],
    ),
];

/// The other documents, which have their own tests below.
const OTHERS: &[&str] = &[
    "api/error_invalid_request.xml",
    "api/node_v2_0.xml",
    "api/object_list_gmn_valid.xml",
    "formats/objectFormatListV2.xml",
];

/// Files that are not documents of DataONE: data and science metadata.
const OBJECTS: &[&str] = &[
    "objects/doi_10.18739_A2901ZH2M",
    "objects/jtao.1700.1",
    "objects/urn_uuid_1b35d0a5-b17a-423b-a2ed-de2b18dc367a",
    "pkg-peggym133/data.1.1",
    "pkg-peggym133/peggym.133.1",
];

#[test]
fn no_document_is_left_out() {
    let Some(folder) = samples() else { return };
    let mut found = Vec::new();
    for group in ["api", "formats", "objects", "pkg-peggym133", "resource-maps", "sysmeta"] {
        for entry in fs::read_dir(folder.join(group)).unwrap() {
            found.push(format!("{group}/{}", entry.unwrap().file_name().into_string().unwrap()));
        }
    }
    found.sort();
    let mut known: Vec<_> = SYSTEM_METADATA.iter().map(|row| row.0).collect();
    known.extend(RESOURCE_MAPS.iter().map(|row| row.0));
    known.extend(OTHERS.iter().chain(OBJECTS));
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn system_metadata() {
    if samples().is_none() {
        return;
    }
    for (path, identifier, is_public, oddities) in SYSTEM_METADATA {
        let bytes = sample(path);
        assert!(looks_like_system_metadata(&bytes) && !looks_like_resource_map(&bytes), "{path}");
        let parsed = SystemMetadata::parse(&bytes).unwrap();
        assert_eq!(parsed.value.identifier.as_str(), *identifier, "{path}");
        assert_eq!(parsed.value.is_public(), *is_public, "{path}");
        assert_eq!(facts(&parsed.oddities), *oddities, "{path}");
    }
}

#[test]
fn every_field_of_version_2() {
    if samples().is_none() {
        return;
    }
    let value = SystemMetadata::parse(&sample("sysmeta/systemMetadata_v2_0.xml")).unwrap().value;
    assert_eq!((value.serial_version, value.size, value.archived), (Some(11), 11, Some(true)));
    assert_eq!(value.obsoletes.as_ref().map(|name| name.as_str()), Some("test_obsoletes_pid"));
    assert_eq!(value.obsoleted_by.as_ref().map(|name| name.as_str()), Some("test_obsoleted_by"));
    assert_eq!(value.series_id.as_ref().map(|name| name.as_str()), Some("test_series_id"));
    assert_eq!(value.submitter.as_deref(), Some("test_submitter"));
    assert_eq!(value.rights_holder, "test_rights_holder");
    assert_eq!(value.origin_member_node.as_deref(), Some("test_originating_mn"));
    assert_eq!(value.authoritative_member_node.as_deref(), Some("test_authoritative_mn"));
    assert_eq!(value.access_policy.unwrap().rules[1].subjects, ["subj2", "subj3", "subj5", "subj6"]);
    let policy = value.replication_policy.unwrap();
    assert_eq!((policy.replication_allowed, policy.number_replicas), (Some(true), Some(3)));
    assert_eq!(policy.blocked_member_nodes, ["node4", "node5"]);
    assert_eq!(value.replicas.len(), 3);
    assert_eq!(value.replicas[2].verified.instant(), "2015-05-22T01:02:49Z".parse().ok());
    let media_type = value.media_type.unwrap();
    assert_eq!((media_type.name.as_str(), media_type.properties.len()), ("test_media_type", 3));
    assert_eq!(value.file_name.as_deref(), Some("string"));
}

#[test]
fn resource_maps() {
    if samples().is_none() {
        return;
    }
    for (path, identifier, members, relations, oddities) in RESOURCE_MAPS {
        let bytes = sample(path);
        assert!(looks_like_resource_map(&bytes) && !looks_like_system_metadata(&bytes), "{path}");
        let parsed = ResourceMap::parse(&bytes).unwrap();
        let map = &parsed.value;
        assert_eq!(map.identifier().map(|name| name.as_str()), Some(*identifier), "{path}");
        assert_eq!((map.members().len(), map.relations().count()), (*members, *relations), "{path}");
        assert_eq!(facts(&parsed.oddities), *oddities, "{path}");
        assert_eq!(ResourceMap::read(bytes.as_slice()).unwrap(), parsed, "{path}");
    }
}

#[test]
fn literals_count_and_not_uris() {
    if samples().is_none() {
        return;
    }
    let map = ResourceMap::parse(&sample("resource-maps/resourceMap_evanlpettis.57.11")).unwrap().value;
    let members: Vec<_> = map.members().iter().map(|member| member.identifier().as_str()).collect();
    assert_eq!(
        members,
        [
            "evanlpettis.57.11",
            "doi:10.5063/AA/evanlpettis.59.1",
            "doi:10.5063/AA/evanlpettis.60.1",
            "doi:10.5063/AA/evanlpettis.61.1",
            "doi:10.5063/AA/evanlpettis.62.1",
            "doi:10.5063/AA/evanlpettis.65.1",
        ]
    );
    assert_eq!(map.documents(0).count(), 5);
    assert!((1..6).all(|position| map.documented_by(position).eq([&map.members()[0]])));
    assert_eq!((map.title(), map.creator()), (Some("DataONE Aggregation"), Some("Java libclient")));
    assert_eq!(map.modified().unwrap().instant(), "2012-08-15T12:08:34.454Z".parse().ok());
}

#[test]
fn objects_are_told_apart_from_documents() {
    if samples().is_none() {
        return;
    }
    for path in OBJECTS.iter().chain(OTHERS) {
        let bytes = sample(path);
        assert!(!looks_like_system_metadata(&bytes) && !looks_like_resource_map(&bytes), "{path}");
        let kind = SystemMetadata::parse(&bytes).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::WrongDocument | ErrorKind::Malformed), "{path}: {kind:?}");
        assert!(ResourceMap::parse(&bytes).is_err(), "{path}");
    }
}

#[test]
fn checksums_of_system_metadata() {
    if samples().is_none() {
        return;
    }
    for (object, holds) in [
        ("pkg-peggym133/data.1.1", true),
        ("pkg-peggym133/peggym.133.1", true),
        ("pkg-peggym133/peggym.133.1.resourcemap", true),
        ("objects/jtao.1700.1", true),
        ("objects/doi_10.18739_A2901ZH2M", true),
        ("objects/urn_uuid_1b35d0a5-b17a-423b-a2ed-de2b18dc367a", false),
        ("resource-maps/resourceMap_evanlpettis.57.11", true),
    ] {
        let bytes = sample(object);
        let stated = SystemMetadata::parse(&sample(&format!("{object}.sysmeta.xml"))).unwrap().value;
        let digest = match stated.checksum.algorithm() {
            ChecksumAlgorithm::Md5 => md5::Md5::digest(&bytes).to_vec(),
            ChecksumAlgorithm::Sha1 => sha1::Sha1::digest(&bytes).to_vec(),
            ChecksumAlgorithm::Sha256 => sha2::Sha256::digest(&bytes).to_vec(),
            other => panic!("{object}: {other}"),
        };
        assert_eq!(stated.checksum.matches_digest(&digest), holds, "{object}");
        assert_eq!(stated.size == u64::try_from(bytes.len()).unwrap(), holds, "{object}");
    }
    let map = SystemMetadata::parse(&sample("pkg-peggym133/peggym.133.1.resourcemap.sysmeta.xml")).unwrap();
    assert_eq!(map.value.format_id, RESOURCE_MAP_FORMAT_ID);
}

#[test]
fn golden_path_encodings() {
    if samples().is_none() {
        return;
    }
    let table = String::from_utf8(sample("encoding/testUnicodeStrings.utf8.txt")).unwrap();
    let mut compared = 0;
    for line in table.lines().filter(|line| line.starts_with("common-") || line.starts_with("path-")) {
        let (raw, encoded) = line.split_once('\t').unwrap();
        assert_eq!(encode_path_segment(raw), encoded);
        assert_eq!(decode_path_segment(encoded).unwrap(), raw);
        compared += 1;
    }
    assert_eq!(compared, 40);
}

#[test]
fn the_built_in_formats_are_those_of_the_list() {
    if samples().is_none() {
        return;
    }
    let parsed = ObjectFormatList::parse(&sample("formats/objectFormatListV2.xml")).unwrap();
    assert_eq!(facts(&parsed.oddities), [""; 0]);
    assert_eq!(parsed.value, *ObjectFormatList::builtin());
}

#[test]
fn answers_of_nodes() {
    if samples().is_none() {
        return;
    }
    let list = ObjectList::parse(&sample("api/object_list_gmn_valid.xml")).unwrap();
    assert_eq!((list.value.count, list.value.start, list.value.total), (5, 0, 154_933));
    assert_eq!(list.value.objects.len(), 5);
    assert_eq!(list.value.objects[0].size, Some(1772));
    assert_eq!(
        facts(&list.oddities),
        [
            "malformed-checksum objectInfo/checksum x5",
            "date-without-zone objectInfo/dateSysMetadataModified x5"
        ]
    );

    let bytes = sample("api/error_invalid_request.xml");
    assert!(looks_like_error(&bytes));
    let error = ErrorDocument::parse(&bytes).unwrap();
    assert_eq!(facts(&error.oddities), [""; 0]);
    assert_eq!((error.value.name.as_str(), error.value.error_code), ("InvalidRequest", 400));
    assert_eq!(error.value.node_id.as_deref(), Some("urn:node:KNB"));
    assert!(error.value.description.unwrap().starts_with("Requested a non-existing slice."));

    let node = Node::parse(&sample("api/node_v2_0.xml")).unwrap();
    assert_eq!(facts(&node.oddities), [""; 0]);
    assert_eq!(node.value.base_url, "http://www.any.org/ventos/verrantque");
    assert!(node.value.offers("MNRead", "v2") && !node.value.offers("CNRead", "v2"));
    assert_eq!(node.value.max_object_size, Some(11));

    let checksum = Checksum::parse_xml(
        b"<c:checksum xmlns:c='http://ns.dataone.org/service/types/v1' algorithm='SHA-1'>a94a8fe5ccb19ba61c4c0873d391e987982fbbd3</c:checksum>",
    );
    assert!(checksum.unwrap().value.matches_digest(&sha1::Sha1::digest(sample("pkg-peggym133/data.1.1"))));
}
