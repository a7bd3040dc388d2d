//! An index that keeps places of its text answers like one that keeps parsed entries.

use oci_model::annotations::REF_NAME;
use oci_model::{Digest, ManifestRef, MediaType};
use proptest::prelude::*;
use serde_json::Value;

use super::super::{Entry, Index, RefName, SUBJECT_HINT, SubjectHint};

/// The fields of an entry.
type Fields = (MediaType, Digest, u64, RefName, SubjectHint);

/// Parses an entry in the plainest way.
fn plainly(text: &str) -> Option<Fields> {
    let Value::Object(fields) = serde_json::from_str(text).unwrap() else { return None };
    let annotation = |key| match fields.get("annotations") {
        Some(Value::Object(annotations)) => annotations.get(key).and_then(Value::as_str),
        _ => None,
    };
    if !matches!(fields.get("annotations"), None | Some(Value::Null | Value::Object(_) | Value::Array(_))) {
        return None;
    }
    let name = match annotation(REF_NAME).map(|name| (name, name.parse())) {
        None => RefName::None,
        Some((_, Ok(tag))) => RefName::Tag(tag),
        Some((name, Err(_))) => RefName::Other(name.to_owned()),
    };
    let subject = match annotation(SUBJECT_HINT).map(|hint| (hint, hint.parse())) {
        Some(("none", _)) => SubjectHint::None,
        Some((_, Ok(digest))) => SubjectHint::Subject(digest),
        _ => SubjectHint::Unknown,
    };
    Some((
        MediaType::received(fields.get("mediaType")?.as_str()?),
        fields.get("digest")?.as_str()?.parse().ok()?,
        fields.get("size")?.as_u64()?,
        name,
        subject,
    ))
}

fn fields(entry: Entry<'_>) -> Fields {
    (entry.media_type, entry.digest, entry.size, entry.name, entry.subject)
}

/// A text in JSON, as one writer or another has it: with all characters escaped, with some, with none.
fn quoted(text: &str, style: u8) -> String {
    let escaped = |(number, character): (usize, char)| match style {
        0 => character.to_string(),
        1 if character == '/' => "\\/".to_owned(),
        2 if number % 5 == 1 => format!("\\u{:04x}", u32::from(character)),
        3 => format!("\\u{:04X}", u32::from(character)),
        _ => character.to_string(),
    };
    format!("\"{}\"", text.chars().enumerate().map(escaped).collect::<String>())
}

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

/// Any value, most of them texts that mean something somewhere.
fn value() -> impl Strategy<Value = String> {
    let texts = prop_oneof![
        6 => prop::sample::select(vec!['a', 'b', 'c']).prop_map(digest),
        4 => "v[1-3]",
        1 => Just("none".to_owned()),
        1 => Just("docker.io/x:v1".to_owned()),
        2 => prop::sample::select(vec![MediaType::IMAGE_MANIFEST, MediaType::IMAGE_INDEX, "text/csv"]).prop_map(str::to_owned),
    ];
    prop_oneof![
        9 => (texts, 0..4u8).prop_map(|(text, style)| quoted(&text, style)),
        1 => prop::sample::select(vec!["1", "-1", "null", "true", "[]", "{}", "[\"v1\"]", "1.5"]).prop_map(str::to_owned),
    ]
}

fn styled(texts: Vec<String>) -> impl Strategy<Value = String> {
    (prop::sample::select(texts), 0..4u8).prop_map(|(text, style)| quoted(&text, style))
}

fn entry() -> impl Strategy<Value = String> {
    let types =
        vec![MediaType::IMAGE_MANIFEST.to_owned(), MediaType::IMAGE_INDEX.to_owned(), "text/csv".to_owned()];
    let digests = || styled(['a', 'b', 'c'].map(digest).to_vec());
    let names = styled(["v1", "v2", "v3", "x:v1", ""].map(str::to_owned).to_vec());
    let annotations = (
        prop::option::of(prop_oneof![9 => names, 1 => value()]),
        prop::option::of(prop_oneof![3 => digests(), 1 => value()]),
    )
        .prop_map(|(name, hint)| {
            let name = name.map(|name| format!("\"{REF_NAME}\" :{name}"));
            let hint = hint.map(|hint| format!("\"{SUBJECT_HINT}\": {hint}"));
            format!("{{{}}}", name.into_iter().chain(hint).collect::<Vec<_>>().join(" ,"))
        });
    let described = (
        styled(types),
        digests(),
        0..9u8,
        prop::option::of(prop_oneof![9 => annotations, 1 => value()]),
    )
        .prop_map(|(media_type, digest, size, annotations)| {
            let annotations = annotations.map(|text| format!(",\"annotations\": {text}")).unwrap_or_default();
            format!(
                "{{\"size\":{size} ,\"mediaType\": {media_type},\"x\":[1],\"digest\" :{digest}{annotations}}}"
            )
        });
    let odd = (value(), value(), value()).prop_map(|(media_type, digest, size)| {
        format!("{{\"mediaType\":{media_type},\"digest\":{digest},\"size\":{size}}}")
    });
    prop_oneof![8 => described, 1 => odd, 1 => value()]
}

proptest! {
    #[test]
    fn lookups_find_what_a_plain_reading_finds(
        entries in prop::collection::vec(entry(), 0..12),
        space in "[ \n]{0,2}",
    ) {
        let index = Index::parse(format!("{{\"é\":1,\"manifests\":[{}]}}", entries.join(&format!("{space},")))).unwrap();
        let plain: Vec<_> = entries.iter().enumerate()
            .filter_map(|(position, text)| Some((position, plainly(text)?))).collect();
        let found: Vec<_> = index.entries().map(|(position, entry)| (position, fields(entry))).collect();
        prop_assert_eq!(&found, &plain);
        let indexes: Vec<_> = index.indexes().map(|(position, _)| position).collect();
        let plain_indexes = plain.iter().filter(|(_, entry)| entry.0.is_index()).map(|(position, _)| *position);
        prop_assert_eq!(indexes, plain_indexes.collect::<Vec<_>>());
        prop_assert_eq!(index.len(), entries.len());
        let unreadable = (0..entries.len()).find(|place| plain.iter().all(|(position, _)| position != place));
        prop_assert_eq!(index.first_unreadable(), unreadable.map(|place| place + 1));

        let named = |tag: &str| plain.iter().rfind(|(_, entry)| entry.3 == RefName::Tag(tag.parse().unwrap()));
        for tag in ["v1", "v2", "v3", "v4"] {
            let found = index.find(&ManifestRef::Tag(tag.parse().unwrap())).map(|entry| entry.digest);
            prop_assert_eq!(found.as_ref(), named(tag).map(|(_, entry)| &entry.1));
        }
        let tags: Vec<_> = plain.iter().filter_map(|(position, entry)| match &entry.3 {
            RefName::Tag(tag) => (named(tag.as_str())?.0 == *position).then(|| tag.clone()),
            _ => None,
        }).collect();
        prop_assert_eq!(index.tags(), tags);

        for letter in ['a', 'b', 'c', 'd'] {
            let digest: Digest = digest(letter).parse().unwrap();
            let found = index.find(&digest.clone().into()).map(fields);
            let expected = plain.iter().find(|(_, entry)| entry.1 == digest).map(|(_, entry)| entry);
            prop_assert_eq!(found.as_ref(), expected);
            let referring: Vec<_> = index.referring(&digest).map(|(position, _)| position).collect();
            let hint = SubjectHint::Subject(digest);
            let expected: Vec<_> = plain.iter().filter(|(_, entry)| entry.4 == hint).map(|(position, _)| *position).collect();
            prop_assert_eq!(referring, expected);
        }
    }
}
