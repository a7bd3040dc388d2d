//! The golden vectors: one bag, and the exact index and manifest of each of its forms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bagit::{Algorithm, AlgorithmSet};
use boon::{Compiler, Schemas};
use d1_model::Identifier;
use d1_package::{
    Configuration, FormFacts, Layout, ManifestOptions, ObjectFacts, PackageFacts, PackageIndex, PlanLimits,
    PlanOptions, bag_artifact_type,
};
use oci_model::{Annotations, Digest, RawManifest};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Built, Content, image};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    directory: String,
    identifier: Identifier,
    resource_map: Identifier,
    files: BTreeMap<String, TextInput>,
    empty_directories: Vec<String>,
    checksums: Vec<String>,
    objects: BTreeMap<String, ObjectInput>,
    annotations: Annotations,
    packages: BTreeMap<String, PackageInput>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextInput {
    Once(String),
    Repeated { repeat: String, times: usize },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectInput {
    identifier: Identifier,
    format_id: Box<str>,
    declared_checksum: String,
    system_metadata: Box<str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PackageInput {
    layout: String,
    max_blob_bytes: Option<u64>,
}

impl TextInput {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Once(text) => text.as_bytes().to_vec(),
            Self::Repeated { repeat, times } => repeat.repeat(*times).into_bytes(),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn input() -> Input {
    serde_json::from_slice(&std::fs::read(folder().join("input.json")).unwrap()).unwrap()
}

fn build(input: &Input, form: &PackageInput) -> (Built, RawManifest) {
    let files = input.files.iter().map(|(path, text)| (path.clone(), text.bytes()));
    let mut content = Content { is_bag: true, ..Content::plain(files) };
    content.empty_directories.clone_from(&input.empty_directories);
    let plain = content.package_files();
    let objects = input.objects.iter().map(|(path, object)| {
        let facts = ObjectFacts {
            identifier: Some(object.identifier.clone()),
            format_id: Some(object.format_id.clone()),
            declared_checksum: Some(object.declared_checksum.parse().unwrap()),
            system_metadata: Some(object.system_metadata.clone()),
            ..ObjectFacts::default()
        };
        (plain.position(path).unwrap(), facts)
    });
    content.facts = Some(FormFacts {
        package: PackageFacts {
            identifier: Some(input.identifier.clone()),
            resource_map: Some(input.resource_map.clone()),
            ..PackageFacts::default()
        },
        objects: objects.collect(),
        ..FormFacts::default()
    });
    let algorithms: AlgorithmSet =
        input.checksums.iter().map(|name| name.parse::<Algorithm>().unwrap()).collect();
    let options = PlanOptions {
        layout: form.layout.parse::<Layout>().unwrap(),
        limits: PlanLimits { max_blob_bytes: form.max_blob_bytes, ..PlanLimits::default() },
        ..PlanOptions::new(input.directory.clone())
    };
    let files = content.package_files_hashed_by(|_| algorithms);
    let built = content.build_from(files, &options, Configuration::Index);
    let artifact_type = bag_artifact_type(built.package.index.bag().unwrap().version);
    let annotations = input.annotations.clone();
    let options = ManifestOptions { annotations, ..ManifestOptions::new(artifact_type) };
    let manifest = built.package.manifest(&options).unwrap();
    (built, manifest)
}

/// Compares with the stored bytes; what was found is left for a look, or to become the new vector.
fn compare(name: &str, found: &[u8], differences: &mut Vec<String>) {
    let expected = std::fs::read(folder().join(name)).unwrap_or_default();
    if expected != found {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&kept, found).unwrap();
        differences.push(format!("{name} differs, see {}", kept.display()));
    }
}

#[test]
fn the_bytes_are_those_of_the_vectors() {
    let input = input();
    let (mut differences, mut digests) = (Vec::new(), String::new());
    for (name, form) in &input.packages {
        let (built, manifest) = build(&input, form);
        compare(&format!("{name}.index.json"), &built.index, &mut differences);
        compare(&format!("{name}.manifest.json"), manifest.bytes(), &mut differences);
        digests.push_str(&format!("{}  {name}.index.json\n", Digest::sha256_of(&built.index).encoded()));
        digests.push_str(&format!("{}  {name}.manifest.json\n", manifest.digest().encoded()));
    }
    compare("SHA256SUMS", digests.as_bytes(), &mut differences);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_vectors_read_back_as_what_was_written() {
    let input = input();
    for form in input.packages.values() {
        let (built, manifest) = build(&input, form);
        let read = PackageIndex::read(&built.index[..], &image(&manifest)).unwrap();
        assert_eq!(read, built.package.index);
        let mut again = Vec::new();
        read.write(&mut again).unwrap();
        assert_eq!(again, built.index);
    }
}

#[test]
fn the_vectors_cover_every_kind_of_place() {
    let input = input();
    let layers = |name: &str| build(&input, &input.packages[name]).0.manifest.layers.len();
    assert!(layers("objects") == 3 && layers("archive") == 1 && layers("split") > 1 && layers("parts") > 4);
}

fn validator() -> (Schemas, boon::SchemaIndex) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/package-index.v1.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("memory:index.json", schema).unwrap();
    let index = compiler.compile("memory:index.json", &mut schemas).unwrap();
    (schemas, index)
}

#[test]
fn the_vectors_are_valid_under_the_schema() {
    let (schemas, schema) = validator();
    for name in input().packages.keys() {
        let bytes = std::fs::read(folder().join(format!("{name}.index.json"))).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        schemas.validate(&value, schema).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let (schemas, schema) = validator();
    let bytes = std::fs::read(folder().join("parts.index.json")).unwrap();
    let changes: [(&str, Value); 13] = [
        ("/schemaVersion", 2.into()),
        ("/mediaType", "application/json".into()),
        ("/directory", "../x".into()),
        ("/bag/version", "1".into()),
        ("/identifier", "a b".into()),
        ("/layers/0/digest", "sha256".into()),
        ("/layers/0/size", (-1).into()),
        ("/layers/5/kind", "archive".into()),
        ("/files/0/path", "/etc/passwd".into()),
        ("/files/0/path", "a/../b".into()),
        ("/files/0/sha256", "00".into()),
        ("/files/4/parts", Value::Array(Vec::new())),
        ("/emptyDirectories/0", "a//b".into()),
    ];
    for (pointer, value) in changes {
        let mut index: Value = serde_json::from_slice(&bytes).unwrap();
        *index.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        assert!(schemas.validate(&index, schema).is_err(), "{pointer}");
    }
}
