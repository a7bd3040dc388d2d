//! Bags in archives, and names that only some places allow.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use d1oci_tests::{BagBuilder, d1oci, tree};

fn good_bag(place: &Path) -> PathBuf {
    BagBuilder::new().payload_files(5, 300).awkward().write(&place.join("bag"))
}

/// Packs a directory with the tar of the system.
fn tar(place: &Path, directory: &str, archive: &str) {
    let status = Command::new("tar").current_dir(place).args(["-cf", archive, directory]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_push_of_an_archive_tells_of_the_bag_in_it_and_whether_it_is_valid() {
    let place = tempfile::tempdir().unwrap();
    let bag = good_bag(place.path());
    tar(place.path(), "bag", "good.tar");
    let pushed = d1oci(place.path(), &["push", "oci:store:v1", "good.tar"]).success();
    assert!(pushed.stderr.contains("holds a bag") && pushed.stderr.contains("--unpack"), "{}", pushed.stderr);
    assert!(!pushed.stderr.contains("not valid"), "{}", pushed.stderr);
    fs::write(bag.join("data/series-0/file-00000.csv"), "changed").unwrap();
    tar(place.path(), "bag", "bad.tar");
    let pushed = d1oci(place.path(), &["push", "oci:store:v2", "bad.tar"]).success();
    assert!(
        pushed.stderr.contains("not valid") && pushed.stderr.contains("file-00000.csv"),
        "{}",
        pushed.stderr
    );
    tar(place.path(), "bag/data", "plain.tar");
    let pushed = d1oci(place.path(), &["push", "oci:store:v3", "plain.tar"]).success();
    assert!(!pushed.stderr.contains("bag"), "{}", pushed.stderr);
    let pushed = d1oci(place.path(), &["push", "oci:store:v4", "bad.tar", "--no-verify"]).success();
    assert!(!pushed.stderr.contains("not valid"), "{}", pushed.stderr);
}

#[test]
fn a_damaged_archive_is_not_stored_without_a_word() {
    let place = tempfile::tempdir().unwrap();
    good_bag(place.path());
    fs::create_dir(place.path().join("outer")).unwrap();
    fs::rename(place.path().join("bag"), place.path().join("outer/bag")).unwrap();
    tar(place.path(), "outer", "deep.tar");
    let deep = d1oci(place.path(), &["push", "oci:store:v1", "deep.tar"]).success();
    assert!(deep.stderr.contains("nobody validates"), "{}", deep.stderr);
    let packed = fs::read(place.path().join("deep.tar")).unwrap();
    fs::write(place.path().join("cut.tar"), &packed[..packed.len() / 2 - 100]).unwrap();
    fs::write(place.path().join("page.zip"), "<!DOCTYPE html><title>Sign in</title>").unwrap();
    for (number, name) in ["cut.tar", "page.zip"].iter().enumerate() {
        let pushed = d1oci(place.path(), &["push", &format!("oci:store:w{number}"), name]).success();
        assert!(pushed.stderr.contains("not a whole archive"), "{name}: {}", pushed.stderr);
    }
    fs::write(place.path().join("page.html"), "<!DOCTYPE html><title>Sign in</title>").unwrap();
    let pushed = d1oci(place.path(), &["push", "oci:store:w9", "page.html"]).success();
    assert!(!pushed.stderr.contains("archive"), "{}", pushed.stderr);
}

#[test]
fn a_bag_in_a_tar_archive_is_repaired_into_a_directory() {
    let place = tempfile::tempdir().unwrap();
    let bag = good_bag(place.path());
    fs::rename(bag.join("manifest-sha256.txt"), bag.join("manifest-SHA256.txt")).unwrap();
    for tag_manifest in ["tagmanifest-md5.txt", "tagmanifest-sha256.txt", "tagmanifest-sha512.txt"] {
        let _ = fs::remove_file(bag.join(tag_manifest));
    }
    tar(place.path(), "bag", "bag.tar");
    let refused = d1oci(place.path(), &["bag", "validate", "bag.tar"]).failure(1);
    assert!(refused.stderr.contains("bag repair"), "{}", refused.stderr);
    d1oci(place.path(), &["bag", "repair", "bag.tar", "fixed"]).success();
    d1oci(place.path(), &["bag", "validate", "fixed"]).success();
    for (path, content) in tree(&bag).iter().filter(|(path, _)| path.starts_with("data/")) {
        assert_eq!(tree(&place.path().join("fixed")).get(path), Some(content), "{path}");
    }
    fs::write(bag.join("data/series-0/file-00000.csv"), "changed").unwrap();
    tar(place.path(), "bag", "wrong.tar");
    d1oci(place.path(), &["bag", "repair", "wrong.tar", "other"]).failure(1);
    let mut left: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["bag", "bag.tar", "fixed", "wrong.tar"]);
}

#[test]
fn hints_about_bags_name_the_way_out() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a.csv"), "15,7.2\n").unwrap();
    std::os::unix::fs::symlink("a.csv", source.join("link")).unwrap();
    let linked = d1oci(place.path(), &["bag", "create", "source", "new"]).failure(1).stderr;
    assert!(linked.contains("--dereference") && linked.contains("of the source"), "{linked}");
    fs::remove_file(source.join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(source.join("pipe")).status().unwrap().success());
    let special = d1oci(place.path(), &["bag", "create", "source", "new"]).failure(1).stderr;
    assert!(!special.contains("--dereference") && special.contains("regular files"), "{special}");
    fs::remove_file(source.join("pipe")).unwrap();
    d1oci(place.path(), &["bag", "create", "source", "new"]).success();
    fs::write(place.path().join("new/data/.DS_Store"), "").unwrap();
    let left = d1oci(place.path(), &["bag", "validate", "new"]).failure(1).stderr;
    assert!(left.contains("delete them"), "{left}");
    fs::write(place.path().join("new/data/b.csv"), "").unwrap();
    let left = d1oci(place.path(), &["bag", "validate", "new"]).failure(1).stderr;
    assert!(!left.contains("delete them"), "{left}");
}

#[test]
fn an_unpacked_archive_becomes_the_same_package_as_its_directory() {
    let place = tempfile::tempdir().unwrap();
    let bag = good_bag(place.path());
    tar(place.path(), "bag", "bag.tar");
    let digest = |reference: &str, source: &[&str]| {
        let arguments = [&["push", "--format", "json", reference], source].concat();
        d1oci(place.path(), &arguments).success().json()["digest"].clone()
    };
    let direct = digest("oci:direct:v1", &["bag"]);
    assert_eq!(digest("oci:unpacked:v1", &["bag.tar", "--unpack"]), direct);
    d1oci(place.path(), &["pull", "oci:unpacked:v1", "-o", "out"]).success();
    assert!(tree(&bag) == tree(&place.path().join("out/bag")));
    // An archive without a directory of its own gives its name to the package.
    let packed =
        Command::new("tar").current_dir(&bag).args(["-czf", "../named.tar.gz", "."]).status().unwrap();
    assert!(packed.success());
    d1oci(place.path(), &["push", "oci:named:v1", "named.tar.gz", "--unpack"]).success();
    d1oci(place.path(), &["pull", "oci:named:v1", "-o", "out"]).success();
    assert!(tree(&bag) == tree(&place.path().join("out/named")));
}

#[test]
fn an_invalid_bag_is_not_unpacked_into_a_repository() {
    let place = tempfile::tempdir().unwrap();
    let bag = good_bag(place.path());
    fs::write(bag.join("data/series-0/file-00000.csv"), "changed").unwrap();
    tar(place.path(), "bag", "bad.tar");
    let refused = d1oci(place.path(), &["push", "oci:store:v1", "bad.tar", "--unpack"]).failure(1);
    assert!(refused.stderr.contains("file-00000.csv"), "{}", refused.stderr);
    d1oci(place.path(), &["push", "oci:store:v1", "bad.tar", "--unpack", "--no-verify"]).success();
    fs::write(place.path().join("page.zip"), "<!DOCTYPE html><title>Sign in</title>").unwrap();
    let refused = d1oci(place.path(), &["push", "oci:store:v2", "page.zip", "--unpack"]).failure(1);
    assert!(refused.stderr.contains("HTML"), "{}", refused.stderr);
    d1oci(place.path(), &["push", "oci:store:v2", "bad.tar", "page.zip", "--unpack"]).failure(2);
}

#[test]
fn names_that_only_shells_read_are_plain_and_all_unusable_names_are_listed() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("dir");
    fs::create_dir_all(directory.join("%data%")).unwrap();
    for name in ["~$report.docx", "%data%/x", "~lock"] {
        fs::write(directory.join(name), name).unwrap();
    }
    d1oci(place.path(), &["push", "oci:store:v1", "dir"]).success();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    assert!(tree(&directory) == tree(&place.path().join("out/dir")));
    for name in ["c:notes.txt", "\\x"] {
        fs::write(directory.join(name), name).unwrap();
    }
    let refused = d1oci(place.path(), &["push", "oci:store:v2", "dir"]).failure(1);
    for named in ["c:notes.txt", "\\x", "--bag"] {
        assert!(refused.stderr.contains(named), "{named}: {}", refused.stderr);
    }
    d1oci(place.path(), &["push", "oci:store:v2", "dir", "--bag"]).success();
    d1oci(place.path(), &["pull", "oci:store:v2", "-o", "out2"]).success();
    assert!(tree(&directory) == tree(&place.path().join("out2/dir/data")));
}

#[test]
fn a_directory_that_looks_like_an_interrupted_work_is_refused_everywhere() {
    let place = tempfile::tempdir().unwrap();
    let bag = good_bag(place.path());
    for path in ["plain/.bagit-commit/x", "plain/sub/.bagit-in-place/x", "bag/.bagit-commit/.obsolete"] {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "bagit.txt").unwrap();
    }
    let refused = d1oci(place.path(), &["push", "oci:store:v1", "plain"]).failure(1);
    assert!(
        refused.stderr.contains(".bagit-commit/x") && refused.stderr.contains(".bagit-in-place/x"),
        "{}",
        refused.stderr
    );
    let refused = d1oci(place.path(), &["push", "oci:store:v1", "bag"]).failure(1);
    assert!(refused.stderr.contains("work-directory"), "{}", refused.stderr);
    tar(place.path(), "bag", "bag.tar");
    let refused = d1oci(place.path(), &["verify", "bag.tar"]).failure(1);
    assert!(refused.text().contains("work-directory"), "{}", refused.text());
    let before = tree(place.path());
    for arguments in [&["bag", "repair", "--in-place", "bag"], &["bag", "create", "--in-place", "plain"]] {
        let refused = d1oci(place.path(), arguments).failure(6);
        assert!(refused.stderr.contains("not made for this bag"), "{}", refused.stderr);
        assert!(tree(place.path()) == before);
    }
    drop(bag);
}

#[test]
fn a_bag_that_is_too_deep_in_an_archive_is_not_pushed_without_validation() {
    let place = tempfile::tempdir().unwrap();
    let deep = place.path().join("outer/inner");
    fs::create_dir_all(&deep).unwrap();
    let bag = good_bag(&deep);
    fs::write(bag.join("data/series-0/file-00000.csv"), "changed").unwrap();
    for (packed, inside) in [("outer", "outer/inner/bag"), ("outer/inner", "outer/inner/bag")] {
        tar(place.path(), packed, "deep.tar");
        let refused = d1oci(place.path(), &["push", "oci:store:v1", "deep.tar", "--unpack"]).failure(1);
        assert!(refused.stderr.contains(&format!("`{inside}`")), "{packed}: {}", refused.stderr);
        assert!(refused.stderr.contains("hint: unpack the archive"), "{}", refused.stderr);
    }
    d1oci(place.path(), &["push", "oci:store:v1", "deep.tar", "--unpack", "--no-verify"]).success();
}

#[test]
fn files_of_macos_beside_a_bag_in_an_archive_do_not_matter() {
    let place = tempfile::tempdir().unwrap();
    good_bag(place.path());
    fs::write(place.path().join(".DS_Store"), "windows").unwrap();
    fs::write(place.path().join("._bag"), "attributes").unwrap();
    let status = Command::new("tar")
        .current_dir(place.path())
        .args(["-cf", "mac.tar", "._bag", ".DS_Store", "bag"])
        .status()
        .unwrap();
    assert!(status.success());
    d1oci(place.path(), &["bag", "validate", "mac.tar"]).success();
    d1oci(place.path(), &["push", "oci:store:v1", "mac.tar", "--unpack"]).success();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).success();
    assert!(tree(&place.path().join("bag")) == tree(&place.path().join("out/bag")));
}

#[test]
fn the_ratio_of_an_archive_to_unpack_has_a_limit_that_an_option_sets() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().file("data/zeros", vec![0; 90_000_000]).write(&place.path().join("bag"));
    let status =
        Command::new("tar").current_dir(place.path()).args(["-czf", "bag.tar.gz", "bag"]).status().unwrap();
    assert!(status.success());
    let push = ["push", "oci:store:v1", "bag.tar.gz", "--unpack"];
    let refused = d1oci(place.path(), &push).failure(1);
    assert!(refused.stderr.contains("--max-ratio"), "{}", refused.stderr);
    d1oci(place.path(), &[&push[..], &["--max-ratio", "2000"]].concat()).success();
}
