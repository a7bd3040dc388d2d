//! Tests of reading and changing indexes.

mod compact;

use std::sync::Arc;

use oci_model::annotations::REF_NAME;
use oci_model::{Descriptor, Digest, ImageManifest, Manifest, ManifestRef, RawManifest, Tag};
use proptest::prelude::*;

use super::{Added, Additions, EMPTY_INDEX, Edit, Index, RefName, SubjectHint};

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn artifact(note: &str) -> (RawManifest, Manifest) {
    let mut manifest = ImageManifest::new("application/x-test".parse().unwrap(), Descriptor::empty());
    manifest.annotations.insert("note".to_owned(), note.to_owned());
    (RawManifest::from_image(&manifest), Manifest::Image(manifest))
}

/// An entry as other programs write it, named or not.
fn entry(note: &str, name: Option<&str>) -> String {
    let digest = artifact(note).0.digest().clone();
    let annotations =
        name.map(|name| format!(",\"annotations\":{{\"{REF_NAME}\":\"{name}\"}}")).unwrap_or_default();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    format!("{{\"mediaType\":\"{kind}\",\"size\": 1,\"digest\":\"{digest}\"{annotations}, \"x\" : [1.50]}}")
}

fn index_of(entries: &[String]) -> Index {
    Index::parse(format!("{{ \"manifests\" : [{}],\n \"schemaVersion\":2 }}\n", entries.join(" , "))).unwrap()
}

fn names(index: &Index) -> Vec<(Digest, RefName)> {
    index.entries().map(|(_, entry)| (entry.digest, entry.name)).collect()
}

fn named(name: &str) -> RefName {
    RefName::Tag(tag(name))
}

fn edited(index: &Index, edit: &Edit) -> Index {
    Index::parse(index.pieces(edit).collect()).unwrap()
}

fn digest(note: &str) -> Digest {
    artifact(note).0.digest().clone()
}

fn place(index: &Index, name: Option<&str>, note: &str) -> Option<Index> {
    let (placed, added) = place_all(index, &[(name, note)]);
    (added == [Added::Yes]).then_some(placed)
}

/// Adds manifests in one step.
fn place_all(index: &Index, named: &[(Option<&str>, &str)]) -> (Index, Vec<Added>) {
    let mut additions = Additions::to(index);
    let add = |(name, note): &(Option<&str>, &str)| {
        let (raw, manifest) = artifact(note);
        additions.add(name.map(tag).as_ref(), &raw, &manifest).unwrap()
    };
    let added = named.iter().map(add).collect();
    (edited(index, &additions.edit().unwrap()), added)
}

#[test]
fn what_is_added_together_is_what_is_added_one_by_one() {
    let before = place(&place(&Index::empty(), Some("v1"), "a").unwrap(), None, "b").unwrap();
    let named = [(Some("v1"), "c"), (Some("v2"), "b"), (None, "d"), (Some("v3"), "e")];
    let (together, added) = place_all(&before, &named);
    assert_eq!(added, [Added::Yes; 4]);
    let one_by_one = named.iter().fold(before, |index, (name, note)| place(&index, *name, note).unwrap());
    assert_eq!(together.text(), one_by_one.text());
}

#[test]
fn what_depends_on_another_addition_comes_later() {
    let one = place(&Index::empty(), Some("v1"), "a").unwrap();
    let index = place(&one, Some("v2"), "a").unwrap();
    // Both tags leave the manifest, which has to stay listed.
    let (moved, added) = place_all(&index, &[(Some("v1"), "b"), (Some("v2"), "c")]);
    assert_eq!(added, [Added::Yes, Added::Later]);
    let moved = place(&moved, Some("v2"), "c").unwrap();
    assert!(names(&moved).contains(&(digest("a"), RefName::None)), "{}", moved.text());
    for (second, expected) in [
        ((Some("new"), "c"), Added::Later),
        ((Some("other"), "b"), Added::Later),
        ((None, "b"), Added::Later),
        ((Some("v2"), "a"), Added::Before),
        ((Some("v2"), "c"), Added::Yes),
    ] {
        let (_, added) = place_all(&index, &[(Some("new"), "b"), second]);
        assert_eq!(added, [Added::Yes, expected], "{second:?}");
    }
}

#[test]
fn a_new_manifest_is_listed_with_its_type_and_annotations() {
    let index = place(&Index::empty(), Some("v1"), "a").unwrap();
    let expected = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[\
         {{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{}\",\"size\":{},\
         \"annotations\":{{\"note\":\"a\",\"org.dataone.subject\":\"none\",\"{REF_NAME}\":\"v1\"}},\
         \"artifactType\":\"application/x-test\"}}]}}",
        digest("a"),
        artifact("a").0.bytes().len(),
    );
    assert_eq!(index.text(), expected);
    let descriptor = index.descriptor(&ManifestRef::Tag(tag("v1"))).unwrap();
    assert_eq!(descriptor.annotations.keys().collect::<Vec<_>>(), ["note"]);
}

#[test]
fn the_same_again_changes_nothing() {
    let index = place(&Index::empty(), Some("v1"), "a").unwrap();
    assert!(place(&index, Some("v1"), "a").is_none());
    assert!(place(&index, None, "a").is_none());
    let foreign = index_of(&[entry("a", Some("v1")), entry("a", Some("v2")), entry("b", None)]);
    assert!(place(&foreign, Some("v2"), "a").is_none());
    assert!(place(&foreign, None, "b").is_none());
}

#[test]
fn a_tag_that_moves_leaves_the_old_manifest_untagged() {
    let index = index_of(&[entry("a", Some("v1")), entry("b", Some("v2"))]);
    let moved = place(&index, Some("v1"), "c").unwrap();
    let expected = [(digest("a"), RefName::None), (digest("b"), named("v2")), (digest("c"), named("v1"))];
    assert_eq!(names(&moved), expected);
}

#[test]
fn a_tag_that_moves_leaves_no_second_entry_for_a_manifest_listed_otherwise() {
    let index = index_of(&[entry("a", Some("v1")), entry("a", Some("v2"))]);
    let moved = place(&index, Some("v1"), "b").unwrap();
    assert_eq!(names(&moved), [(digest("a"), named("v2")), (digest("b"), named("v1"))]);
}

#[test]
fn an_untagged_entry_takes_the_tag_and_keeps_what_else_it_says() {
    let index = index_of(&[entry("a", None)]);
    let tagged = place(&index, Some("v1"), "a").unwrap();
    assert_eq!(names(&tagged), [(digest("a"), named("v1"))]);
    assert!(tagged.text().contains("\"x\":[1.50]"), "{}", tagged.text());
}

#[test]
fn of_several_entries_with_one_tag_the_last_counts() {
    let index = index_of(&[entry("a", Some("v1")), entry("b", Some("v1"))]);
    assert_eq!(index.find(&ManifestRef::Tag(tag("v1"))).unwrap().digest, digest("b"));
    assert_eq!(index.tags(), [tag("v1")]);
    let back = place(&index, Some("v1"), "a").unwrap();
    assert_eq!(names(&back), [(digest("b"), RefName::None), (digest("a"), named("v1"))]);
}

#[test]
fn a_deleted_tag_leaves_the_manifest_listed() {
    let index = index_of(&[entry("a", Some("v1")), entry("b", Some("v1")), entry("b", Some("v1"))]);
    let without = edited(&index, &index.without_tag(&tag("v1")).unwrap().unwrap());
    assert_eq!(names(&without), [(digest("a"), RefName::None), (digest("b"), RefName::None)]);
    assert!(!without.text().contains("annotations"), "{}", without.text());
    assert!(without.without_tag(&tag("v1")).unwrap().is_none());
}

#[test]
fn names_that_are_no_tags_are_kept_and_not_listed() {
    let odd = ["docker.io/library/x:v1", "a/b", "a:b", ""];
    let index = index_of(&odd.map(|name| entry(name, Some(name))));
    assert!(index.tags().is_empty());
    let with = place(&index, Some("v1"), "new").unwrap();
    for name in odd {
        assert!(with.text().contains(&entry(name, Some(name))), "{name}");
    }
}

#[test]
fn everything_that_is_not_changed_stays_byte_for_byte() {
    let odd = "{\"mediaType\":\"no type\"}";
    let before = format!(
        "{{ \"z\":{{\"b\":1,\"a\":2.0}},\"manifests\" :\n[ {odd} ,{}], \"y\":null }}\n",
        entry("a", None)
    );
    let index = Index::parse(before.clone()).unwrap();
    let after = place(&index, Some("v1"), "b").unwrap();
    let (head, tail) = after.text().split_at(before.find('[').unwrap());
    assert!(before.starts_with(head));
    assert!(tail.starts_with(&format!("[{odd},{},{{", entry("a", None))), "{tail}");
    assert!(tail.ends_with("}], \"y\":null }\n"), "{tail}");
}

#[test]
fn a_list_that_is_missing_or_null_is_put_in() {
    for (before, after) in [
        ("{}", "{\"manifests\":["),
        ("{\"schemaVersion\":2}", "{\"schemaVersion\":2,\"manifests\":["),
        ("{\"manifests\": null ,\"x\":1} ", "{\"manifests\": ["),
    ] {
        let index = Index::parse(before.to_owned()).unwrap();
        let with = place(&index, Some("v1"), "a").unwrap();
        assert!(with.text().starts_with(after), "{}", with.text());
        assert_eq!(with.tags(), [tag("v1")]);
    }
}

#[test]
fn what_is_no_index_is_refused() {
    for text in [
        "",
        "[]",
        "[2,[]]",
        "null",
        "{\"manifests\":{}}",
        "{\"manifests\":[}",
        "{\"schemaVersion\":1}",
        "{\"schemaVersion\":\"2\"}",
        "{\"manifests\":[],\"manifests\":[]}",
        "{\"schemaVersion\":2,\"manifests\":[]",
        "{} {}",
    ] {
        assert!(Index::parse(text.to_owned()).is_err(), "{text}");
    }
}

#[test]
fn entries_that_are_no_descriptors_are_passed_over() {
    let odd = [
        "1",
        "null",
        "[\"text/csv\",\"sha256:00\",1]",
        "{}",
        "{\"mediaType\":\"text/csv\",\"digest\":\"sha256:../../x\",\"size\":1}",
        "{\"mediaType\":\"text/csv\",\"digest\":\"blake9:00\",\"size\":-1}",
    ];
    let index = index_of(&odd.map(str::to_owned));
    assert_eq!(index.entries().count(), 0);
    assert_eq!(index.first_unreadable(), Some(1));
    assert_eq!(place(&index, Some("v1"), "a").unwrap().tags(), [tag("v1")]);
}

#[test]
fn a_hint_at_the_subject_is_read_back() {
    let subject = artifact("subject").0.descriptor();
    let Manifest::Image(mut manifest) = artifact("a").1 else { unreachable!() };
    manifest.subject = Some(subject.clone());
    // A manifest cannot give itself a tag or another subject.
    manifest.annotations.insert(REF_NAME.to_owned(), "evil".to_owned());
    manifest.annotations.insert(super::SUBJECT_HINT.to_owned(), "none".to_owned());
    let raw = RawManifest::from_image(&manifest);
    let empty = Index::empty();
    let mut additions = Additions::to(&empty);
    assert_eq!(additions.add(None, &raw, &Manifest::Image(manifest)).unwrap(), Added::Yes);
    let index = edited(&empty, &additions.edit().unwrap());
    let (_, entry) = index.entries().next().unwrap();
    assert_eq!(entry.subject, SubjectHint::Subject(subject.digest));
    assert_eq!(entry.name, RefName::None);
}

#[test]
fn large_annotations_are_left_to_the_manifest() {
    let index = place(&Index::empty(), Some("v1"), &"x".repeat(100_000)).unwrap();
    assert!(index.text().len() < 1000);
    assert_eq!(index.tags(), [tag("v1")]);
}

#[test]
fn an_index_that_would_be_too_large_is_not_written() {
    let filler = "x".repeat(usize::try_from(super::INDEX_LIMIT).unwrap());
    let index = Index::parse(format!("{{\"filler\":\"{filler}\"}}")).unwrap();
    let (raw, manifest) = artifact("a");
    let mut additions = Additions::to(&index);
    assert_eq!(additions.add(None, &raw, &manifest).unwrap(), Added::Yes);
    assert!(additions.edit().is_err());
}

fn hostile_entry() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just(None), "[a-c]".prop_map(Some), "\\PC{0,6}".prop_map(Some)];
    let value = prop_oneof![
        Just("1".to_owned()),
        Just("null".to_owned()),
        "\\PC{0,8}".prop_map(|text| format!("{text:?}"))
    ];
    prop_oneof![
        8 => ("[a-d]", name).prop_map(|(note, name)| {
            let quoted = name.map(|name| serde_json::Value::from(name).to_string());
            entry(&note, quoted.as_deref().map(|text| text.trim_matches('"')))
        }),
        1 => value.clone(),
        1 => value.prop_map(|value| format!("{{\"mediaType\":{value},\"digest\":{value},\"size\":{value},\"annotations\":{value}}}")),
    ]
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,200}|[\\[\\]{}\":,0-9a-z]{0,60}") {
        let _ = Index::parse(text);
    }

    #[test]
    fn changes_do_what_they_say_whatever_is_listed(
        entries in proptest::collection::vec(hostile_entry(), 0..8),
        name in proptest::option::of("[a-c]"),
        note in "[a-e]",
    ) {
        let text = format!("{{\"schemaVersion\":2,\"manifests\":[{}],\"other\":1}}", entries.join(","));
        let Ok(index) = Index::parse(text) else { return Ok(()) };
        let before = names(&index);
        let changed = place(&index, name.as_deref(), &note);
        let after = changed.as_ref().unwrap_or(&index);
        // The manifest is listed, under its tag; no manifest is lost, and no other tag has changed.
        prop_assert!(after.find(&ManifestRef::Digest(digest(&note))).is_some());
        if let Some(name) = &name {
            prop_assert_eq!(after.find(&ManifestRef::Tag(tag(name))).unwrap().digest, digest(&note));
        }
        for (listed, named) in &before {
            prop_assert!(after.find(&ManifestRef::Digest(listed.clone())).is_some());
            if let RefName::Tag(other) = named && Some(other.as_str()) != name.as_deref() {
                let at = ManifestRef::Tag(other.clone());
                prop_assert_eq!(after.find(&at).map(|found| found.digest), index.find(&at).map(|found| found.digest));
            }
        }
        let tail_is_kept = after.text().ends_with("],\"other\":1}");
        prop_assert!(tail_is_kept);
        prop_assert!(place(after, name.as_deref(), &note).is_none());
        if let Some(name) = &name {
            let without = edited(after, &after.without_tag(&tag(name)).unwrap().unwrap());
            prop_assert!(without.find(&ManifestRef::Tag(tag(name))).is_none());
            prop_assert!(without.find(&ManifestRef::Digest(digest(&note))).is_some());
        }
        let gone = edited(after, &after.without([&digest(&note)]).unwrap().unwrap());
        prop_assert!(gone.find(&ManifestRef::Digest(digest(&note))).is_none());
    }
}

#[test]
fn the_buffer_of_an_index_that_nobody_else_uses_is_reused() {
    let index = Arc::new(Index::empty());
    assert_eq!(Arc::clone(&index).into_buffer().capacity(), 0);
    let buffer = index.into_buffer();
    assert!(buffer.is_empty() && buffer.capacity() >= EMPTY_INDEX.len());
}

#[test]
fn the_empty_index_lists_nothing() {
    let index = Index::parse(EMPTY_INDEX.to_owned()).unwrap();
    assert_eq!((index.entries().count(), index.tags().len()), (0, 0));
}

#[test]
fn only_own_entries_describe_their_manifests() {
    let index = place(&index_of(&[entry("foreign", Some("v1"))]), Some("v2"), "own").unwrap();
    let described = |(entry, position): (registry_backend::TagEntry, usize)| {
        let note = index.described(position).map(|descriptor| descriptor.annotations["note"].clone());
        (entry.tag.as_str().to_owned(), note)
    };
    let found: Vec<_> = index.tagged_positions().into_iter().map(described).collect();
    assert_eq!(found, [("v1".to_owned(), None), ("v2".to_owned(), Some("own".to_owned()))]);
}
