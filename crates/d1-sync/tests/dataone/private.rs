//! Packages with objects that not everybody may read are marked, and do not get elsewhere unnoticed.

use d1_client::{NodeClient, Secret};
use d1_sync::{DataOneSource, FetchOptions, fetch, replicate};
use d1_testnode::{Behaviour, ScriptedNode};
use d1_transfer::{
    CopyOptions, Error, MirrorOptions, PushOptions, copy, mirror, open_package, push_directory,
};
use oci_model::{ManifestRef, Tag};
use registry_backend::{MemoryBackend, RegistryBackend};

use crate::support::*;

const TOKEN: &str = "a token";

/// Returns a node whose package `p` has a private object, and a source that may read it.
async fn node_with_private_object(behaviour: Behaviour) -> (ScriptedNode, DataOneSource) {
    let (mut catalog, data) = catalog("p", 3);
    catalog.put(catalog.get(&id(&data[1])).unwrap().as_ref().clone().private()).unwrap();
    put_package(&mut catalog, "q", &data[..1], None);
    let node = node_of(catalog, &Behaviour { token: Some(TOKEN.to_owned()), ..behaviour }).await;
    let mut options = impatient();
    options.token = Some(Secret::new(TOKEN));
    let source = DataOneSource::Node(NodeClient::new(&node.member_url(), &options).unwrap());
    (node, source)
}

fn tag(identifier: &str) -> Tag {
    id(identifier).tag().parse().unwrap()
}

#[tokio::test]
async fn a_package_with_private_objects_is_marked_and_copied_only_on_request() {
    for behaviour in dialects() {
        let (_node, source) = node_with_private_object(behaviour).await;
        let backend = MemoryBackend::new();
        let mut options = options();
        options.include_private = true;
        for map in ["p.map", "q.map"] {
            replicate(&backend, &source, &id(map), &options, None, &silent()).await.unwrap();
        }
        let at = ManifestRef::Tag(tag("p"));
        let package = open_package(&backend, &at).await.unwrap();
        assert_eq!(package.view.manifest().annotations["org.dataone.not-public"], "1");
        let private = package.view.entry_by_identifier("p.data.1").unwrap();
        assert!(private.object.unwrap().state.as_ref().unwrap().not_public);

        let target = MemoryBackend::new();
        let mut copying = CopyOptions::default();
        copying.tags = vec![tag("p")];
        let refused = copy(&backend, &at, &target, &copying, &silent()).await.unwrap_err();
        assert!(matches!(refused, Error::NotPublic { count: 1, .. }), "{refused}");
        assert!(!is_tagged(&target, "p").await);
        for dry_run in [true, false] {
            let mut mirroring = MirrorOptions::default();
            mirroring.dry_run = dry_run;
            let report = mirror(&backend, &target, &mirroring, &silent(), &|_, _| ()).await.unwrap();
            assert_eq!(report.not_public, [tag("p"), tag("p.map")]);
            assert_eq!((report.copied.len(), report.failed.len()), (2, 0), "{report:?}");
        }
        assert!(is_tagged(&target, "q").await && !is_tagged(&target, "p").await);
        copying.include_private = true;
        copy(&backend, &at, &target, &copying, &silent()).await.unwrap();
        assert!(is_tagged(&target, "p").await);
    }
}

#[tokio::test]
async fn a_bag_with_private_objects_is_pushed_only_on_request() {
    let (_node, source) = node_with_private_object(Behaviour::default()).await;
    let place = tempfile::tempdir().unwrap();
    let mut options = FetchOptions::default();
    options.include_private = true;
    let report = fetch(&source, &id("p.map"), place.path(), &options, &silent()).await.unwrap();
    let bag = place.path().join(report.directory);
    let backend = MemoryBackend::new();
    let mut options = PushOptions::new(std::env::temp_dir());
    let refused = push_directory(&backend, &bag, &options, &silent()).await.unwrap_err();
    assert!(matches!(refused, Error::NotPublic { count: 1, .. }), "{refused}");
    options.include_private = true;
    let pushed = push_directory(&backend, &bag, &options, &silent()).await.unwrap();
    assert!(backend.stat_manifest(&ManifestRef::Digest(pushed.digest)).await.unwrap().is_some());
}

#[tokio::test]
async fn replicas_of_equal_content_from_two_nodes_stay_apart_only_on_request() {
    let (catalog, data) = catalog("p", 3);
    let (here, there) =
        (ScriptedNode::serve(catalog.clone()).await.unwrap(), ScriptedNode::serve(catalog).await.unwrap());
    change(&there, &data[1], |meta| meta.serial_version = Some(9));
    let (from, to) = (MemoryBackend::new(), MemoryBackend::new());
    let first = copy_package(&from, &member(&here), "p.map").await.unwrap();
    let second = copy_package(&to, &member(&there), "p.map").await.unwrap();
    assert_ne!(first.digest, second.digest);
    let mut options = MirrorOptions::default();
    options.keep_equal = true;
    let report = mirror(&from, &to, &options, &silent(), &|_, _| ()).await.unwrap();
    assert_eq!((report.equal, report.copied.len()), (2, 0), "{report:?}");
    // Another state is not equal.
    change(&here, "p", |meta| meta.archived = Some(true));
    copy_package(&from, &member(&here), "p.map").await.unwrap();
    let report = mirror(&from, &to, &options, &silent(), &|_, _| ()).await.unwrap();
    assert_eq!((report.equal, report.copied.len()), (0, 2), "{report:?}");
    let report = mirror(&from, &to, &MirrorOptions::default(), &silent(), &|_, _| ()).await.unwrap();
    assert_eq!((report.equal, report.unchanged), (0, 2), "{report:?}");
}
