//! An index that keeps places of its text answers as one that keeps what it read.

use oci_model::annotations::REF_NAME;
use oci_model::{Digest, ManifestRef, MediaType, Tag};
use proptest::prelude::*;
use serde_json::Value;

use super::super::entry::SUBJECT_HINT;
use super::super::{Index, Name, SubjectHint};

/// What an entry says, copied.
#[derive(Debug, PartialEq)]
struct Copied {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    name: Name<String>,
    subject: SubjectHint<String>,
}

/// Reads an entry as plainly as can be.
fn plainly(text: &str) -> Option<Copied> {
    let Value::Object(fields) = serde_json::from_str(text).unwrap() else { return None };
    let annotation = |key| match fields.get("annotations") {
        Some(Value::Object(annotations)) => annotations.get(key).and_then(Value::as_str),
        _ => None,
    };
    if !matches!(fields.get("annotations"), None | Some(Value::Null | Value::Object(_) | Value::Array(_))) {
        return None;
    }
    Some(Copied {
        media_type: fields.get("mediaType")?.as_str()?.parse().ok()?,
        digest: fields.get("digest")?.as_str()?.parse().ok()?,
        size: fields.get("size")?.as_u64()?,
        name: match annotation(REF_NAME).map(|name| (name, name.parse::<Tag>())) {
            None => Name::None,
            Some((name, Ok(_))) => Name::Tag(name.to_owned()),
            Some(_) => Name::Other,
        },
        subject: match annotation(SUBJECT_HINT).map(|hint| (hint, hint.parse::<Digest>())) {
            Some(("none", _)) => SubjectHint::None,
            Some((hint, Ok(_))) => SubjectHint::Subject(hint.to_owned()),
            _ => SubjectHint::Unknown,
        },
    })
}

fn copied(index: &Index) -> Vec<(usize, Copied)> {
    let copy = |(position, listed): (usize, super::super::Listed<'_>)| {
        let name = match listed.name {
            Name::None => Name::None,
            Name::Tag(tag) => Name::Tag(tag.to_owned()),
            Name::Other => Name::Other,
        };
        let subject = match listed.subject {
            SubjectHint::Unknown => SubjectHint::Unknown,
            SubjectHint::None => SubjectHint::None,
            SubjectHint::Subject(subject) => SubjectHint::Subject(subject.to_owned()),
        };
        let descriptor = listed.descriptor();
        assert_eq!(listed.is_index(), descriptor.media_type.is_index());
        let (media_type, digest, size) = (descriptor.media_type, descriptor.digest, descriptor.size);
        (position, Copied { media_type, digest, size, name, subject })
    };
    index.listed().map(copy).collect()
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
    fn what_is_found_is_what_a_plain_reading_finds(
        entries in prop::collection::vec(entry(), 0..12),
        space in "[ \n]{0,2}",
    ) {
        let index = Index::parse(format!("{{\"é\":1,\"manifests\":[{}]}}", entries.join(&format!("{space},")))).unwrap();
        let plain: Vec<_> = entries.iter().enumerate()
            .filter_map(|(position, text)| Some((position, plainly(text)?))).collect();
        prop_assert_eq!(&copied(&index), &plain);
        prop_assert_eq!(index.len(), entries.len());
        let unreadable = (0..entries.len()).find(|place| plain.iter().all(|(position, _)| position != place));
        prop_assert_eq!(index.first_unreadable(), unreadable.map(|place| place + 1));

        let named = |tag: &str| plain.iter().rfind(|(_, entry)| entry.name == Name::Tag(tag.to_owned()));
        for tag in ["v1", "v2", "v3", "v4"] {
            let found = index.find(&ManifestRef::Tag(tag.parse().unwrap())).map(|listed| listed.digest());
            prop_assert_eq!(found.as_ref(), named(tag).map(|(_, entry)| &entry.digest));
        }
        let tags: Vec<_> = plain.iter().filter_map(|(position, entry)| match &entry.name {
            Name::Tag(tag) => (named(tag)?.0 == *position).then(|| tag.parse::<Tag>().unwrap()),
            _ => None,
        }).collect();
        prop_assert_eq!(index.tags(), tags);

        for letter in ['a', 'b', 'c', 'd'] {
            let digest: Digest = digest(letter).parse().unwrap();
            let found = index.find(&digest.clone().into()).map(|listed| (listed.size, listed.name));
            let expected = plain.iter().find(|(_, entry)| entry.digest == digest).map(|(_, entry)| entry);
            prop_assert_eq!(found.map(|(size, _)| size), expected.map(|entry| entry.size));
            let referring: Vec<_> = index.referring(&digest).map(|(position, _)| position).collect();
            let hint = SubjectHint::Subject(digest.to_string());
            let expected: Vec<_> = plain.iter().filter(|(_, entry)| entry.subject == hint).map(|(position, _)| *position).collect();
            prop_assert_eq!(referring, expected);
        }
    }
}
