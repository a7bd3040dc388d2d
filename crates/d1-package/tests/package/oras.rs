//! The real `oras` reads what we write: image layouts of every form are pulled and compared with what went in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use d1_package::{Configuration, Layout, PlanLimits, PlanOptions};
use oci_model::annotations::REF_NAME;
use oci_model::{ImageIndex, RawManifest};
use tempfile::TempDir;

use crate::support::{Built, Content, noise, skipped};

/// Writes an image layout (image-spec image-layout.md) with the package under the tag `v1`.
fn write_layout(folder: &Path, built: &Built) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for (digest, bytes) in &built.blobs {
        fs::write(blobs.join(digest.encoded()), bytes).unwrap();
    }
    fs::write(blobs.join(built.raw.digest().encoded()), built.raw.bytes()).unwrap();
    let descriptor = built.raw.descriptor().with_annotation(REF_NAME, "v1");
    let index = RawManifest::from_index(&ImageIndex::new(vec![descriptor]));
    fs::write(folder.join("index.json"), index.bytes()).unwrap();
    fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
}

/// Reads a directory: files with their bytes, directories with nothing.
fn read_tree(root: &Path, folder: &Path, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.insert(name, None);
            read_tree(root, &path, found);
        } else {
            found.insert(name, Some(fs::read(&path).unwrap()));
        }
    }
}

/// Pulls with `oras`; `None` if there is no `oras` here.
fn pull(built: &Built) -> Option<BTreeMap<String, Option<Vec<u8>>>> {
    if Command::new("oras").arg("version").output().is_err() {
        skipped("oras is not installed");
        return None;
    }
    let (layout, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write_layout(layout.path(), built);
    let output = Command::new("oras")
        .args(["pull", "--oci-layout"])
        .arg(format!("{}:v1", layout.path().display()))
        .arg("--output")
        .arg(target.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeMap::new();
    read_tree(target.path(), target.path(), &mut found);
    Some(found)
}

/// Returns the tree that a package has to unpack into.
fn tree(directory: &str, content: &Content) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut tree = BTreeMap::new();
    let add_directories = |tree: &mut BTreeMap<_, _>, path: &str| {
        for (slash, _) in path.match_indices('/') {
            tree.insert(path[..slash].to_owned(), None);
        }
    };
    for (path, bytes) in &content.files {
        let path = format!("{directory}/{path}");
        add_directories(&mut tree, &path);
        tree.insert(path, Some(bytes.clone()));
    }
    for path in &content.empty_directories {
        add_directories(&mut tree, &format!("{directory}/{path}/"));
    }
    tree
}

/// A bag with everything that is awkward.
fn awkward() -> Content {
    let long = format!("data/{}/{}", "d".repeat(120), "f".repeat(120));
    let mut files = vec![
        ("data/empty file".to_owned(), Vec::new()),
        ("data/sub/nested/deep/a b.csv".to_owned(), b"time\n".to_vec()),
        ("data/sub/nested/Größe & \"Maß\".txt".to_owned(), "größer".into()),
        ("data/sub-/x".to_owned(), b"x".to_vec()),
        ("data/.hidden".to_owned(), b"h".to_vec()),
        (long, b"long".to_vec()),
        ("data/noise.bin".to_owned(), noise(3, 400_000)),
        ("data/noise-2.bin".to_owned(), noise(4, 300_000)),
    ];
    files.extend((0..300).map(|number| (format!("data/many/{number:03}.csv"), noise(number, 1000))));
    let mut content = Content::bag(files);
    content.add("metadata/sysmeta/one.xml", "<x/>");
    content.empty_directories = vec!["data/nothing".to_owned(), "data/sub/none/at all".to_owned()];
    content
}

fn expect_the_same(options: &PlanOptions, archives: usize, configuration: Configuration) {
    let content = awkward();
    let built = content.build_from(content.package_files(), options, configuration);
    let titles = built.titles();
    let found = titles.iter().filter(|title| title.split('/').skip(1).all(|part| part == ".")).count();
    assert_eq!(found, archives, "{titles:?}");
    if let Some(pulled) = pull(&built) {
        assert_eq!(pulled, tree(&options.directory, &content));
    }
}

#[test]
fn oras_pulls_objects_and_archives() {
    expect_the_same(&PlanOptions::new("a bag"), 2, Configuration::Index);
    expect_the_same(&PlanOptions::new("a bag"), 2, Configuration::Empty);
}

#[test]
fn oras_pulls_one_archive() {
    let options = PlanOptions { layout: Layout::Archive, ..PlanOptions::new("dataset_10.18739_A2D795C92") };
    expect_the_same(&options, 1, Configuration::Index);
}

#[test]
fn oras_pulls_several_archives_into_one_directory() {
    let limits = PlanLimits { max_blob_bytes: Some(500_000), ..PlanLimits::default() };
    expect_the_same(
        &PlanOptions { layout: Layout::Archive, limits, ..PlanOptions::new("dir") },
        3,
        Configuration::Index,
    );
}

#[test]
fn oras_pulls_a_package_without_files() {
    let content = Content { empty_directories: vec!["a/b".to_owned()], ..Content::default() };
    for content in [Content::default(), content] {
        let built = content.build(&PlanOptions::new("dir"));
        let mut expected = tree("dir", &content);
        expected.insert("dir".to_owned(), None);
        if let Some(pulled) = pull(&built) {
            assert_eq!(pulled, expected);
        }
    }
}

#[test]
fn oras_pulls_the_parts_of_a_file_side_by_side() {
    let content = Content::plain([("big", noise(1, 25_000))]);
    let limits = PlanLimits { max_blob_bytes: Some(10_000), ..PlanLimits::default() };
    let built = content.build(&PlanOptions { limits, ..PlanOptions::new("dir") });
    let Some(pulled) = pull(&built) else { return };
    let parts: Vec<&Vec<u8>> = pulled.values().flatten().collect();
    let names: Vec<&str> = pulled.keys().map(String::as_str).collect();
    let expected =
        ["dir", "dir/big.part-0001-of-0003", "dir/big.part-0002-of-0003", "dir/big.part-0003-of-0003"];
    assert_eq!(names, expected);
    assert_eq!(parts.into_iter().flatten().copied().collect::<Vec<u8>>(), content.files["big"]);
}
