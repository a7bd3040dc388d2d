//! Fetching packages into bags.

use d1_model::ChecksumAlgorithm;
use d1_sync::{Error, FetchOptions, FetchReport, Result, fetch};
use d1_testnode::{Action, Call, Catalog, Content, Fault, Package, ScriptedNode, StoredObject, When};
use d1_transfer::{PushOptions, push_directory};
use registry_backend::MemoryBackend;

use crate::support::*;

async fn fetched(node: &ScriptedNode, map: &str, output: &std::path::Path) -> Result<FetchReport> {
    fetch(&member(node), &id(map), output, &FetchOptions::default(), &silent()).await
}

#[tokio::test]
async fn the_bag_has_the_layout_of_the_package_download() {
    let (catalog, _) = catalog("doi:10.5072/P1", 2);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let output = tempfile::tempdir().unwrap();
    let report = fetched(&node, "doi:10.5072/P1.map", output.path()).await.unwrap();
    assert_eq!((report.directory.as_str(), report.objects), ("dataset_10.5072_P1", 4));
    let files = files(&output.path().join(&report.directory));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "bag-info.txt",
        "bagit.txt",
        "data/doi_10.5072_P1.data.0.csv",
        "data/doi_10.5072_P1.data.1.csv",
        "manifest-md5.txt",
        "manifest-sha256.txt",
        "metadata/oai-ore.xml",
        "metadata/science-metadata.xml",
        "metadata/sysmeta/sysmeta-doi_10.5072_P1.data.0.xml",
        "metadata/sysmeta/sysmeta-doi_10.5072_P1.data.1.xml",
        "metadata/sysmeta/sysmeta-doi_10.5072_P1.map.xml",
        "metadata/sysmeta/sysmeta-doi_10.5072_P1.xml",
        "tagmanifest-md5.txt",
        "tagmanifest-sha256.txt",
    ];
    assert_eq!(names, expected);
    assert_eq!(files["data/doi_10.5072_P1.data.1.csv"], content(1));
    let map = node.look(|catalog| catalog.get(&id("doi:10.5072/P1.map")).unwrap().content().bytes().unwrap());
    assert_eq!(files["metadata/oai-ore.xml"], map, "the map's own bytes");
    assert_eq!(std::fs::read_dir(output.path()).unwrap().count(), 1, "nothing else stays");
}

#[tokio::test]
async fn fetching_and_pushing_is_replicating() {
    let (catalog, _) = catalog("doi:10.5072/P2", 3);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let output = tempfile::tempdir().unwrap();
    let report = fetched(&node, "doi:10.5072/P2.map", output.path()).await.unwrap();
    let (pushed_to, replicated_to) = (MemoryBackend::new(), MemoryBackend::new());
    let options = PushOptions::new(std::env::temp_dir());
    let bag = output.path().join(&report.directory);
    let pushed = push_directory(&pushed_to, &bag, &options, &silent()).await.unwrap();
    let replicated = copy_package(&replicated_to, &network(&node), "doi:10.5072/P2.map").await.unwrap();
    assert_eq!(pushed.digest, replicated.digest);
}

#[tokio::test]
async fn what_an_interrupted_fetch_left_is_taken_up() {
    let (catalog, data) = catalog("p3", 3);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let output = tempfile::tempdir().unwrap();
    node.add_fault(Fault::new(Call::Get, Action::Drop).of(&id(&data[2])));
    let error = fetched(&node, "p3.map", output.path()).await.unwrap_err();
    let Error::Members { faults } = error else { panic!("{error}") };
    assert_eq!(faults[0].identifier, id(&data[2]));
    let names: Vec<_> =
        std::fs::read_dir(output.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name.to_str().unwrap().starts_with('.')), "{names:?}");
    node.clear_faults();
    node.forget_requests();
    let report = fetched(&node, "p3.map", output.path()).await.unwrap();
    assert_eq!((node.count_of(Call::Get, &id(&data[0])), node.count_of(Call::Get, &id(&data[2]))), (0, 1));
    assert_eq!(report.received_bytes, content(2).len() as u64);
    assert_eq!(std::fs::read_dir(output.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_not_public_is_left_out_unless_it_is_asked_for() {
    let (mut catalog, data) = catalog("p4", 2);
    let private = catalog.get(&id(&data[1])).unwrap().as_ref().clone().private();
    catalog.put(private).unwrap();
    let node = ScriptedNode::start(d1_testnode::Config {
        catalog,
        behaviour: d1_testnode::Behaviour { token: Some("t".to_owned()), ..Default::default() },
        ..Default::default()
    })
    .await
    .unwrap();
    let output = tempfile::tempdir().unwrap();
    let report = fetched(&node, "p4.map", output.path()).await.unwrap();
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(report.skipped[0].identifier, data[1]);
    assert!(!output.path().join(&report.directory).join("data/p4.data.1.csv").exists());
    // With the token the system metadata can be read, and still say that it is not public.
    let mut client_options = impatient();
    client_options.token = Some(d1_client::Secret::new("t"));
    let client = d1_client::NodeClient::new(&node.member_url(), &client_options).unwrap();
    let source = d1_sync::DataOneSource::Node(client);
    let mut options = FetchOptions::default();
    let both = tempfile::tempdir().unwrap();
    let report = fetch(&source, &id("p4.map"), both.path(), &options, &silent()).await.unwrap();
    assert_eq!(report.skipped.len(), 1);
    options.include_private = true;
    options.overwrite = true;
    let report = fetch(&source, &id("p4.map"), both.path(), &options, &silent()).await.unwrap();
    assert_eq!((report.skipped.len(), report.objects), (0, 4));
    assert!(both.path().join(&report.directory).join("data/p4.data.1.csv").exists());
}

#[tokio::test]
async fn hostile_names_stay_in_the_bag() {
    let mut catalog = Catalog::default();
    let names = ["../../evil.csv", "/etc/evil", "a/../../evil", "C:\\evil", "con", "same", "SAME"];
    let mut data = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let identifier = format!("h.{number}");
        put_data(&mut catalog, &identifier, content(number as u64), &ChecksumAlgorithm::Sha256);
        data.push((id(&identifier), Some((*name).to_owned())));
    }
    let metadata = StoredObject::new(id("h"), EML, Content::text("<eml/>")).unwrap();
    catalog.put(metadata).unwrap();
    let mut package = Package::new(id("h.map"), id("h"), []);
    package.data = data;
    catalog.put_package(&package).unwrap();
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("a/b");
    let report = fetched(&node, "h.map", &output).await.unwrap();
    assert_eq!(files(place.path()).len(), files(&output.join(&report.directory)).len());
    let data: Vec<_> = files(&output.join(&report.directory).join("data")).into_keys().collect();
    assert_eq!(data.len(), names.len(), "{data:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_failure() {
    let (catalog, data) = catalog("p6", 2);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    for identifier in &data {
        let fault = Fault::new(Call::Get, Action::CutAnswer { after: 100 }).of(&id(identifier));
        node.add_fault(fault.when(When::First(1)));
    }
    let output = tempfile::tempdir().unwrap();
    let report = fetched(&node, "p6.map", output.path()).await.unwrap();
    let files = files(&output.path().join(&report.directory));
    assert_eq!(files["data/p6.data.0.csv"], content(0));
}

#[tokio::test]
async fn a_doi_names_its_package_in_every_spelling() {
    let (catalog, _) = catalog("doi:10.5072/P9", 1);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    for typed in ["doi:10.5072/P9", "https://doi.org/10.5072/P9", "10.5072/p9", "DOI:10.5072/p9"] {
        for source in [member(&node), network(&node)] {
            let found = d1_sync::find_resource_map(&source, &id(typed)).await;
            assert_eq!(found.unwrap(), id("doi:10.5072/P9.map"), "{typed}");
        }
    }
    let error = d1_sync::find_resource_map(&member(&node), &id("10.5072/none")).await.unwrap_err();
    assert!(error.to_string().contains("10.5072/none"), "{error}");
}

#[tokio::test]
async fn several_packages_are_for_a_person_to_choose_from() {
    let (mut catalog, data) = catalog("p7", 1);
    put_package(&mut catalog, "p8", &data, None);
    let node = ScriptedNode::serve(catalog).await.unwrap();
    let error = d1_sync::find_resource_map(&member(&node), &id(&data[0])).await.unwrap_err();
    let Error::SeveralPackages { resource_maps, .. } = error else { panic!("{error}") };
    assert_eq!(resource_maps, [id("p7.map"), id("p8.map")]);
    assert_eq!(d1_sync::find_resource_map(&member(&node), &id("p8")).await.unwrap(), id("p8.map"));
}
