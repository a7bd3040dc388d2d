//! The claims of an index: one lie at a time.

use d1_package::{Error, ErrorKind, Layout, PackageIndex, PlanLimits, PlanOptions};
use oci_model::{Descriptor, Digest, ImageManifest};
use serde_json::{Value, json};

use crate::support::{Built, Content, noise};

/// A bag with an archive, objects and a file in parts.
fn honest() -> Built {
    let mut content = Content::bag([
        ("data/a.csv", b"time,temperature\n".to_vec()),
        ("data/big.nc", noise(7, 20_000)),
        ("data/sub/b.csv", b"depth\n".to_vec()),
    ]);
    content.empty_directories.push("data/none".to_owned());
    let limits = PlanLimits { max_blob_bytes: Some(9_000), ..PlanLimits::default() };
    content.build(&PlanOptions { limits, ..PlanOptions::new("dir") })
}

/// Reads an index whose text is this, as the configuration of the honest manifest.
fn read(text: &[u8], manifest: &ImageManifest) -> Result<PackageIndex, Error> {
    let mut manifest = manifest.clone();
    manifest.config.digest = Digest::sha256_of(text);
    manifest.config.size = text.len() as u64;
    PackageIndex::read(text, &manifest)
}

fn position_of(index: &Value, path: &str) -> usize {
    let files = index["files"].as_array().unwrap();
    files.iter().position(|file| file["path"] == path).unwrap()
}

fn expect(kind: ErrorKind, lie: &str, change: impl Fn(&mut Value)) {
    let honest = honest();
    let mut index: Value = serde_json::from_slice(&honest.index).unwrap();
    change(&mut index);
    match read(index.to_string().as_bytes(), &honest.manifest) {
        Ok(_) => panic!("believed: {lie}"),
        Err(error) => assert_eq!(error.kind(), kind, "{lie}: {error}"),
    }
}

/// Changes one field of one file.
fn expect_of_file(kind: ErrorKind, path: &str, field: &str, value: &Value) {
    expect(kind, &format!("{field} of {path} is {value}"), |index| {
        let position = position_of(index, path);
        index["files"][position][field] = value.clone();
    });
}

#[test]
fn the_honest_index_is_believed() {
    let honest = honest();
    let layers: Vec<&str> = honest.titles();
    assert_eq!(
        layers,
        [
            "dir",
            "dir/data/a.csv",
            "dir/data/big.nc.part-0001-of-0003",
            "dir/data/big.nc.part-0002-of-0003",
            "dir/data/big.nc.part-0003-of-0003",
            "dir/data/sub/b.csv"
        ]
    );
    assert_eq!(read(&honest.index, &honest.manifest).unwrap(), honest.package.index);
    // So is one that is written in another way, with fields that are not known.
    let mut index: Value = serde_json::from_slice(&honest.index).unwrap();
    index["later"] = json!({"deep": [1, {"x": null}]});
    index["layers"][0]["later"] = json!(1);
    index["files"][0]["later"] = json!([]);
    index["files"][0]["checksums"] = json!({"blake9": "00", "sha1": "a".repeat(40)});
    index["bag"]["algorithms"] = json!(["blake9", "md5"]);
    let text = serde_json::to_string_pretty(&index).unwrap();
    assert!(read(text.as_bytes(), &honest.manifest).is_ok());
}

#[test]
fn lies_about_the_document() {
    expect(ErrorKind::Version, "version 2", |index| index["schemaVersion"] = json!(2));
    expect(ErrorKind::Version, "another type", |index| index["mediaType"] = json!("application/json"));
    expect(ErrorKind::Syntax, "no files", |index| {
        index.as_object_mut().unwrap().remove("files");
    });
    expect(ErrorKind::Syntax, "a size as text", |index| index["files"][0]["size"] = json!("1"));
    expect(ErrorKind::Syntax, "a negative size", |index| index["files"][0]["size"] = json!(-1));
    expect(ErrorKind::Syntax, "a short digest", |index| index["files"][0]["sha256"] = json!("00"));
    expect(ErrorKind::Syntax, "an upper-case digest", |index| {
        index["files"][0]["sha256"] = json!("A".repeat(64));
    });
    expect(ErrorKind::Syntax, "an MD5 of SHA-1's length", |index| {
        index["files"][0]["checksums"] = json!({"md5": "0".repeat(40)});
    });
    expect(ErrorKind::Syntax, "an identifier with a space", |index| index["identifier"] = json!("a b"));
    expect(ErrorKind::Syntax, "no version of BagIt", |index| index["bag"]["version"] = json!("one"));
    expect(ErrorKind::Syntax, "another kind of layer", |index| index["layers"][0]["kind"] = json!("link"));
}

#[test]
fn lies_about_paths() {
    use ErrorKind::{Order, Path, PathConflict};
    for path in ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "C:\\x", "a\\..\\..\\x", "a\0"] {
        expect(Path, path, |index| index["files"][0]["path"] = json!(path));
        expect(Path, path, |index| index["directory"] = json!(path));
        expect(Path, path, |index| index["emptyDirectories"] = json!([path]));
    }
    expect_of_file(Order, "data/sub/b.csv", "path", &json!("data/a.csv"));
    expect_of_file(Order, "data/sub/b.csv", "path", &json!("data/A.csv"));
    expect_of_file(Order, "data/a.csv", "path", &json!("data/z"));
    expect(Order, "a directory twice", |index| index["emptyDirectories"] = json!(["e", "e"]));
    expect_of_file(PathConflict, "data/sub/b.csv", "path", &json!("data/big.nc/b.csv"));
    expect(PathConflict, "a directory that is a file", |index| {
        index["emptyDirectories"] = json!(["data/a.csv"]);
    });
    expect(PathConflict, "a directory that is not empty", |index| {
        index["emptyDirectories"] = json!(["data/sub"])
    });
    expect(PathConflict, "a directory in a file", |index| index["emptyDirectories"] = json!(["bagit.txt/x"]));
}

#[test]
fn lies_about_layers() {
    use ErrorKind::{Layers, Members};
    expect(Layers, "a layer less", |index| {
        index["layers"].as_array_mut().unwrap().pop();
    });
    expect(Layers, "a layer more", |index| {
        let layer = index["layers"][1].clone();
        index["layers"].as_array_mut().unwrap().push(layer);
    });
    expect(Layers, "another digest", |index| {
        index["layers"][1]["digest"] = json!(Digest::sha256_of(b"other").as_str());
    });
    expect(Layers, "another size", |index| index["layers"][1]["size"] = json!(1));
    expect(Layers, "another tar digest", |index| {
        index["layers"][0]["tarDigest"] = json!(Digest::sha256_of(b"other").as_str());
    });
    expect(Layers, "an object that is an archive", |index| {
        let archive = index["layers"][0].clone();
        for field in ["kind", "tarDigest", "tarSize", "encoder"] {
            index["layers"][1][field] = archive[field].clone();
        }
        index["layers"][1]["members"] = json!([[index["layers"][1]["size"], archive["tarSize"]]]);
    });
    for field in ["tarDigest", "tarSize", "encoder", "members"] {
        expect(Members, field, |index| {
            index["layers"][0].as_object_mut().unwrap().remove(field);
        });
    }
    for members in [json!([]), json!([[1, 1]]), json!([[0, 0]]), json!([[u64::MAX, 1], [1, 1]])] {
        expect(Members, "other members", |index| index["layers"][0]["members"] = members.clone());
    }
    expect(Members, "another size of the tar archive", |index| {
        index["layers"][0]["tarSize"] = json!(index["layers"][0]["tarSize"].as_u64().unwrap() + 512);
    });
    expect(Members, "an empty member", |index| {
        let whole = index["layers"][0]["members"][0].clone();
        index["layers"][0]["members"] = json!([whole, [0, 0]]);
    });
}

#[test]
fn lies_about_places() {
    use ErrorKind::{FileDigest, FileSize, Overlap, Place, UnusedLayer};
    for (kind, value) in
        [(Place, json!(1)), (Place, json!(99)), (Place, Value::Null), (ErrorKind::Syntax, json!(-1))]
    {
        expect_of_file(kind, "bagit.txt", "layer", &value);
    }
    for offset in [1, 511, 1_u64 << 40, u64::MAX - 511, 512] {
        expect_of_file(Overlap, "bagit.txt", "offset", &json!(offset));
    }
    expect_of_file(Overlap, "bagit.txt", "size", &json!(1_u64 << 40));
    expect_of_file(Overlap, "bagit.txt", "size", &json!(u64::MAX));
    expect_of_file(Overlap, "bag-info.txt", "size", &json!(1024));
    expect_of_file(Place, "data/a.csv", "layer", &json!(0));
    expect_of_file(Place, "data/a.csv", "layer", &json!(2));
    expect_of_file(Place, "data/sub/b.csv", "layer", &json!(1));
    expect_of_file(Place, "data/a.csv", "parts", &json!([1]));
    expect_of_file(Place, "data/a.csv", "offset", &json!(512));
    expect_of_file(FileSize, "data/a.csv", "size", &json!(1));
    expect_of_file(FileDigest, "data/a.csv", "sha256", &json!("0".repeat(64)));
    for parts in
        [json!([]), json!([2, 4]), json!([3, 2]), json!([2, 2]), json!([1, 2, 3]), json!([2, 3, 4, 5])]
    {
        expect_of_file(Place, "data/big.nc", "parts", &parts);
    }
    expect_of_file(FileSize, "data/big.nc", "parts", &json!([2, 3]));
    expect_of_file(FileSize, "data/big.nc", "size", &json!(19_999));
    expect(UnusedLayer, "a file less", |index| {
        let position = position_of(index, "data/a.csv");
        index["files"].as_array_mut().unwrap().remove(position);
    });
}

#[test]
fn the_size_is_that_of_the_manifest() {
    let honest = honest();
    for size in [honest.index.len() as u64 - 1, honest.index.len() as u64 + 1] {
        let mut manifest = honest.manifest.clone();
        manifest.config.size = size;
        let kind = PackageIndex::read(&honest.index[..], &manifest).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Size | ErrorKind::Syntax), "{kind:?}");
    }
    let mut manifest = honest.manifest.clone();
    manifest.config.size = d1_package::MAX_INDEX_BYTES + 1;
    let kind = PackageIndex::read(&honest.index[..], &manifest).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::TooLarge);
    manifest.config = Descriptor::empty();
    let kind = PackageIndex::read(&b"{}"[..], &manifest).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::NotAnIndex);
}

#[test]
fn titles_that_would_unpack_differently_are_lies() {
    let honest = honest();
    let title = oci_model::annotations::TITLE;
    for (layer, lie) in
        [(0, "dir/."), (0, "other"), (1, "dir/data/b.csv"), (2, "dir/data/big.nc.part-0002-of-0003")]
    {
        let mut manifest = honest.manifest.clone();
        manifest.layers[layer] = manifest.layers[layer].clone().with_annotation(title, lie);
        let error = read(&honest.index, &manifest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Title, "{error}");
    }
    let mut manifest = honest.manifest.clone();
    manifest.layers[1].annotations.remove(title);
    assert_eq!(read(&honest.index, &manifest).unwrap_err().kind(), ErrorKind::Title);
}

#[test]
fn archives_are_told_by_their_media_type() {
    let content = Content::plain([("a", b"a".to_vec())]);
    let built = content.build(&PlanOptions { layout: Layout::Archive, ..PlanOptions::new("dir") });
    let mut manifest = built.manifest.clone();
    manifest.layers[0].media_type = "text/csv".parse().unwrap();
    assert_eq!(read(&built.index, &manifest).unwrap_err().kind(), ErrorKind::Layers);
}

#[test]
fn lists_and_texts_that_would_take_much_memory_end_the_reading() {
    let honest = honest();
    let with = |change: &dyn Fn(&mut String)| {
        let mut text = String::from_utf8(honest.index.clone()).unwrap();
        change(&mut text);
        read(text.as_bytes(), &honest.manifest).unwrap_err()
    };
    // A text of a path's length would take as much memory twice; one of a megabyte is refused while it is read.
    let long = "x".repeat(1 << 20);
    let field = format!("{{\"later\":\"{long}\",");
    assert_eq!(with(&|text| text.replace_range(..1, &field)).kind(), ErrorKind::TooLarge);
    // Five bytes of a list entry would become some forty.
    let many = (0..=1_u32 << 20).map(|number| format!("\"{number:07}\"")).collect::<Vec<_>>().join(",");
    let error = with(&|text| *text = text.replace("[\"data/none\"]", &format!("[{many}]")));
    assert_eq!(error.kind(), ErrorKind::Syntax);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("expected at most 1048576 entries"), "{source}");
    // So would the pairs of lengths of members.
    let members = format!("\"members\":[{}", "[1,1],".repeat(1 << 23));
    assert_eq!(with(&|text| *text = text.replace("\"members\":[", &members)).kind(), ErrorKind::TooLarge);
}
