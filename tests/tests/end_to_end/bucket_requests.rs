//! Layouts in buckets: how many requests a command sends, how many at once, and which bytes stay in the store.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use backend_layout::LayoutBackend;
use d1oci_tests::{FaultKind, StoreKind, payload};
use oci_model::{Descriptor, ImageManifest, MediaType, RawManifest};
use registry_backend::{Access, BytesSource, RegistryBackend, WriteHint};

use crate::buckets::{MIB, Rig, number_from, on_every_store, push_until};

/// Makes a layout in the directory `many` with so many packages of one file each.
fn many_packages(rig: &Rig, count: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let layout = LayoutBackend::open_directory(rig.session.path("many"), Access::Create).await.unwrap();
        let hint = WriteHint::default();
        layout.write_blob(&BytesSource::new(Descriptor::EMPTY_CONTENT), &hint).await.unwrap();
        let artifact_type = MediaType::from_static("application/vnd.example");
        let writes = (0..count).map(|number| {
            let (layout, hint, artifact_type) = (&layout, &hint, artifact_type.clone());
            async move {
                let content = BytesSource::new(format!("{number},7.2\n"));
                layout.write_blob(&content, hint).await.unwrap();
                let layer = Descriptor::new(
                    MediaType::from_static("text/csv"),
                    registry_backend::BlobSource::digest(&content).clone(),
                    registry_backend::BlobSource::size(&content),
                );
                let mut manifest = ImageManifest::new(artifact_type, Descriptor::empty());
                manifest.layers.push(layer.with_annotation("org.opencontainers.image.title", "table.csv"));
                for (key, value) in [
                    ("org.dataone.identifier", format!("x.{number}")),
                    ("org.opencontainers.image.description", format!("Mooring {number}")),
                    ("org.opencontainers.image.created", format!("20{:02}-01-01T00:00:00Z", number % 20)),
                ] {
                    manifest.annotations.insert(key.to_owned(), value);
                }
                let raw = RawManifest::from_image(&manifest);
                let tag: oci_model::Tag = format!("v{number}").parse().unwrap();
                layout.write_manifest(&tag.into(), &raw).await.unwrap();
            }
        });
        registry_backend::futures::future::join_all(writes).await;
    });
}

/// Returns the requests of a command, which must succeed.
fn requests_of(rig: &Rig, line: &str) -> Vec<String> {
    rig.proxy.take_requests();
    rig.line(line).success();
    rig.proxy.take_requests()
}

fn count(requests: &[String], part: &str) -> usize {
    requests.iter().filter(|request| request.contains(part)).count()
}

#[test]
fn a_command_reads_the_index_once_and_has_tens_of_requests_in_flight() {
    // A server that answers one request at a time shows nothing more.
    for (kind, packages) in [(StoreKind::Versity, 200), (StoreKind::Azurite, 40)] {
        let Some(rig) = &Rig::start(kind) else { continue };
        many_packages(rig, packages);
        rig.proxy.delay(Duration::from_millis(50));
        let mirrored = requests_of(rig, "mirror oci:many URL");
        // The index moves up once for many packages.
        let moved = count(&mirrored, "/index.json");
        assert!(moved <= packages, "{moved} requests about the index");
        assert!(mirrored.len() <= packages * 8 + 20, "{} requests for {packages} packages", mirrored.len());
        rig.proxy.take_most_open();
        for (line, for_each) in [("find URL --format json", 1), ("verify URL --all", 3)] {
            let requests = requests_of(rig, line);
            assert_eq!(count(&requests, "/index.json"), 1, "{line}");
            assert!(requests.len() <= packages * for_each + 2, "{line}: {} requests", requests.len());
            let most = rig.proxy.take_most_open();
            assert!(most >= 16, "{line}: {most} requests at once");
        }
        // The index answers them.
        for line in [
            "find URL",
            "find URL --title mooring --no-catalog",
            "find URL --from 2010-01-01 --to 2012-01-01",
        ] {
            let requests = requests_of(rig, line);
            assert!(requests.len() <= 2, "{line}: {requests:?}");
        }
        // Two artifacts match at most, and are read.
        let requests = requests_of(rig, "find URL --title 20 --to 2001-01-01 --no-catalog --format json");
        assert!(requests.len() <= 4, "{requests:?}");
        let again = requests_of(rig, "mirror oci:many URL");
        assert!(again.len() <= 4, "a mirror without work: {again:?}");
        let tags = requests_of(rig, "tags URL");
        assert!(tags.len() <= 2, "{tags:?}");
    }
}

#[test]
fn a_copy_within_a_bucket_stays_in_the_store() {
    on_every_store(|rig| {
        rig.package("one", 1, 12 * MIB);
        rig.line("push URL:v1 one").success();
        for line in ["copy URL:v1 URL-copied:v1", "mirror URL URL-mirrored"] {
            let before = rig.proxy.sent();
            rig.line(line).success();
            let sent = rig.proxy.sent() - before;
            assert!(sent < 100_000, "{line}: {sent} bytes are sent");
        }
        rig.line("verify URL-copied:v1 --deep").success();
        rig.line("verify URL-mirrored:v1 --deep").success();
    });
}

#[test]
fn a_copy_between_two_buckets_stays_in_the_store() {
    for kind in [StoreKind::Versity, StoreKind::Moto, StoreKind::Google] {
        let Some(rig) = Rig::start(kind) else { continue };
        rig.package("one", 1, 12 * MIB);
        rig.line("push URL:v1 one").success();
        let other = rig.store.other_url("copied");
        let before = rig.proxy.sent();
        rig.line(&format!("copy URL:v1 {other}:v1")).success();
        let sent = rig.proxy.sent() - before;
        assert!(sent < 100_000, "{kind:?}: {sent} bytes are sent");
        rig.line(&format!("verify {other}:v1 --deep")).success();
    }
}

#[test]
fn a_store_that_does_not_copy_receives_the_blob() {
    on_every_store(|rig| {
        rig.package("one", 1, 12 * MIB);
        rig.line("push URL:v1 one").success();
        let before = rig.proxy.sent();
        rig.proxy.add("PUT", "-copy-source: ", 9, FaultKind::Answer(501, "NotImplemented"));
        rig.line("copy URL:v1 URL-copied:v1").success();
        assert!(rig.proxy.sent() - before > 11 * MIB as u64);
        rig.line("verify URL-copied:v1 --deep").success();
    });
}

/// Makes a package with one file of so many mebibytes.
fn large_package(rig: &Rig, name: &str, mebibytes: usize) {
    fs::create_dir_all(rig.session.path(name)).unwrap();
    write_large(&rig.session.path(name).join("large.bin"), mebibytes);
}

/// Writes a file of so many mebibytes.
pub(crate) fn write_large(path: &Path, mebibytes: usize) {
    let mut file = File::create(path).unwrap();
    // One mebibyte of noise, each time with another number at its beginning.
    let mut block = payload(1, MIB);
    for number in 0..mebibytes {
        block[..8].copy_from_slice(&(number as u64).to_le_bytes());
        file.write_all(&block).unwrap();
    }
}

#[test]
fn a_large_file_passes_a_slow_link_and_a_kill_without_being_sent_twice() {
    let Some(rig) = Rig::start(StoreKind::Versity) else { return };
    let mebibytes = number_from("D1OCI_TEST_BUCKET_MIB", 48);
    let size = (mebibytes * MIB) as u64;
    // Every transfer takes several times as long as all limits together.
    rig.configure("silence-timeout = 2\ncommit-timeout = 300\npatience = 4\n");
    let rate = (size / 96).max(4 * MIB as u64);
    rig.proxy.throttle(rate);
    large_package(&rig, "large", mebibytes);
    // The parts under way when a process is killed are sent again.
    let most = size / 10 * 11 + 15 * MIB as u64;
    for (line, source) in [("push URL:v1 large", "push"), ("copy oci:other:v1 URL-other:v1", "copy")] {
        let before = rig.proxy.sent();
        let mut first = push_until(&rig, line, size / 2);
        first.kill().unwrap();
        first.wait().unwrap();
        rig.line(line).success();
        let sent = rig.proxy.sent() - before;
        assert!(sent <= most, "{source}: {sent} bytes are sent for {size}");
        if source == "push" {
            let before = rig.proxy.received();
            rig.proxy.add("GET", "/blobs/", 3, FaultKind::CutAfter(size / 4));
            rig.line("copy URL:v1 oci:other:v1").success();
            let received = rig.proxy.received() - before;
            assert!(received <= most, "{received} bytes are received for {size}");
        }
    }
    rig.line("verify URL:v1 --deep").success();
    rig.line("verify oci:other:v1 --deep").success();
    rig.line("verify URL-other:v1").success();
}
