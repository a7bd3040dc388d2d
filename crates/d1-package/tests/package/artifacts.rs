//! Manifests: of packages, of single files, and what assembling refuses.

use d1_package::annotations::{D1_CHECKSUM, D1_FORMAT_ID, D1_IDENTIFIER};
use d1_package::{
    Configuration, Error, ErrorKind, LayerContent, Layout, ManifestOptions, ObjectFacts, PackageFacts,
    PlanOptions, SingleFile, SingleFileOptions, assemble, bag_artifact_type, plan, single_files_manifest,
};
use oci_model::annotations::{CREATED, DESCRIPTION, TITLE};
use oci_model::{Descriptor, Digest};

use crate::support::{Content, image};

fn object() -> ObjectFacts {
    ObjectFacts {
        identifier: Some("doi:10.18739/A2D795C92".parse().unwrap()),
        format_id: Some("eml://ecoinformatics.org/eml-2.1.1".into()),
        declared_checksum: Some("SHA1:A94A8FE5CCB19BA61C4C0873D391E987982FBBD3".parse().unwrap()),
        ..ObjectFacts::default()
    }
}

fn single(title: &str, object: ObjectFacts) -> SingleFile {
    SingleFile { title: title.to_owned(), media_type: None, digest: Digest::sha256_of(b"a"), size: 1, object }
}

#[test]
fn a_single_object_is_an_artifact_of_its_media_type() {
    let raw = single_files_manifest(&[single("a", object())], &SingleFileOptions::default()).unwrap();
    let manifest = image(&raw);
    assert_eq!(manifest.artifact_type.unwrap().as_str(), "text/xml");
    assert_eq!(manifest.config, Descriptor::empty());
    assert_eq!(manifest.layers[0].annotation(TITLE), Some("a"));
    for annotations in [&manifest.annotations, &manifest.layers[0].annotations] {
        assert_eq!(annotations[D1_IDENTIFIER], "doi:10.18739/A2D795C92");
        assert_eq!(annotations[D1_FORMAT_ID], "eml://ecoinformatics.org/eml-2.1.1");
        assert_eq!(annotations[D1_CHECKSUM], "SHA-1:A94A8FE5CCB19BA61C4C0873D391E987982FBBD3");
    }
}

#[test]
fn files_of_several_types_make_an_artifact_of_no_known_type() {
    let none = ObjectFacts::default;
    let artifact_type = |files: &[SingleFile], options: &SingleFileOptions| {
        image(&single_files_manifest(files, options).unwrap()).artifact_type.unwrap().as_str().to_owned()
    };
    let default = SingleFileOptions::default();
    let csv = [single("a.csv", none()), single("b.csv", none())];
    assert_eq!(artifact_type(&csv, &default), "text/csv");
    let mixed = [single("a.csv", none()), single("b.nc", none())];
    assert_eq!(artifact_type(&mixed, &default), "application/vnd.unknown.artifact.v1");
    let given = SingleFileOptions { artifact_type: Some("text/plain".parse().unwrap()), ..default };
    assert_eq!(artifact_type(&mixed, &given), "text/plain");
}

#[test]
fn a_referrer_names_its_subject() {
    let subject = Descriptor::empty();
    let options = SingleFileOptions {
        artifact_type: Some(d1_package::SYSTEM_METADATA_ARTIFACT_TYPE.parse().unwrap()),
        subject: Some(subject.clone()),
        created: Some("2025-11-07T00:00:00Z".to_owned()),
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        ..SingleFileOptions::default()
    };
    let manifest = image(&single_files_manifest(&[], &options).unwrap());
    assert_eq!(manifest.subject, Some(subject));
    assert_eq!(manifest.annotations.len(), 2);
    assert_eq!(manifest.layers, [Descriptor::empty()]);
}

#[test]
fn two_files_of_one_title_are_refused() {
    let files = [single("a", object()), single("a", object())];
    let error = single_files_manifest(&files, &SingleFileOptions::default()).unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::PathConflict, "a"));
}

#[test]
fn annotations_of_the_user_win_and_a_title_is_a_description() {
    let built = Content::bag([("data/a", b"a".to_vec())]).build(&PlanOptions::new("dir"));
    let mut package = built.package;
    package.facts.title = Some("Moorings".to_owned());
    package.facts.identifier = Some("doi:10.1/x".parse().unwrap());
    let artifact_type = bag_artifact_type("0.97".parse().unwrap());
    assert_eq!(artifact_type.as_str(), "application/bagit-0.97");
    let options = ManifestOptions {
        configuration: Configuration::Empty,
        created: Some("2025-11-07T00:00:00Z".to_owned()),
        annotations: [(D1_IDENTIFIER.to_owned(), "mine".to_owned())].into(),
        ..ManifestOptions::new(artifact_type)
    };
    let manifest = image(&package.manifest(&options).unwrap());
    assert_eq!(manifest.annotations[D1_IDENTIFIER], "mine");
    assert_eq!(manifest.annotations[DESCRIPTION], "Moorings");
    assert_eq!(manifest.annotations[CREATED], "2025-11-07T00:00:00Z");
    assert!(!manifest.annotations.contains_key(TITLE));
    let small = ManifestOptions { max_manifest_bytes: 100, ..options };
    let error = package.manifest(&small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ManifestTooLarge);
    assert!(error.to_string().ends_with("limit of 100"), "{error}");
}

#[test]
fn layers_that_were_not_planned_are_refused() {
    let content = Content::plain([("a", b"a".to_vec()), ("b", b"b".to_vec())]);
    let files = content.package_files();
    let objects = plan(&files, &PlanOptions::new("dir")).unwrap();
    let archive = plan(&files, &PlanOptions { layout: Layout::Archive, ..PlanOptions::new("dir") }).unwrap();
    let facts = PackageFacts::default;
    let fault = |error: Error| (error.kind(), error.subject().to_owned());
    let assembled =
        |plan, files, contents| assemble(plan, files, contents, facts()).map(|_| ()).map_err(fault);
    let object = || LayerContent::Object;
    let wrong = |layer: usize| Err((ErrorKind::NotPlanned, format!("layer {layer}")));
    assert_eq!(assembled(&objects, files.clone(), vec![object()]), wrong(1));
    assert_eq!(assembled(&objects, files.clone(), vec![object(), object(), object()]), wrong(2));
    assert_eq!(assembled(&archive, files, vec![object()]), wrong(0));
    let other =
        Content::plain([("a", b"a".to_vec()), ("b", b"b".to_vec()), ("c", b"c".to_vec())]).package_files();
    let not_planned = Err((ErrorKind::NotPlanned, "c".to_owned()));
    assert_eq!(assembled(&objects, other, vec![object(), object()]), not_planned);
}
