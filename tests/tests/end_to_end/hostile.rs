//! A registry that lies about what refers to what.

use d1oci_tests::d1oci;
use oci_model::{Descriptor, ImageIndex, ImageManifest, ManifestRef, RawManifest, Tag};
use registry_conformance::scripted::{Config, Preset, ScriptedRegistry};
use tokio::runtime::Runtime;

const NAME: &str = "owner/name";

fn artifact(text: &str, subject: Option<Descriptor>) -> RawManifest {
    let mut manifest = ImageManifest::new("text/plain".parse().unwrap(), Descriptor::empty());
    manifest.annotations.insert("text".to_owned(), text.to_owned());
    manifest.subject = subject;
    RawManifest::from_image(&manifest)
}

#[test]
fn referrers_in_a_circle_are_followed_once() {
    let runtime = Runtime::new().unwrap();
    // Without an interface for them, referrers are listed under tags, which anybody can write.
    let registry = runtime.block_on(ScriptedRegistry::start(Config::new(Preset::Ghcr))).unwrap();
    registry.put_blob(NAME, Descriptor::EMPTY_CONTENT).unwrap();
    let first = artifact("first", None);
    let second = artifact("second", Some(first.descriptor()));
    for (subject, referrer) in [(&first, &second), (&second, &first), (&second, &second)] {
        let listed = vec![referrer.descriptor(), first.descriptor(), second.descriptor()];
        let tag: Tag = subject.digest().as_str().replace(':', "-").parse().unwrap();
        registry.put_manifest(NAME, &tag.into(), &RawManifest::from_index(&ImageIndex::new(listed)));
        registry.put_manifest(NAME, &subject.digest().clone().into(), subject);
    }
    registry.put_manifest(NAME, &ManifestRef::Tag("v1".parse().unwrap()), &first);
    let place = tempfile::tempdir().unwrap();
    let source = format!("{}/{NAME}:v1", registry.host());
    let found = d1oci(place.path(), &["discover", &source]).success().text();
    assert!(found.contains(second.digest().as_str()) && found.lines().count() < 20, "{found}");
    d1oci(place.path(), &["copy", "--referrers", &source, "oci:copy:v1"]).success();
    assert!(registry.requests().len() < 100, "{} requests", registry.requests().len());
}
