//! Files, links and directories that somebody else puts where the program writes.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use d1oci_tests::{BagBuilder, binary, d1oci, payload, run, skipped};

fn prepare() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let bag =
        BagBuilder::new().file("data/a.csv", payload(1, 400_000)).file("data/b.csv", payload(2, 300_000));
    bag.write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    fs::write(place.path().join("victim"), "mine").unwrap();
    place
}

fn victim(place: &Path) -> Vec<u8> {
    fs::read(place.join("victim")).unwrap()
}

#[test]
fn results_do_not_go_through_links_with_predictable_names() {
    let place = prepare();
    for name in
        ["one.csv.d1oci-part", ".one.csv.part", "one.csv.tmp", "report.csv.d1oci-part", "m.json.d1oci-part"]
    {
        symlink("victim", place.path().join(name)).unwrap();
    }
    d1oci(place.path(), &["cat", "oci:store:v1", "data/a.csv", "-o", "one.csv"]).success();
    d1oci(place.path(), &["verify", "--all", "oci:store", "--report", "report.csv"]).success();
    d1oci(place.path(), &["manifest", "fetch", "oci:store:v1", "-o", "m.json"]).success();
    assert_eq!(victim(place.path()), b"mine");
    assert_eq!(fs::read(place.path().join("one.csv")).unwrap(), payload(1, 400_000));
}

#[test]
fn two_results_with_one_name_do_not_mix() {
    let place = prepare();
    let cat = |path: &'static str| {
        let place = place.path().to_owned();
        std::thread::spawn(move || d1oci(&place, &["cat", "oci:store:v1", path, "-o", "one.csv"]))
    };
    for _ in 0..20 {
        let (first, second) = (cat("data/a.csv"), cat("data/b.csv"));
        first.join().unwrap().success();
        second.join().unwrap().success();
        let found = fs::read(place.path().join("one.csv")).unwrap();
        assert!(found == payload(1, 400_000) || found == payload(2, 300_000));
    }
}

#[test]
fn a_result_on_standard_output_by_name_takes_its_place_in_the_file() {
    let place = prepare();
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let line = "(echo first; \"$0\" cat oci:store:v1 data/a.csv -o \"$1\"; echo last) > all";
        let mut shell = std::process::Command::new("sh");
        run(shell.args(["-c", line]).arg(binary()).arg(name).current_dir(place.path())).success();
        let expected = [b"first\n", &payload(1, 400_000)[..], b"last\n"].concat();
        assert!(fs::read(place.path().join("all")).unwrap() == expected, "{name}");
    }
}

#[test]
fn a_pull_stays_in_its_output_directory_whatever_links_are_in_it() {
    let place = prepare();
    fs::create_dir(place.path().join("outside")).unwrap();
    for (link, at) in [("bag", "out"), ("data", "out2/bag")] {
        let at = place.path().join(at);
        fs::create_dir_all(&at).unwrap();
        symlink(place.path().join("outside"), at.join(link)).unwrap();
    }
    for output in ["out", "out2"] {
        for more in [&[][..], &["--overwrite"]] {
            let arguments = [&["pull", "oci:store:v1", "-o", output], more].concat();
            d1oci(place.path(), &arguments).failure(6);
        }
    }
    assert_eq!(fs::read_dir(place.path().join("outside")).unwrap().count(), 0);
    // A file of the output may be a link: it is replaced, if the user says so, and not followed.
    fs::create_dir_all(place.path().join("out3/bag/data")).unwrap();
    symlink(place.path().join("victim"), place.path().join("out3/bag/data/a.csv")).unwrap();
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out3"]).failure(6);
    d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out3", "--overwrite"]).success();
    assert_eq!(victim(place.path()), b"mine");
    assert_eq!(fs::read(place.path().join("out3/bag/data/a.csv")).unwrap(), payload(1, 400_000));
}

#[test]
fn a_staging_directory_of_another_user_is_refused() {
    let place = prepare();
    let digest = d1oci(place.path(), &["resolve", "oci:store:v1"]).success().text();
    let short = digest.trim().rsplit(':').next().unwrap()[..12].to_owned();
    let staging = place.path().join(format!("out/.d1oci-pull-{short}"));
    fs::create_dir_all(staging.join("files/bag/data")).unwrap();
    symlink(place.path().join("victim"), staging.join("files/bag/data/a.csv")).unwrap();
    // Only the super-user can give a directory away.
    if chown(&staging, Some(65534), Some(65534)).is_err() {
        return skipped("a directory of another user: this user cannot make one");
    }
    assert_eq!(fs::metadata(&staging).unwrap().uid(), 65534);
    let pulled = d1oci(place.path(), &["pull", "oci:store:v1", "-o", "out"]).failure(6);
    assert!(pulled.stderr.contains(".d1oci-pull-"), "{}", pulled.stderr);
    assert_eq!(victim(place.path()), b"mine");
    assert!(!place.path().join("out/bag").exists());
}

#[test]
fn a_pull_replaces_no_device_and_no_pipe() {
    let place = prepare();
    let pipe = place.path().join("out/bag/data/a.csv");
    fs::create_dir_all(pipe.parent().unwrap()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for arguments in
        [&["pull", "oci:store:v1", "-o", "out"][..], &["pull", "oci:store:v1", "-o", "out", "--overwrite"]]
    {
        let refused = d1oci(place.path(), arguments).failure(6);
        assert!(refused.stderr.contains("a.csv"), "{}", refused.stderr);
        assert!(!fs::symlink_metadata(&pipe).unwrap().is_file(), "the pipe was replaced");
    }
}
