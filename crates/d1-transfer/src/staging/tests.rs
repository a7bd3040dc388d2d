//! Staged, published and leftover files.

use std::collections::HashSet;
use std::os::unix::fs::symlink;

use super::*;

fn open(output: &Path) -> Result<Arc<Staging>> {
    Staging::open(output, &Digest::sha256_of(b"manifest"), None).map(|(staging, _)| staging)
}

fn stage(staging: &Staging, files: &[(&str, &str)]) {
    for (path, content) in files {
        let partial = staging.partial(path);
        fs::write(&partial, content).unwrap();
        staging.finish(&partial, path).unwrap();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = entries(directory)
        .unwrap()
        .into_iter()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn finished_files_appear_at_once_and_nothing_is_left() {
    let output = tempfile::tempdir().unwrap();
    let staging = open(output.path()).unwrap();
    stage(&staging, &[("bag/data/a", "1"), ("bag/b", "2")]);
    staging.publish(false).unwrap();
    drop(staging);
    assert_eq!(fs::read(output.path().join("bag/data/a")).unwrap(), b"1");
    assert_eq!(names(output.path()), ["bag"]);
}

#[test]
fn other_files_of_the_target_stay() {
    let output = tempfile::tempdir().unwrap();
    fs::create_dir_all(output.path().join("bag/data/c")).unwrap();
    for (path, content) in [("bag/data/mine", "mine"), ("bag/b", "old"), ("bag/same", "same")] {
        fs::write(output.path().join(path), content).unwrap();
    }
    let staging = open(output.path()).unwrap();
    stage(&staging, &[("bag/data/a", "1"), ("bag/b", "2"), ("bag/same", "same")]);
    let Err(Error::TargetHolds { paths }) = staging.publish(false) else { panic!("it should be refused") };
    assert_eq!(paths, [output.path().join("bag/b")]);
    assert!(!output.path().join("bag/data/a").exists(), "something moved");
    drop(staging);

    let staging = open(output.path()).unwrap();
    staging.publish(true).unwrap();
    assert_eq!(fs::read(output.path().join("bag/b")).unwrap(), b"2");
    assert_eq!(fs::read(output.path().join("bag/data/mine")).unwrap(), b"mine");
}

#[test]
fn a_directory_is_not_replaced_by_a_file_nor_a_file_by_a_directory() {
    for (there, staged) in [("bag/a/x", "bag/a"), ("bag/a", "bag/a/x")] {
        let output = tempfile::tempdir().unwrap();
        let path = output.path().join(there);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let staging = open(output.path()).unwrap();
        stage(&staging, &[(staged, "1")]);
        assert!(matches!(staging.publish(true), Err(Error::TargetHolds { .. })), "{there}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}

#[test]
fn equal_links_are_not_in_the_way_and_others_are() {
    let output = tempfile::tempdir().unwrap();
    let staging = open(output.path()).unwrap();
    for (target, refused) in [("b", false), ("c", true)] {
        for place in [output.path().join("link"), staging.finished("link")] {
            let _ = fs::remove_file(&place);
        }
        symlink("b", staging.finished("link")).unwrap();
        symlink(target, output.path().join("link")).unwrap();
        let mut in_the_way = Vec::new();
        look_ahead(&staging.files(), output.path(), false, &mut in_the_way).unwrap();
        assert_eq!(!in_the_way.is_empty(), refused, "{target}");
    }
}

#[test]
fn one_directory_takes_one_pull_of_the_same_at_a_time() {
    let output = tempfile::tempdir().unwrap();
    let first = open(output.path()).unwrap();
    assert!(matches!(open(output.path()), Err(Error::Busy { .. })));
    let (manifest, part) = (Digest::sha256_of(b"manifest"), Digest::sha256_of(b"part"));
    Staging::open(output.path(), &manifest, Some(&part)).unwrap();
    drop(first);
    open(output.path()).unwrap();
}

#[test]
fn an_empty_staging_directory_goes_and_one_with_something_in_it_stays() {
    let output = tempfile::tempdir().unwrap();
    drop(open(output.path()).unwrap());
    assert_eq!(names(output.path()), Vec::<String>::new());
    let staging = open(output.path()).unwrap();
    fs::write(staging.partial("a"), "begun").unwrap();
    drop(staging);
    assert_eq!(names(output.path()).len(), 1);
    assert_eq!(fs::read(open(output.path()).unwrap().partial("a")).unwrap(), b"begun");
}

#[tokio::test]
async fn the_wait_ends_with_the_last_user() {
    let output = tempfile::tempdir().unwrap();
    let (staging, released) = Staging::open(output.path(), &Digest::sha256_of(b"manifest"), None).unwrap();
    let other = Arc::clone(&staging);
    drop(staging);
    let mut wait = std::pin::pin!(released.wait());
    assert!(futures::poll!(&mut wait).is_pending());
    drop(other);
    wait.await;
    open(output.path()).unwrap();
}

#[test]
fn what_does_not_belong_among_the_finished_files_is_removed() {
    let output = tempfile::tempdir().unwrap();
    let staging = open(output.path()).unwrap();
    stage(&staging, &[("bag/a", "1"), ("bag/data/b", "2"), ("bag/other/c", "3")]);
    fs::create_dir(staging.finished("bag/empty")).unwrap();
    symlink("/etc", staging.finished("bag/etc")).unwrap();
    symlink("a", staging.finished("bag/link")).unwrap();
    let wanted = ["bag/a", "bag/data/b", "bag/link", "bag/etc/passwd"].map(str::to_owned);
    let mut kept = HashSet::new();
    let mut keep = |path: &str| {
        let is_wanted = wanted.iter().any(|wanted| wanted == path);
        is_wanted && kept.insert(path.to_owned())
    };
    staging.keep_only(&mut keep).unwrap();
    assert_eq!(kept, HashSet::from(["bag/a", "bag/data/b"].map(str::to_owned)));
    assert_eq!(names(&staging.finished("bag")), ["a", "data"]);
}

#[test]
fn two_files_do_not_get_one_name() {
    let output = tempfile::tempdir().unwrap();
    let staging = open(output.path()).unwrap();
    stage(&staging, &[("a", "1")]);
    let partial = staging.partial("other");
    fs::write(&partial, "2").unwrap();
    assert!(matches!(staging.finish(&partial, "a"), Err(Error::Content { .. })));
    assert_eq!(fs::read(staging.finished("a")).unwrap(), b"1");
}

#[test]
fn nothing_is_written_through_a_link() {
    let output = tempfile::tempdir().unwrap();
    symlink("/", output.path().join("bag")).unwrap();
    assert!(refuse_links(output.path(), "bag/data/a").is_err());
    assert!(refuse_links(output.path(), "other/data/a").is_ok());

    let elsewhere = tempfile::tempdir().unwrap();
    let staging = open(output.path()).unwrap();
    symlink(elsewhere.path(), staging.finished("link")).unwrap();
    let partial = staging.partial("a");
    fs::write(&partial, "1").unwrap();
    assert!(staging.finish(&partial, "link/a").is_err());
    assert_eq!(names(elsewhere.path()), Vec::<String>::new());
}

#[test]
fn a_link_in_the_place_of_the_staging_directory_is_not_followed() {
    for part in ["", "files", "parts", "lock"] {
        let (output, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("mine"), "mine").unwrap();
        let root = output.path().join(format!(".d1oci-pull-{}", Digest::sha256_of(b"manifest").short()));
        let target = if part == "lock" { elsewhere.path().join("mine") } else { elsewhere.path().to_owned() };
        if !part.is_empty() {
            fs::create_dir(&root).unwrap();
        }
        symlink(target, root.join(part)).unwrap_or_else(|_| symlink(elsewhere.path(), &root).unwrap());
        assert!(matches!(open(output.path()), Err(Error::Io { .. })), "{part}");
        assert_eq!(fs::read(elsewhere.path().join("mine")).unwrap(), b"mine");
        assert_eq!(names(elsewhere.path()), ["mine"]);
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let place = tempfile::tempdir().unwrap();
    drop(open(place.path()).unwrap());
    let manifest = Digest::sha256_of(b"manifest");
    let root = place.path().join(format!(".d1oci-pull-{}", manifest.short()));
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(open(place.path()), Err(Error::Io { operation: "use", .. })));
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    let staging = open(place.path()).unwrap();
    assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
    drop(staging);
}

/// Another process swaps a directory of the output for a link again and again.
#[test]
fn nothing_goes_through_a_directory_that_is_swapped_for_a_link() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let (output, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (bag, aside) = (output.path().join("bag"), output.path().join("aside"));
    fs::create_dir(&bag).unwrap();
    symlink(outside.path(), output.path().join("link")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // These fail while the other side has the names.
                let _ = fs::rename(&bag, &aside).and_then(|()| fs::rename(output.path().join("link"), &bag));
                let _ = fs::rename(&bag, output.path().join("link")).and_then(|()| fs::rename(&aside, &bag));
            }
        });
        // A busy machine can stop the other side for long while the link is there. So it goes on until one round passed.
        let (mut round, mut published) = (0_u32, 0);
        while round < 150 || (published == 0 && round < 20_000) {
            let manifest = Digest::sha256_of(&round.to_be_bytes());
            let (staging, _) = Staging::open(output.path(), &manifest, None).expect("it can be opened");
            let path = format!("bag/data-{round}/a");
            stage(&staging, &[(&path, "1")]);
            // It may refuse the link. It must not follow it.
            published += usize::from(staging.publish(false).is_ok());
            round += 1;
        }
        done.store(true, Ordering::Relaxed);
        assert!(published > 0, "every round failed");
    });
    assert_eq!(names(outside.path()), [""; 0]);
}

/// Swaps a directory in the staging directory for a link while files get their names there.
#[test]
fn nothing_goes_through_a_staged_directory_that_is_swapped_for_a_link() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let (output, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let staging = open(output.path()).unwrap();
    let (bag, aside, link) = (staging.finished("bag"), staging.finished("aside"), staging.finished("link"));
    fs::create_dir(&bag).unwrap();
    symlink(outside.path(), &link).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // These fail while the other side has the names.
                let _ = fs::rename(&bag, &aside).and_then(|()| fs::rename(&link, &bag));
                let _ = fs::rename(&bag, &link).and_then(|()| fs::rename(&aside, &bag));
            }
        });
        // As above: until one round passed.
        let (mut round, mut finished) = (0, 0);
        while round < 2000 || (finished == 0 && round < 2_000_000) {
            let partial = staging.partial("a");
            staging.open_partial(&partial).unwrap();
            // It may refuse the link. It must not follow it.
            finished += usize::from(staging.finish(&partial, &format!("bag/{round}")).is_ok());
            round += 1;
        }
        done.store(true, Ordering::Relaxed);
        assert!(finished > 0, "every round failed");
    });
    assert_eq!(names(outside.path()), [""; 0]);
}

#[test]
fn a_partial_file_that_is_a_link_is_not_written() {
    let (output, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let staging = open(output.path()).unwrap();
    let partial = staging.partial("a");
    symlink(outside.path().join("new"), &partial).unwrap();
    assert!(matches!(staging.open_partial(&partial), Err(Error::Io { .. })));
    assert_eq!(names(outside.path()), [""; 0]);
}

#[test]
fn a_staging_directory_that_is_swapped_for_a_link_is_refused() {
    let (output, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let staging = open(output.path()).unwrap();
    stage(&staging, &[("bag/a", "1")]);
    let moved = output.path().join("moved");
    fs::rename(&staging.root, &moved).unwrap();
    symlink(outside.path(), &staging.root).unwrap();
    fs::create_dir_all(outside.path().join("files/bag")).unwrap();
    fs::write(outside.path().join("files/bag/a"), "another").unwrap();
    assert!(matches!(staging.publish(false), Err(Error::Io { .. })));
    assert!(!output.path().join("bag").exists());
}
