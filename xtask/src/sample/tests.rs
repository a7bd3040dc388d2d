//! Whole bags of every kind: the same everywhere, right in themselves, and right to another tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use d1_model::{ResourceMap, SystemMetadata};
use sha2::{Digest, Sha256};

use super::{Extent, Kind, Sample};
use crate::error::Result;
use crate::{console, peers, process};

fn small_sample(kind: Kind) -> Sample {
    let mut sample = Sample::of_kind(kind);
    sample.extent = Extent { size: Some(2_000_003), files: Some(60) };
    sample
}

/// Reads every file below the directory.
fn read_all(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.insert(path.strip_prefix(directory).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The digests of `manifest-sha256.txt`: whoever changes one gives every sample of that kind other bytes, which makes
/// results from before and after incomparable.
#[test]
fn payloads_are_the_same_on_every_machine() {
    let golden = [
        (Kind::Mooring, "9e53281911ecc17a2db82eec62e3ae0071225411ea5380ca6d9bc68b9b652b48"),
        (Kind::Small, "b66c9efca875d84cbd39a508fba3e6dd2afec2b6e03d1912fe07953258e9a2e4"),
    ];
    let out = tempfile::tempdir().unwrap();
    let manifest = |kind| {
        let bag = small_sample(kind).make_in(out.path()).unwrap().bag;
        (kind, sha256(&fs::read(bag.join("manifest-sha256.txt")).unwrap()))
    };
    assert_eq!(
        golden.map(|(kind, _)| manifest(kind)),
        golden.map(|(kind, digest)| (kind, digest.to_owned()))
    );
}

#[test]
fn the_same_arguments_give_the_same_bytes_and_others_do_not() {
    let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut sample = small_sample(Kind::Mooring);
    let [one, two, other] = [1, 1, 2].map(|seed| {
        sample.seed = seed;
        sample.clone()
    });
    let made = [one, two, other].into_iter().zip(&directories);
    let contents: Vec<_> =
        made.map(|(sample, out)| read_all(&sample.make_in(out.path()).unwrap().bag)).collect();
    assert!(contents[0] == contents[1]);
    assert!(contents[0] != contents[2]);
}

#[test]
fn every_manifest_lists_its_files_with_their_digests() {
    let out = tempfile::tempdir().unwrap();
    for kind in Kind::value_variants() {
        let made = small_sample(*kind).make_in(out.path()).unwrap();
        assert_eq!(made.size, 2_000_003, "{kind:?}");
        let files = read_all(&made.bag);
        let listed = |name: &str| {
            let text = String::from_utf8(files[Path::new(name)].clone()).unwrap();
            let lines = text.lines().map(|line| line.split_once("  ").unwrap());
            lines.map(|(digest, path)| (PathBuf::from(path), digest.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let payload = listed("manifest-sha256.txt");
        let tags = listed("tagmanifest-sha256.txt");
        assert_eq!(payload.len() as u64, made.files, "{kind:?}");
        assert!(payload.keys().eq(listed("manifest-md5.txt").keys()), "{kind:?}");
        for (path, bytes) in &files {
            let digest = payload.get(path).or_else(|| tags.get(path));
            let is_last = path.to_string_lossy().starts_with("tagmanifest-");
            assert_eq!(digest.cloned(), (!is_last).then(|| sha256(bytes)), "{kind:?} {path:?}");
        }
        assert_eq!(payload.len() + tags.len() + 2, files.len(), "{kind:?}");
    }
}

#[test]
fn system_metadata_describe_every_member() {
    let out = tempfile::tempdir().unwrap();
    {
        let made = small_sample(Kind::Mooring).make_in(out.path()).unwrap();
        let files = read_all(&made.bag);
        let map = ResourceMap::parse(&files[Path::new("metadata/oai-ore.xml")]).unwrap();
        assert!(map.oddities.is_empty(), "{:?}", map.oddities);
        assert_eq!(map.value.members().len() as u64, made.files + 1);
        let described: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.starts_with("metadata/sysmeta"))
            .map(|(_, bytes)| SystemMetadata::parse(bytes).unwrap())
            .collect();
        assert_eq!(described.len() as u64, made.files + 2);
        for document in described {
            assert!(document.oddities.is_empty(), "{:?}", document.oddities);
            let document = document.value;
            assert!(document.is_public());
            let is_it = |path: &Path, bytes: &[u8]| {
                let name = document.file_name.as_deref();
                path.file_name().and_then(|name| name.to_str()) == name
                    && bytes.len() as u64 == document.size
                    && [sha256(bytes), hex::encode(md5::Md5::digest(bytes))]
                        .iter()
                        .any(|digest| document.checksum.matches_hex(digest))
            };
            assert!(files.iter().any(|(path, bytes)| is_it(path, bytes)), "{}", document.identifier);
        }
    }
}

#[test]
fn the_reference_implementation_finds_the_bags_valid() -> Result<()> {
    let Some(program) = process::find("bagit.py", &peers::directory()) else {
        console::note("skipped: no bagit.py (cargo xtask peers installs it)");
        return Ok(());
    };
    let out = tempfile::tempdir()?;
    for kind in Kind::value_variants() {
        let bag = small_sample(*kind).make_in(out.path())?.bag;
        process::read(Command::new(&program).arg("--validate").arg(bag))?;
    }
    Ok(())
}

#[test]
fn a_bag_that_is_there_is_kept_and_a_failure_leaves_nothing() {
    let out = tempfile::tempdir().unwrap();
    let mut sample = small_sample(Kind::Small);
    let made = sample.make_in(out.path()).unwrap();
    let before = read_all(&made.bag);
    assert!(sample.make_in(out.path()).unwrap_err().to_string().contains("already exists"));
    assert!(before == read_all(&made.bag));
    sample.identifier = "not an identifier".to_owned();
    assert!(sample.make_in(out.path()).is_err());
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
}

#[test]
fn the_directory_has_the_name_of_the_package() {
    let cases = [
        ("doi:10.18739/A2D795C92", "dataset_10.18739_A2D795C92"),
        ("urn:uuid:1-2", "dataset_urn_uuid_1-2"),
        ("../é", "dataset_..__"),
    ];
    let mut sample = small_sample(Kind::Mooring);
    for (identifier, expected) in cases {
        sample.identifier = identifier.to_owned();
        assert_eq!(sample.directory_name(), expected);
    }
}
