//! The real `oras` computes the same tar digest, and our layers unpack with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use multi_digest::HashingReader;
use oci_model::annotations::{ORAS_CONTENT_DIGEST, TITLE};
use oci_model::{Descriptor, Digest, DigestAlgorithm, DigestHasher, ImageManifest};
use oci_pack::{
    ArchiveEntry, Compression, PackOptions, ReadOptions, UnpackOptions, pack_archive, read_archive,
    unpack_into,
};

use crate::support::{Collector, Event, has_program, noise};
use crate::unpack::Accepting;

fn awkward_names() -> Vec<String> {
    let d60 = "d".repeat(60);
    let n100 = "n".repeat(100);
    vec![
        "bagit.txt".into(),
        "empty".into(),
        "with space and 'quotes' \"too\".txt".into(),
        "line\nend.txt".into(),
        "back\\slash.txt".into(),
        "größe/ünïcode-文件.csv".into(),
        format!("größe/{}", "ü".repeat(120)),
        ".hidden/.file".into(),
        "a/b/c/d/e/f/g/h.txt".into(),
        // With `pkg/` before them, these are names of 99 to 101 bytes, and names that split and do not split.
        "x".repeat(95),
        "x".repeat(96),
        "x".repeat(97),
        format!("{}/{}", "y".repeat(95), "y".repeat(50)),
        format!("{d60}/{d60}/{n100}"),
        format!("{d60}/{d60}/{n100}x"),
        format!("{d60}/{d60}/{d60}/{n100}"),
        format!("{}/z", "p".repeat(151)),
        format!("{}/z", "p".repeat(152)),
        format!("{}/{}/z", "q".repeat(140), "q".repeat(40)),
        "data/noise.bin".into(),
    ]
}

/// Makes the tree below `root`, all with mode 0644 or 0755 and the modification time 0.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("empty directory/inner")).unwrap();
    for (number, name) in awkward_names().iter().enumerate() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let length = match name.as_str() {
            "empty" => 0,
            "data/noise.bin" => 3_000_000,
            _ => 100 * number,
        };
        fs::write(&path, noise(number as u64, length)).unwrap();
    }
    for (path, is_directory) in walk(root).iter().rev() {
        use std::os::unix::fs::PermissionsExt;
        let mode = if *is_directory { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        File::open(path).unwrap().set_modified(UNIX_EPOCH).unwrap();
    }
}

/// Returns the paths that Go's `filepath.Walk` visits, in its order.
fn walk(path: &Path) -> Vec<(PathBuf, bool)> {
    let is_directory = fs::symlink_metadata(path).unwrap().is_dir();
    let mut found = vec![(path.to_owned(), is_directory)];
    if is_directory {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        found.extend(names.iter().flat_map(|path| walk(path)));
    }
    found
}

/// Lets `oras` push a directory into a layout, and returns the layer and its blob.
fn oras_push(directory: &Path, name: &str) -> (Descriptor, Vec<u8>) {
    let output = Command::new("oras")
        .current_dir(directory)
        .args(["push", "--oci-layout", "layout:test", name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let layout = directory.join("layout");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let blob = |digest: &str| fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
    let manifest = blob(index["manifests"][0]["digest"].as_str().unwrap());
    let manifest: ImageManifest = serde_json::from_slice(&manifest).unwrap();
    let layer = manifest.layers[0].clone();
    let content = blob(layer.digest.as_str());
    (layer, content)
}

fn entries_of(root: &Path, title: &str) -> Vec<(ArchiveEntry, PathBuf)> {
    let named = |path: &Path| {
        let below = path.strip_prefix(root).unwrap().to_str().unwrap();
        match (title, below) {
            (title, "") => title.to_owned(),
            (".", below) => below.to_owned(),
            (title, below) => format!("{title}/{below}"),
        }
    };
    walk(root)
        .into_iter()
        .map(|(path, is_directory)| {
            let entry = if is_directory {
                ArchiveEntry::directory(named(&path))
            } else {
                ArchiveEntry::file(named(&path), fs::metadata(&path).unwrap().len())
            };
            (entry, path)
        })
        .collect()
}

fn pack_tree(root: &Path, title: &str) -> (oci_pack::PackedArchive, Vec<u8>) {
    let (entries, paths): (Vec<_>, Vec<_>) = entries_of(root, title).into_iter().unzip();
    let open = |index: usize| Ok(Box::new(File::open::<&PathBuf>(&paths[index])?) as _);
    let mut blob = Vec::new();
    let packed = pack_archive(&entries, &open, &PackOptions::default(), &mut blob).unwrap();
    (packed, blob)
}

#[test]
fn the_tar_digest_is_the_one_of_oras() {
    if !has_program("oras", "version") {
        return;
    }
    for title in ["pkg", "some/deeper/pkg"] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(title);
        make_tree(&root);
        let (layer, _) = oras_push(directory.path(), title);
        assert_eq!(layer.annotation(TITLE), Some(title));
        let (packed, _) = pack_tree(&root, title);
        let expected = layer.annotation(ORAS_CONTENT_DIGEST).unwrap();
        assert_eq!(packed.tar_digest.as_str(), expected, "{title}");
    }
}

#[test]
fn what_oras_pushed_reads_with_its_digests() {
    if !has_program("oras", "version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("pkg");
    make_tree(&root);
    std::os::unix::fs::symlink("../bagit.txt", root.join("a/link")).unwrap();
    std::os::unix::fs::symlink("größe", root.join("link to directory")).unwrap();
    let (layer, blob) = oras_push(directory.path(), "pkg");

    let mut hashing = HashingReader::new(&blob[..], DigestHasher::new(DigestAlgorithm::Sha256));
    let mut collector = Collector::default();
    let summary = read_archive(&mut hashing, &ReadOptions::new("pkg"), &mut collector).unwrap();
    assert_eq!(hashing.length(), layer.size);
    assert_eq!(hashing.into_hasher().finish(), layer.digest);
    assert_eq!(summary.compression, Compression::Gzip);
    assert_eq!(summary.tar_digest.unwrap().as_str(), layer.annotation(ORAS_CONTENT_DIGEST).unwrap());
    assert!(collector.0.contains(&Event::SymbolicLink("a/link".into(), "../bagit.txt".into())));

    let out = directory.path().join("out");
    let report = unpack_into(&out, &blob[..], &UnpackOptions::new("pkg"), &mut Accepting).unwrap();
    assert_eq!(report.symbolic_links, 2);
    let before: Vec<_> = walk(&root).into_iter().map(|(path, _)| path).collect();
    let after: Vec<_> = walk(&out).into_iter().map(|(path, _)| path).collect();
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.strip_prefix(&root), after.strip_prefix(&out));
        if fs::symlink_metadata(before).unwrap().is_symlink() {
            assert_eq!(fs::read_link(before).unwrap(), fs::read_link(after).unwrap());
        } else if before.is_file() {
            assert!(fs::read(before).unwrap() == fs::read(after).unwrap(), "{before:?}");
        }
    }
}

#[test]
fn the_title_dot_is_no_prefix() {
    if !has_program("oras", "version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("pkg");
    make_tree(&root);
    // `oras push .` would find its own layout in the directory, so the layout has another directory.
    let output = Command::new("oras")
        .current_dir(&root)
        .args(["push", "--oci-layout", "../layout:test", "."])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (packed, _) = pack_tree(&root, ".");
    let blobs = directory.path().join("layout/blobs/sha256");
    let manifests: Vec<String> = fs::read_dir(blobs)
        .unwrap()
        .map(|blob| String::from_utf8_lossy(&fs::read(blob.unwrap().path()).unwrap()).into_owned())
        .filter(|text| text.contains(ORAS_CONTENT_DIGEST))
        .collect();
    assert_eq!(manifests.len(), 1);
    assert!(manifests[0].contains(packed.tar_digest.as_str()), "{}", manifests[0]);
}

#[test]
fn oras_pulls_what_was_packed() {
    if !has_program("oras", "version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("pkg");
    make_tree(&root);
    let (packed, blob) = pack_tree(&root, "pkg");
    let layers = [oci_pack::archive_layer(&packed, "pkg")];
    write_layout(&directory.path().join("made"), &layers, &[blob]);
    let output = Command::new("oras")
        .current_dir(directory.path())
        .args(["pull", "--oci-layout", "made:test", "-o", "pulled"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (pulled, _) = pack_tree(&directory.path().join("pulled/pkg"), "pkg");
    assert_eq!(pulled.tar_digest, packed.tar_digest);
}

#[test]
fn oras_unpacks_several_archives_into_one_directory() {
    if !has_program("oras", "version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (mut layers, mut blobs) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let files = [(format!("data/{number}.csv"), noise(number, 1000))];
        let (packed, blob) = crate::support::pack_files(&files, Compression::Gzip, 1);
        let title = oci_pack::archive_title("pkg", usize::try_from(number).unwrap());
        layers.push(oci_pack::archive_layer(&packed, &title));
        blobs.push(blob);
    }
    write_layout(&directory.path().join("made"), &layers, &blobs);
    let output = Command::new("oras")
        .current_dir(directory.path())
        .args(["pull", "--oci-layout", "made:test", "-o", "pulled"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for number in 0..3 {
        let path = directory.path().join(format!("pulled/pkg/data/{number}.csv"));
        assert!(fs::read(path).unwrap() == noise(number, 1000));
    }
}

fn write_layout(layout: &Path, layers: &[Descriptor], blobs: &[Vec<u8>]) {
    let manifest =
        oci_pack::ManifestBuilder::new("application/bagit-1.0".parse().unwrap(), Descriptor::empty())
            .layers(layers.iter().cloned())
            .build(1 << 20)
            .unwrap();
    let folder = layout.join("blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    let put = |bytes: &[u8]| fs::write(folder.join(Digest::sha256_of(bytes).encoded()), bytes).unwrap();
    put(Descriptor::EMPTY_CONTENT);
    put(manifest.bytes());
    blobs.iter().for_each(|blob| put(blob));
    let entry = manifest.descriptor().with_annotation(oci_model::annotations::REF_NAME, "test");
    let index = oci_model::RawManifest::from_index(&oci_model::ImageIndex::new(vec![entry]));
    fs::write(layout.join("index.json"), index.bytes()).unwrap();
    fs::write(layout.join("oci-layout"), b"{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
}
