//! The target directory before and after a pull.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use d1_package::Accept;
use d1_package::Layout;
use d1_transfer::{Error, Phase, PullOptions, open_package, pull, push_directory, read_file_to};
use registry_backend::{MemoryBackend, RegistryBackend};
use registry_conformance::{CountingBackend, Fault, FaultAction, FaultyBackend, Operation};

use crate::altered::Altered;
use crate::support::{
    Listener, Place, at, include, leftovers, memory, memory_with, noise, pull_to, pull_with, push,
    push_options, silent, text, tree,
};

async fn pushed(place: &Place) -> (Arc<MemoryBackend>, std::path::PathBuf) {
    let bag =
        place.bag("bag", &[("a.csv", text(1, 3000)), ("b/c.nc", noise(2, 9000)), ("b/d.nc", noise(3, 800))]);
    let backend = memory();
    push(&*backend, &bag).await.unwrap();
    (backend, bag)
}

fn holds(result: d1_transfer::Result<d1_transfer::PullReport>) -> Vec<std::path::PathBuf> {
    match result {
        Err(Error::TargetHolds { paths }) => paths,
        other => panic!("nothing was in the way: {other:?}"),
    }
}

#[tokio::test]
async fn other_files_in_the_way_are_all_named_and_none_is_touched() {
    let place = Place::new();
    let (backend, bag) = pushed(&place).await;
    let output = place.write(
        "out",
        &[
            ("bag/data/a.csv", b"mine".to_vec()),
            ("bag/data/b/c.nc", noise(4, 9000)),
            ("bag/data/b/d.nc", noise(3, 800)),
            ("bag/notes.txt", b"mine too".to_vec()),
        ],
    );
    let before = tree(&output);
    let in_the_way = holds(pull_to(&*backend, &output).await);
    assert_eq!(in_the_way, ["bag/data/a.csv", "bag/data/b/c.nc"].map(|path| output.join(path)));
    assert_eq!(tree(&output), before);
    assert_eq!(leftovers(&output).len(), 0);

    let pulled = pull_with(&*backend, &output, |options| options.overwrite = true).await.unwrap();
    assert_eq!(pulled.kept_files, 1);
    let mut expected = tree(&bag);
    expected.insert("notes.txt".to_owned(), Some(b"mine too".to_vec()));
    assert!(tree(&output.join("bag")) == expected);
}

#[tokio::test]
async fn directories_and_links_are_not_replaced_even_if_files_may_be() {
    let place = Place::new();
    let (backend, _) = pushed(&place).await;
    type Obstacle = fn(&Path);
    let obstacles: [(&str, Obstacle); 5] = [
        ("a directory for a file", |output| fs::create_dir_all(output.join("bag/data/a.csv/mine")).unwrap()),
        ("a file for the package", |output| fs::write(output.join("bag"), "mine").unwrap()),
        ("a file for a directory", |output| {
            fs::create_dir(output.join("bag")).unwrap();
            fs::write(output.join("bag/data"), "mine").unwrap();
        }),
        ("a link for the package", |output| symlink("elsewhere", output.join("bag")).unwrap()),
        ("a link for a directory", |output| {
            fs::create_dir(output.join("bag")).unwrap();
            symlink("../elsewhere", output.join("bag/data")).unwrap();
        }),
    ];
    for (number, (name, obstruct)) in obstacles.into_iter().enumerate() {
        let output = place.write(&number.to_string(), &[("elsewhere/b/c.nc", b"mine".to_vec())]);
        obstruct(&output);
        let before = tree(&output);
        for overwrite in [false, true] {
            let result = pull_with(&*backend, &output, |options| options.overwrite = overwrite).await;
            assert!(
                matches!(result, Err(Error::TargetHolds { .. } | Error::Io { .. })),
                "{name}: {result:?}"
            );
            assert_eq!(tree(&output), before, "{name}");
        }
    }
}

#[tokio::test]
async fn a_link_to_a_file_is_replaced_and_not_followed() {
    let place = Place::new();
    let (backend, bag) = pushed(&place).await;
    let output = place.write("out", &[("mine", b"mine".to_vec()), ("bag/data/", Vec::new())]);
    symlink("../../mine", output.join("bag/data/a.csv")).unwrap();
    assert_eq!(holds(pull_to(&*backend, &output).await), [output.join("bag/data/a.csv")]);
    pull_with(&*backend, &output, |options| options.overwrite = true).await.unwrap();
    assert!(tree(&output.join("bag")) == tree(&bag));
    assert_eq!(fs::read(output.join("mine")).unwrap(), b"mine");
}

#[tokio::test]
async fn an_output_that_is_a_file_is_an_error_that_names_it() {
    let place = Place::new();
    let (backend, _) = pushed(&place).await;
    let output = place.write(".", &[("out", b"mine".to_vec())]).join("out");
    for output in [output.clone(), output.join("below")] {
        let Err(Error::Io { path, .. }) = pull_to(&*backend, &output).await else { panic!("it is a file") };
        assert!(path.starts_with(&output), "{path:?}");
    }
    assert_eq!(fs::read(output).unwrap(), b"mine");
}

#[tokio::test]
async fn only_what_is_included_comes() {
    let place = Place::new();
    let (_, bag) = pushed(&place).await;
    for (layout, index) in [(Layout::Objects, true), (Layout::Archive, true)] {
        let (backend, mut options) = (memory(), push_options());
        (options.layout, options.index) = (layout, index);
        push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
        let output = place.path(&layout.to_string());
        let wanted: &[&str] = &["data/b/c.nc", "bag-info.txt"];
        let pulled = pull_with(&*backend, &output, |options| include(options, wanted)).await.unwrap();
        assert_eq!((pulled.files, pulled.bag.is_none()), (2, true));
        let files: Vec<String> = tree(&output.join("bag")).into_keys().collect();
        assert_eq!(files, ["bag-info.txt", "data", "data/b", "data/b/c.nc"]);
        // The rest completes it.
        pull_to(&*backend, &output).await.unwrap();
        assert!(tree(&output.join("bag")) == tree(&bag));
        let nothing = pull_with(&*backend, &output, |options| include(options, &["none"])).await;
        assert!(matches!(nothing, Err(Error::NotInPackage { wanted }) if wanted == "none"));
    }
}

#[tokio::test]
async fn without_an_index_files_of_archives_cannot_be_chosen() {
    let place = Place::new();
    let (_, bag) = pushed(&place).await;
    let (backend, mut options) = (memory(), push_options());
    options.index = false;
    push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
    for wanted in [&["data/b/c.nc"][..], &["bagit.txt"]] {
        let refused = pull_with(&*backend, &place.path("out"), |options| include(options, wanted)).await;
        assert!(matches!(refused, Err(Error::NoIndex { .. })), "{wanted:?}");
    }
}

#[tokio::test]
async fn a_package_without_an_index_can_be_pulled_onto_itself() {
    let place = Place::new();
    let (_, bag) = pushed(&place).await;
    for layout in [Layout::Objects, Layout::Archive] {
        let (backend, mut options) = (memory(), push_options());
        (options.layout, options.index) = (layout, false);
        push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
        let output = place.path(&layout.to_string());
        for _ in 0..2 {
            let pulled = pull_to(&*backend, &output).await.unwrap();
            assert!(pulled.bag.is_some_and(|report| report.valid));
            assert!(tree(&output.join("bag")) == tree(&bag));
        }
        fs::write(output.join("bag/bag-info.txt"), "mine").unwrap();
        assert_eq!(holds(pull_to(&*backend, &output).await), [output.join("bag/bag-info.txt")]);
        assert_eq!(fs::read(output.join("bag/bag-info.txt")).unwrap(), b"mine");
    }
}

#[tokio::test]
async fn what_lies_in_the_staging_directory_is_published_only_if_it_is_right() {
    let place = Place::new();
    let (backend, bag) = pushed(&place).await;
    let output = place.path("out");
    // The smallest object comes last: everything else is finished then.
    let cut = Fault::nth(Operation::ReadBlob, 5, FaultAction::CutStream(10));
    let slow = memory_with(|capabilities| capabilities.parallel_blobs = 1);
    push(&*slow, &bag).await.unwrap();
    assert!(pull_to(&FaultyBackend::new(slow).with(cut), &output).await.is_err());
    let staged = leftovers(&output)[0].join("files/bag");
    let data = staged.join("data");
    assert!(data.join("b/c.nc").exists() && data.join("a.csv").exists(), "{:?}", tree(&staged));
    fs::write(data.join("b/c.nc"), noise(7, 9000)).unwrap();
    fs::write(data.join("stranger"), "x").unwrap();
    fs::write(staged.join(".d1oci-unpack-1-1"), "half").unwrap();
    fs::create_dir(data.join("strange directory")).unwrap();
    symlink("/etc/hostname", data.join("link")).unwrap();
    symlink("c.nc", data.join("b/d.nc")).unwrap();
    let pulled = pull_to(&*backend, &output).await.unwrap();
    assert_eq!(pulled.kept_files, pulled.files - 2);
    assert!(tree(&output.join("bag")) == tree(&bag));
    assert_eq!(leftovers(&output).len(), 0);
}

#[tokio::test]
async fn a_staged_file_does_not_replace_what_stands_at_its_place() {
    let place = Place::new();
    let (_, bag) = pushed(&place).await;
    let slow = memory_with(|capabilities| capabilities.parallel_blobs = 1);
    push(&*slow, &bag).await.unwrap();
    let output = place.path("out");
    let cut = Fault::nth(Operation::ReadBlob, 5, FaultAction::CutStream(10));
    assert!(pull_to(&FaultyBackend::new(slow.clone()).with(cut), &output).await.is_err());
    fs::write(leftovers(&output)[0].join("files/bag/data/a.csv"), text(9, 3000)).unwrap();
    fs::create_dir_all(output.join("bag/data")).unwrap();
    fs::copy(bag.join("data/a.csv"), output.join("bag/data/a.csv")).unwrap();
    for overwrite in [false, true] {
        pull_with(&*slow, &output, |options| options.overwrite = overwrite).await.unwrap();
        assert!(tree(&output.join("bag")) == tree(&bag));
    }
}

#[tokio::test]
async fn a_bag_that_is_not_valid_gets_no_place_unless_nobody_minds() {
    let place = Place::new();
    let (_, bag) = pushed(&place).await;
    fs::remove_file(bag.join("data/a.csv")).unwrap();
    fs::write(bag.join("data/extra"), "x").unwrap();
    for index in [true, false] {
        let (backend, mut options) = (memory(), push_options());
        (options.verify, options.index) = (false, index);
        push_directory(&*backend, &bag, &options, &silent()).await.unwrap();
        let output = place.path(&index.to_string());
        let Err(Error::InvalidBag { report, directory }) = pull_to(&*backend, &output).await else {
            panic!("the bag is not valid")
        };
        assert_eq!(directory, output.join("bag"));
        let named: Vec<_> = report.errors().filter_map(|fault| fault.path.as_deref()).collect();
        assert!(named.contains(&"data/a.csv") && named.contains(&"data/extra"), "{named:?}");
        assert!(tree(&output).is_empty());
        let pulled = pull_with(&*backend, &output, |options| options.no_bag_check = true).await.unwrap();
        assert!(pulled.bag.is_none() && (!index || pulled.received_bytes == 0));
        assert!(tree(&output.join("bag")) == tree(&bag));
    }
}

#[tokio::test]
async fn tolerated_faults_are_told() {
    let place = Place::new();
    let bag = place.bag("bag", &[("a.csv", text(1, 300))]);
    symlink("a.csv", bag.join("data/link")).unwrap();
    let manifests = ["md5", "sha256"].map(|name| bag.join(format!("manifest-{name}.txt")));
    for manifest in manifests {
        let listed = fs::read_to_string(&manifest).unwrap();
        fs::write(manifest, listed.clone() + &listed.replace("a.csv", "link")).unwrap();
    }
    for name in ["tagmanifest-md5.txt", "tagmanifest-sha256.txt", "bag-info.txt"] {
        fs::remove_file(bag.join(name)).unwrap();
    }
    let (backend, listener) = (memory(), Listener::new());
    push_directory(&*backend, &bag, &push_options(), &listener.observer()).await.unwrap();
    assert!(listener.warnings().iter().any(|text| text.contains("data/link")), "{:?}", listener.warnings());
    let mut options = PullOptions::default();
    options.accept = Accept::DataOne;
    let output = place.path("out");
    pull(&*backend, &at("v1"), &output, &options, &silent()).await.unwrap();
    assert_eq!(fs::read(output.join("bag/data/link")).unwrap(), text(1, 300));
}

#[tokio::test]
async fn progress_adds_up_to_what_was_announced() {
    let place = Place::new();
    let bag =
        place.bag("bag", &[("a.csv", text(1, 3000)), ("b.nc", noise(2, 9000)), ("same.nc", noise(2, 9000))]);
    for (layout, part_bytes) in
        [(Layout::Objects, None), (Layout::Archive, None), (Layout::Objects, Some(4000))]
    {
        let backend = memory_with(|capabilities| capabilities.part_bytes = part_bytes);
        let (listener, mut options) = (Listener::new(), push_options());
        options.layout = layout;
        push_directory(&*backend, &bag, &options, &listener.observer()).await.unwrap();
        for phase in [Phase::Check, Phase::Pack, Phase::Upload] {
            let tally = listener.phase(phase);
            assert!(tally.began == 1 && tally.done == tally.planned, "{layout} {phase:?}: {tally:?}");
        }
        let (listener, output) = (Listener::new(), place.path("out"));
        pull(&*backend, &at("v1"), &output, &PullOptions::default(), &listener.observer()).await.unwrap();
        let tally = listener.phase(Phase::Download);
        assert!(tally.began == 1 && tally.done == tally.planned, "{layout}: {tally:?}");
        assert!(listener.blobs().iter().all(|(_, outcome)| outcome == "Downloaded"));
        fs::remove_dir_all(output.join("bag/data")).unwrap();
        let again = Listener::new();
        pull(&*backend, &at("v1"), &output, &PullOptions::default(), &again.observer()).await.unwrap();
        assert!(again.blobs().contains(&("bagit.txt".to_owned(), "Kept".to_owned())), "{:?}", again.blobs());
        for phase in [Phase::Check, Phase::Download] {
            let tally = again.phase(phase);
            assert!(tally.began > 0 && tally.done == tally.planned, "{layout} {phase:?}: {tally:?}");
        }
        fs::remove_dir_all(output).unwrap();
    }
}

#[tokio::test]
async fn a_pull_that_is_given_up_lets_go_of_its_target() {
    let place = Place::new();
    let bag = place.bag("bag", &[("a.nc", noise(1, 500_000)), ("b.nc", noise(2, 400_000))]);
    let backend = memory();
    push(&*backend, &bag).await.unwrap();
    let (sender, mut stuck) = tokio::sync::mpsc::unbounded_channel();
    let store = Altered::new(backend.clone()).stuck_behind(100_000, sender);
    let output = place.path("out");
    let target = output.clone();
    let pulling = tokio::spawn(async move { pull_to(&store, &target).await });
    stuck.recv().await.unwrap();
    assert!(matches!(pull_to(&*backend, &output).await, Err(Error::Busy { .. })));
    pulling.abort();
    assert!(pulling.await.unwrap_err().is_cancelled());
    // Its threads end by themselves; until then, the directory is taken.
    loop {
        match pull_to(&*backend, &output).await {
            Err(Error::Busy { .. }) => tokio::task::yield_now().await,
            other => break assert_eq!(other.unwrap().files, tree(&bag).len() as u64 - 1),
        }
    }
    assert!(tree(&output.join("bag")) == tree(&bag));
    assert_eq!(leftovers(&output).len(), 0);
}

#[tokio::test]
async fn a_large_file_is_continued_where_an_earlier_read_of_it_ended() {
    const CUT: u64 = 2_000_000;
    let place = Place::new();
    let content = noise(1, 3_000_000);
    let bag = place.bag("bag", &[("large.nc", content.clone())]);
    let backend = memory();
    push(&*backend, &bag).await.unwrap();
    let package = open_package(&*backend, &at("v1")).await.unwrap();
    let out = place.write("out", &[("large.nc", b"other".to_vec())]);
    let target = out.join("large.nc");
    let cut = Fault::always(Operation::ReadBlob, FaultAction::CutStream(CUT));
    let faulty = FaultyBackend::new(Arc::clone(&backend) as Arc<dyn RegistryBackend>).with(cut);
    read_file_to(&faulty, &package, "data/large.nc", &target, &silent()).await.unwrap_err();
    assert_eq!(fs::read(&target).unwrap(), b"other", "the file is replaced when the content is right");
    let counting = CountingBackend::new(Arc::clone(&backend) as Arc<dyn RegistryBackend>);
    read_file_to(&counting, &package, "data/large.nc", &target, &silent()).await.unwrap();
    assert!(fs::read(&target).unwrap() == content);
    assert_eq!(counting.bytes_read().values().sum::<u64>(), content.len() as u64 - CUT);
    assert!(leftovers(&out).is_empty());
    // A beginning with other bytes is received again.
    let flip = Fault::always(Operation::ReadBlob, FaultAction::FlipByte(7));
    let flipping = FaultyBackend::new(Arc::clone(&backend) as Arc<dyn RegistryBackend>).with(flip);
    let error = read_file_to(&flipping, &package, "data/large.nc", &target, &silent()).await.unwrap_err();
    assert!(matches!(error, Error::Content { .. }), "{error:?}");
    assert!(fs::read(&target).unwrap() == content);
    assert!(leftovers(&out).is_empty(), "{:?}", leftovers(&out));
}
