//! Repositories that change, and fail, while they are served.

use std::sync::Arc;

use d1_gateway::GatewayOptions;
use d1_testnode::{Catalog, ScriptedNode};
use oci_model::Tag;
use registry_backend::{ErrorKind, MemoryBackend, RegistryBackend};
use registry_conformance::{Fault, FaultAction, FaultyBackend, Operation};

use crate::support::*;

/// Deletes the tags of a package: that of its identifier, and that of its map.
async fn delete(backend: &MemoryBackend, name: &str) {
    for identifier in [name.to_owned(), format!("{name}.map")] {
        let tag: Tag = id(&identifier).tag().parse().unwrap();
        backend.admin().unwrap().delete_tag(&tag).await.unwrap();
    }
}

async fn node(names: &[String]) -> ScriptedNode {
    let mut catalog = Catalog::default();
    for name in names {
        let data = format!("{name}.data");
        put_data(&mut catalog, &data, format!("{name}\n").repeat(3000).into_bytes(), "data.csv");
        put_package(&mut catalog, name, &[data.as_str()], None);
    }
    ScriptedNode::serve(catalog).await.unwrap()
}

#[tokio::test]
async fn a_refresh_finds_new_packages_and_forgets_deleted_ones() {
    let names: Vec<String> = (0..2).map(|number| format!("n{number}")).collect();
    let node = node(&names).await;
    let backend = Arc::new(MemoryBackend::new());
    copy(&*backend, &node.member_url(), "n0.map").await;
    let served = Served::start(Arc::clone(&backend) as _).await;
    assert_eq!(served.get("/o/n1.data").await.status, 404);
    copy(&*backend, &node.member_url(), "n1.map").await;
    served.gateway.refresh().await.unwrap();
    assert_eq!(served.get("/o/n1.data").await.status, 200);
    delete(&backend, "n0").await;
    served.gateway.refresh().await.unwrap();
    assert_eq!(served.get("/o/n0.data").await.status, 404);
    assert!(served.get("/mn/v2/object").await.text().contains("total=\"3\""));
}

/// Reads a page of the list of objects: identifiers and total.
async fn page(served: &Served, start: usize, count: usize) -> (Vec<String>, usize) {
    let text = served.get(&format!("/mn/v2/object?start={start}&count={count}")).await.text();
    let between = |text: &str, end: &str| text.split(end).next().unwrap().to_owned();
    let found = text.split("<identifier>").skip(1).map(|rest| between(rest, "<")).collect();
    let total = between(text.split("total=\"").nth(1).unwrap(), "\"").parse().unwrap();
    (found, total)
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_paged_lacks_nothing_and_has_nothing_twice() {
    let names: Vec<String> =
        ["m0", "m1", "m2", "m3", "m4", "a0", "z0", "b0"].into_iter().map(str::to_owned).collect();
    let node = node(&names).await;
    let backend = Arc::new(MemoryBackend::new());
    for name in &names[..5] {
        copy(&*backend, &node.member_url(), &format!("{name}.map")).await;
    }
    let served = Served::start(Arc::clone(&backend) as _).await;
    let mut seen: Vec<String> = Vec::new();
    let (_, length) = page(&served, 0, 0).await;
    assert_eq!(length, 15);
    for round in 0.. {
        let (found, total) = page(&served, seen.len(), 4).await;
        // A page that is asked for again is the same.
        assert_eq!(page(&served, seen.len(), 4).await, (found.clone(), total));
        seen.extend(found);
        match round {
            // These come before and behind the place that the reader has reached.
            0 => drop(copy(&*backend, &node.member_url(), "a0.map").await),
            1 => {
                delete(&backend, "m3").await;
                copy(&*backend, &node.member_url(), "z0.map").await;
            }
            2 => {
                delete(&backend, "m0").await;
                copy(&*backend, &node.member_url(), "b0.map").await;
            }
            _ => {}
        }
        served.gateway.refresh().await.unwrap();
        if seen.len() >= total {
            break;
        }
    }
    let mut expected = Vec::new();
    for name in ["m0", "m1", "m2", "m4"] {
        expected.extend([name.to_owned(), format!("{name}.data"), format!("{name}.map")]);
    }
    seen.sort();
    expected.sort();
    let of_deleted = seen.iter().filter(|pid| pid.starts_with("m3")).count();
    seen.retain(|pid| !pid.starts_with("m3"));
    assert!(of_deleted < 3, "{of_deleted} of a deleted package");
    assert_eq!(seen, expected);
    // The next list has the state of now.
    let (now, total) = page(&served, 0, 100).await;
    assert!(
        total == 18 && now.iter().any(|pid| pid == "a0") && !now.iter().any(|pid| pid == "m0"),
        "{now:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_right_bytes_or_nothing_while_packages_come_and_go() {
    let names: Vec<String> = (0..6).map(|number| format!("w{number}")).collect();
    let node = node(&names).await;
    let backend = Arc::new(MemoryBackend::new());
    let served = Arc::new(Served::start(Arc::clone(&backend) as _).await);
    let clients = (0..20_usize).map(|client| {
        let (served, names) = (Arc::clone(&served), names.clone());
        tokio::spawn(async move {
            for round in 0..30_usize {
                let name = &names[(client + round) % names.len()];
                let answer = served.get(&format!("/o/{name}.data")).await;
                match answer.status {
                    200 => assert_eq!(answer.text(), format!("{name}\n").repeat(3000)),
                    404 => {}
                    other => panic!("{name}: {other}"),
                }
                let list = served.get("/mn/v2/object").await;
                assert_eq!(list.status, 200);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for round in 0..3 {
        for name in &names {
            copy(&*backend, &node.member_url(), &format!("{name}.map")).await;
            served.gateway.refresh().await.unwrap();
        }
        for name in names.iter().skip(round % 2) {
            delete(&backend, name).await;
            served.gateway.refresh().await.unwrap();
        }
    }
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_away_gives_503_and_no_detail() {
    let node = node(&["a".to_owned()]).await;
    let memory = Arc::new(MemoryBackend::new());
    copy(&*memory, &node.member_url(), "a.map").await;
    let served = Served::start(Arc::clone(&memory) as _).await;
    assert_eq!(served.get("/o/a.data").await.status, 200);
    let fault = Fault::always(Operation::ReadBlob, FaultAction::Fail(ErrorKind::Unavailable));
    let away = served.with_backend(Arc::new(FaultyBackend::new(memory).with(fault))).await;
    for target in ["/o/a.data", "/mn/v2/object/a.data", "/mn/v2/meta/a.data"] {
        let answer = away.get(target).await;
        assert_eq!(answer.status, 503, "{target}: {}", answer.text());
        assert!(
            answer.header("Retry-After").is_some() && !answer.text().contains("sha256"),
            "{}",
            answer.text()
        );
    }
    // The catalogue still answers.
    assert_eq!(away.get("/p/a/").await.status, 200);
}

/// Returns a store that answers the first request for a blob, and no later one.
fn away_after_one_blob(backend: Arc<MemoryBackend>) -> Arc<FaultyBackend> {
    let unavailable = |call| Fault::nth(Operation::ReadBlob, call, FaultAction::Fail(ErrorKind::Unavailable));
    Arc::new((2..100).map(unavailable).fold(FaultyBackend::new(backend), FaultyBackend::with))
}

#[tokio::test]
async fn content_on_the_disk_is_served_while_the_store_is_away() {
    let expected = numbers(400_000);
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "d.large", expected.clone(), "large.csv");
    put_data(&mut catalog, "d.other", b"other\n".repeat(100), "other.csv");
    put_package(&mut catalog, "d", &["d.large", "d.other"], None);
    let memory = repository(catalog, &["d.map"]).await;
    let served = Served::start(Arc::clone(&memory) as _).await;
    let away = async |disk_cache_bytes| {
        let mut options = GatewayOptions::default();
        (options.cache_bytes, options.disk_cache_bytes) = (0, disk_cache_bytes);
        served.with_backend_and_options(away_after_one_blob(Arc::clone(&memory)), options).await
    };
    let with_disk = away(64 << 20).await;
    for _ in 0..2 {
        let answer = with_disk.get("/o/d.large").await;
        assert!(answer.status == 200 && answer.body == expected, "{}", answer.status);
    }
    let part = with_disk.ask("GET", "/o/d.large", "Range: bytes=3000000-3099999\r\n").await;
    assert!(part.status == 206 && part.body == expected[3_000_000..3_100_000], "{}", part.status);
    assert_eq!(with_disk.get("/mn/v2/meta/d.other").await.status, 503);
    // Memory does not hold this file: without the disk, it is gone with the store.
    let without_disk = away(0).await;
    assert!(without_disk.get("/o/d.large").await.body == expected);
    assert_eq!(without_disk.get("/o/d.large").await.status, 503);
}

#[tokio::test]
async fn cached_content_is_served_while_the_store_is_away() {
    let node = node(&["a".to_owned()]).await;
    let memory = Arc::new(MemoryBackend::new());
    copy(&*memory, &node.member_url(), "a.map").await;
    let served = Served::start(Arc::clone(&memory) as _).await;
    let away = served.with_backend(away_after_one_blob(memory)).await;
    let expected = "a\n".repeat(3000);
    assert_eq!(away.get("/o/a.data").await.text(), expected);
    assert_eq!(away.get("/mn/v2/meta/a.data").await.status, 503);
    assert_eq!(away.get("/o/a.data").await.text(), expected);
    let part = away.ask("GET", "/o/a.data", "Range: bytes=2-5\r\n").await;
    assert_eq!((part.status, part.text().as_str()), (206, "a\na\n"));
}

#[tokio::test]
async fn a_wrong_byte_never_arrives_as_a_whole_file() {
    let mut catalog = Catalog::default();
    put_data(&mut catalog, "f.small", b"small\n".repeat(100), "small.csv");
    put_data(&mut catalog, "f.large", numbers(400_000), "large.csv");
    put_package(&mut catalog, "f", &["f.small", "f.large"], None);
    let memory = repository(catalog, &["f.map"]).await;
    let served = Served::start(Arc::clone(&memory) as _).await;
    let fault = Fault::always(Operation::ReadBlob, FaultAction::FlipByte(300));
    let wrong = served.with_backend(Arc::new(FaultyBackend::new(memory).with(fault))).await;
    let small = wrong.get("/o/f.small").await;
    assert_eq!(small.status, 500, "{}", small.text());
    let (expected, cut) = (served.get("/o/f.large").await, wrong.get("/o/f.large").await);
    assert_eq!(cut.header("Content-Length"), expected.header("Content-Length"));
    assert!(cut.body.len() < expected.body.len(), "{} bytes came", cut.body.len());
    let zip = wrong.get("/zip/f").await;
    let length: usize = zip.header("Content-Length").unwrap().parse().unwrap();
    assert!(zip.body.len() < length);
}
