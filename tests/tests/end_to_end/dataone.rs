//! A real DataONE package: identifiers, formats and checksums are known from its own metadata.

use std::fs;
use std::path::Path;

use d1oci_tests::{d1oci, samples};

/// Makes a bag of the members of the sample package, in the layout that Metacat uses.
pub(crate) fn make_bag(place: &Path, package: &Path) {
    make_bag_with(place, package, <[u8]>::to_vec);
}

/// Makes the bag with another form of the resource map.
fn make_bag_with(place: &Path, package: &Path, rewrite: impl FnOnce(&[u8]) -> Vec<u8>) {
    let source = place.join("members");
    fs::create_dir_all(source.join("payload")).unwrap();
    fs::create_dir_all(source.join("metadata/sysmeta")).unwrap();
    let copy = |from: &str, to: &str| fs::copy(package.join(from), source.join(to)).map(|_| ()).unwrap();
    copy("data.1.1", "payload/data.csv");
    copy("peggym.133.1", "metadata/science-metadata.xml");
    let map = rewrite(&fs::read(package.join("peggym.133.1.resourcemap")).unwrap());
    fs::write(source.join("metadata/oai-ore.xml"), map).unwrap();
    for identifier in ["data.1.1", "peggym.133.1", "peggym.133.1.resourcemap"] {
        copy(&format!("{identifier}.sysmeta.xml"), &format!("metadata/sysmeta/sysmeta-{identifier}.xml"));
    }
    let create = [
        "bag",
        "create",
        "members/payload",
        "bag",
        "--include-tags",
        "members/metadata:metadata",
        "--date",
        "2012-06-28",
    ];
    d1oci(place, &create).success();
}

#[test]
fn members_are_known_by_identifier_and_their_checksums_are_verified() {
    let Some(samples) = samples() else { return };
    let package = samples.join("dataone/pkg-peggym133");
    let place = tempfile::tempdir().unwrap();
    make_bag(place.path(), &package);
    // Not everybody may read the objects.
    let refused = d1oci(place.path(), &["push", "oci:store", "bag"]).failure(4);
    assert!(
        refused.stderr.contains("that not everybody may read")
            && refused.stderr.contains("--include-private")
    );
    let push = ["push", "oci:store", "bag", "--include-private", "--format", "json"];
    let pushed = d1oci(place.path(), &push).success().json();
    assert_eq!(pushed["identifier"], "peggym.133.1", "{pushed}");
    let reference = pushed["reference"].as_str().unwrap().to_owned();

    let listing = d1oci(place.path(), &["ls", &reference, "--format", "json"]).success().json();
    let files = listing["files"].as_array().unwrap();
    let facts = |identifier: &str| {
        let file =
            files.iter().find(|file| file["identifier"] == identifier).unwrap_or_else(|| panic!("{listing}"));
        (file["path"].as_str().unwrap().to_owned(), file["formatId"].as_str().unwrap().to_owned())
    };
    assert_eq!(facts("data.1.1"), ("data/data.csv".into(), "text/csv".into()));
    assert_eq!(
        facts("peggym.133.1"),
        ("metadata/science-metadata.xml".into(), "eml://ecoinformatics.org/eml-2.1.0".into())
    );
    let map = ("metadata/oai-ore.xml".into(), "http://www.openarchives.org/ore/terms".into());
    assert_eq!(facts("peggym.133.1.resourcemap"), map);

    let member = d1oci(place.path(), &["cat", &reference, "--id", "data.1.1"]).success();
    assert_eq!(member.stdout, fs::read(package.join("data.1.1")).unwrap());
    let audit = d1oci(place.path(), &["verify", "--deep", "--sysmeta", &reference, "--format", "json"])
        .success()
        .json();
    assert_eq!(audit["systemMetadata"]["verified"], 3, "{audit}");
}

#[test]
fn every_identifier_of_a_package_finds_it() {
    let Some(samples) = samples() else { return };
    let package = samples.join("dataone/pkg-peggym133");
    let place = tempfile::tempdir().unwrap();
    make_bag(place.path(), &package);
    // Under a tag that no identifier gives.
    d1oci(place.path(), &["push", "oci:store:v1", "bag", "--include-private"]).success();
    for identifier in ["peggym.133.1", "peggym.133.1.resourcemap", "data.1.1", "peggym.133"] {
        let found = d1oci(place.path(), &["find", "oci:store", "--id", identifier, "--format", "json"]);
        let found = found.success().json();
        assert_eq!(found["found"][0]["identifier"], "peggym.133.1", "{identifier} {found}");
        let listing = d1oci(place.path(), &["ls", "oci:store", "--id", identifier]).success().text();
        assert!(listing.contains("data/data.csv  [data.1.1]"), "{identifier} {listing}");
        for command in ["inspect", "verify", "history"] {
            d1oci(place.path(), &[command, "oci:store", "--id", identifier]).success();
        }
        d1oci(place.path(), &["pull", "oci:store", "--id", identifier, "-o", "out"]).success();
    }
    assert!(place.path().join("out/bag/data/data.csv").exists());
    for identifier in ["peggym.133.1", "peggym.133.1.resourcemap", "data.1.1"] {
        let member = d1oci(place.path(), &["cat", "oci:store", "--id", identifier]).success();
        assert_eq!(member.stdout, fs::read(package.join(identifier)).unwrap());
    }
    let audit = d1oci(place.path(), &["verify", "oci:store:v1", "--report", "-", "--format", "json"]);
    let totals = &audit.success().json()["totals"];
    assert_eq!((&totals["objects"], &totals["verified"]), (&3.into(), &3.into()));
}

#[test]
fn a_resource_map_that_the_producer_of_the_bag_has_rewritten_is_known_by_what_it_says() {
    let Some(samples) = samples() else { return };
    let package = samples.join("dataone/pkg-peggym133");
    let place = tempfile::tempdir().unwrap();
    let mut original = Vec::new();
    make_bag_with(place.path(), &package, |map| {
        original = map.to_vec();
        // Metacat reads the map and writes it again, so its system metadata no longer match.
        d1_model::ResourceMap::parse(map).unwrap().value.to_rdf_xml().unwrap()
    });
    assert_ne!(fs::read(place.path().join("bag/metadata/oai-ore.xml")).unwrap(), original);
    let push = ["push", "oci:store:v1", "bag", "--include-private", "--format", "json"];
    let pushed = d1oci(place.path(), &push).success().json();
    assert_eq!(pushed["identifier"], "peggym.133.1", "{pushed}");
    let inspected = d1oci(place.path(), &["inspect", "oci:store:v1", "--format", "json"]).success().json();
    assert_eq!(inspected["resourceMap"], "peggym.133.1.resourcemap", "{inspected}");
    let listing = d1oci(place.path(), &["ls", "oci:store:v1", "--format", "json"]).success().json();
    let path_of = |identifier: &str| {
        let mut files = listing["files"].as_array().unwrap().iter();
        files
            .find(|file| file["identifier"] == identifier)
            .map(|file| file["path"].as_str().unwrap().to_owned())
    };
    assert_eq!(path_of("data.1.1").as_deref(), Some("data/data.csv"), "{listing}");
    assert_eq!(path_of("peggym.133.1").as_deref(), Some("metadata/science-metadata.xml"), "{listing}");
    assert_eq!(path_of("peggym.133.1.resourcemap").as_deref(), Some("metadata/oai-ore.xml"), "{listing}");
    d1oci(place.path(), &["verify", "--deep", "oci:store:v1"]).success();
}
