//! Arbitrary values of the model, within what the schemas allow.

use d1_model::{
    AccessPolicy, AccessRule, Checksum, ChecksumAlgorithm, DateTime, Identifier, MediaType, Permission,
    Replica, ReplicationPolicy, ReplicationStatus, SchemaVersion, SystemMetadata,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// Text that is not blank, without whitespace around it, with every character that XML treats specially.
pub(crate) fn text() -> impl Strategy<Value = String> {
    "[&<>\"'\\]a-zéฉ𐌔][&<>\"'\\]\\t\\n\\r a-zéฉ𐌔]{0,12}[&<>\"'\\]a-zéฉ𐌔]|[a-z]"
}

/// Text that may have whitespace around it.
fn free_text() -> impl Strategy<Value = String> {
    "[&<>\"'\\]\\t\\n\\r a-zéฉ𐌔]{1,12}"
}

pub(crate) fn identifier() -> impl Strategy<Value = Identifier> {
    "[!-~é𐌔]{1,30}|doi:10\\.[0-9]{4}/[A-Z0-9]{1,9}|urn:uuid:[0-9a-f]{8}"
        .prop_map(|text| text.parse().unwrap())
}

fn checksum() -> impl Strategy<Value = Checksum> {
    prop_oneof![
        "[0-9a-f]{32}".prop_map(|value| Checksum::new(ChecksumAlgorithm::Md5, value)),
        "[0-9A-F]{40}".prop_map(|value| Checksum::new(ChecksumAlgorithm::Sha1, value)),
        "[0-9a-f]{64}".prop_map(|value| Checksum::new(ChecksumAlgorithm::Sha256, value)),
        ("[A-Z][a-z]{3,8}-[0-9]", "[0-9a-f]{8}")
            .prop_map(|(name, value)| Checksum::new(ChecksumAlgorithm::from_name(&name), value)),
    ]
}

pub(crate) fn date() -> impl Strategy<Value = DateTime> {
    prop_oneof![
        (0_i64..4_000_000_000_000).prop_map(|milliseconds| DateTime::from(
            jiff::Timestamp::from_millisecond(milliseconds).unwrap()
        )),
        "20[0-2][0-9]-0[1-9]-1[0-9]T0[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]0[0-9]:00)?"
            .prop_map(DateTime::from_text),
    ]
}

fn access_policy() -> impl Strategy<Value = AccessPolicy> {
    let subject = prop_oneof![Just("public".to_owned()), text()];
    let permission =
        prop_oneof![Just(Permission::Read), Just(Permission::Write), Just(Permission::ChangePermission)];
    let rule = (vec(subject, 1..4), vec(permission, 1..4))
        .prop_map(|(subjects, permissions)| AccessRule { subjects, permissions });
    vec(rule, 1..4).prop_map(|rules| AccessPolicy { rules })
}

fn replication_policy() -> impl Strategy<Value = ReplicationPolicy> {
    (option::of(any::<bool>()), option::of(any::<i32>()), vec(text(), 0..3), vec(text(), 0..3)).prop_map(
        |(replication_allowed, number_replicas, preferred_member_nodes, blocked_member_nodes)| {
            ReplicationPolicy {
                replication_allowed,
                number_replicas,
                preferred_member_nodes,
                blocked_member_nodes,
            }
        },
    )
}

fn replica() -> impl Strategy<Value = Replica> {
    let status = prop_oneof![
        Just(ReplicationStatus::Queued),
        Just(ReplicationStatus::Requested),
        Just(ReplicationStatus::Completed),
        Just(ReplicationStatus::Failed),
        Just(ReplicationStatus::Invalidated),
    ];
    (text(), status, date()).prop_map(|(member_node, status, verified)| Replica {
        member_node,
        status,
        verified,
    })
}

fn media_type() -> impl Strategy<Value = MediaType> {
    let property = (text(), free_text());
    (text(), vec(property, 0..3)).prop_map(|(name, properties)| MediaType { name, properties })
}

/// System metadata of either version, with any fields filled.
pub(crate) fn system_metadata() -> impl Strategy<Value = SystemMetadata> {
    let object = (identifier(), text(), any::<u64>(), checksum(), text());
    let policies = (
        option::of(any::<u64>()),
        option::of(text()),
        option::of(access_policy()),
        option::of(replication_policy()),
    );
    let history = (
        option::of(identifier()),
        option::of(identifier()),
        option::of(any::<bool>()),
        option::of(date()),
        option::of(date()),
    );
    let places = (option::of(text()), option::of(text()), vec(replica(), 0..3));
    let version_2 = option::of((option::of(identifier()), option::of(media_type()), option::of(file_name())));
    (object, policies, history, places, version_2).prop_map(
        |(object, policies, history, places, version_2)| {
            let (identifier, format_id, size, checksum, rights_holder) = object;
            let mut value = SystemMetadata::new(identifier, format_id, size, checksum, rights_holder);
            (value.serial_version, value.submitter, value.access_policy, value.replication_policy) = policies;
            (value.obsoletes, value.obsoleted_by, value.archived, value.date_uploaded, value.date_modified) =
                history;
            (value.origin_member_node, value.authoritative_member_node, value.replicas) = places;
            match version_2 {
                Some(fields) => (value.series_id, value.media_type, value.file_name) = fields,
                None => value.schema_version = SchemaVersion::V1,
            }
            value
        },
    )
}

fn file_name() -> impl Strategy<Value = String> {
    free_text().prop_filter("a file name is not blank", |name| !name.trim().is_empty())
}
