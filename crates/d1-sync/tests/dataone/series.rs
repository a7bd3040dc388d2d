//! Members that a map names by their series, and the states of objects.

use d1_testnode::{Behaviour, Catalog, Package};
use d1_transfer::{list_files, open_package, read_file};
use oci_model::{ManifestRef, Tag};
use registry_backend::MemoryBackend;

use crate::support::*;

/// Returns a catalog whose map `p.map` names the metadata `p` and the object `p.data.0` by their series.
fn catalog_with_series() -> Catalog {
    let (mut catalog, _) = catalog("p", 2);
    for (pid, series) in [("p", "p.series"), ("p.data.0", "data.series"), ("p.map", "map.series")] {
        catalog.edit(&id(pid), |meta| meta.series_id = Some(id(series))).unwrap();
    }
    let members = ["data.series", "p.data.1"].map(id);
    catalog.put_package(&Package::new(id("p.map"), id("p.series"), members)).unwrap();
    catalog.edit(&id("p.map"), |meta| meta.series_id = Some(id("map.series"))).unwrap();
    catalog
}

/// The version 1 of the interface knows no series, so a node must have version 2.
#[tokio::test]
async fn a_map_that_names_members_by_series_gives_the_package_of_their_identifiers() {
    for behaviour in dialects() {
        let node = node_of(catalog_with_series(), &behaviour).await;
        let backend = MemoryBackend::new();
        let report = copy_package(&backend, &member(&node), "p.map").await.unwrap();
        assert_eq!(report.identifier, id("p"), "{behaviour:?}");
        assert_eq!(report.tags, [id("p"), id("p.map")].map(|pid| pid.tag().parse::<Tag>().unwrap()));
        assert_eq!(pulled(&backend, "p").await["data/p.data.0.csv"], content(0));
        let at = ManifestRef::Tag(id("p").tag().parse().unwrap());
        let package = open_package(&backend, &at).await.unwrap();
        assert_eq!(package.view.manifest().annotations["org.dataone.series-id"], "p.series");
        for (series, pid) in [("p.series", "p"), ("data.series", "p.data.0"), ("map.series", "p.map")] {
            let entry = package.view.entry_by_identifier(series).unwrap();
            assert_eq!(entry.object.unwrap().identifier.as_ref().unwrap(), &id(pid));
        }
        let path = package.view.entry_by_identifier("data.series").unwrap().path.to_owned();
        assert_eq!(read_file(&backend, &package, &path, None, Vec::new()).await.unwrap(), content(0));
        // Again: nothing changed.
        assert!(copy_package(&backend, &member(&node), "p.map").await.unwrap().unchanged);
    }
}

#[tokio::test]
async fn a_series_leads_to_its_package_at_both_kinds_of_node() {
    for behaviour in [Behaviour::default(), Behaviour::gmn()] {
        for series in ["p.series", "data.series", "map.series"] {
            let node = node_of(catalog_with_series(), &behaviour).await;
            let map = d1_sync::find_resource_map(&member(&node), &id(series)).await.unwrap();
            assert_eq!(map, id("p.map"), "{series} {behaviour:?}");
        }
    }
}

#[tokio::test]
async fn the_states_of_objects_are_in_the_index_and_in_lists() {
    let (mut catalog, _) = catalog("p", 3);
    catalog.edit(&id("p.data.0"), |meta| meta.archived = Some(true)).unwrap();
    catalog.edit(&id("p.data.1"), |meta| meta.obsoleted_by = Some(id("newer"))).unwrap();
    catalog.edit(&id("p"), |meta| meta.obsoleted_by = Some(id("p.2"))).unwrap();
    let node = node_of(catalog, &dialects()[0]).await;
    let backend = MemoryBackend::new();
    copy_package(&backend, &member(&node), "p.map").await.unwrap();
    let at = ManifestRef::Tag(id("p").tag().parse().unwrap());
    let package = open_package(&backend, &at).await.unwrap();
    let state = d1_package::ArtifactState::of(&package.view.manifest().annotations);
    assert_eq!(state.to_string(), "replaced by p.2");
    let listing = list_files(&backend, &package).await.unwrap();
    let of = |pid: &str| listing.iter().find(|file| file.identifier.as_deref() == Some(pid)).unwrap();
    assert!(of("p.data.0").archived && !of("p.data.1").archived);
    assert_eq!(of("p.data.1").obsoleted_by.as_deref(), Some("newer"));
    assert_eq!((of("p.data.2").archived, of("p.data.2").obsoleted_by), (false, None));
}
