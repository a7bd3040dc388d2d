//! Copies between image layouts and registries of every kind: equal, with what refers to them, and each blob sent once.

use std::fs;
use std::process::Command;

use d1oci_tests::{
    BagBuilder, Preset, RegistryKind, RunningRegistry, Scripted, Session, binary, payload, peer, run,
};
use oci_model::{Descriptor, ImageManifest, RawManifest};
use registry_conformance::scripted::Route;
use serde_json::{Value, json};

const PRESETS: [Preset; 3] = [Preset::Strict, Preset::Ghcr, Preset::Quay];

/// Where artifacts are: in an image layout, or in a registry.
struct Place {
    name: &'static str,
    registry: Option<RunningRegistry>,
}

impl Place {
    fn all() -> Vec<Self> {
        let registries = PRESETS.map(|preset| {
            let registry = RegistryKind::Scripted(preset).start(None);
            Self { name: preset.name(), registry }
        });
        [Self { name: "layout", registry: None }].into_iter().chain(registries).collect()
    }

    fn repository(&self, name: &str) -> String {
        match &self.registry {
            None => format!("oci:{name}"),
            Some(registry) => format!("{}/owner/{name}", registry.host()),
        }
    }

    fn scripted(&self) -> Option<&Scripted> {
        self.registry.as_ref().and_then(RunningRegistry::scripted)
    }
}

/// Returns a home directory with the settings of all registries, a bag and a note.
fn session(places: &[Place]) -> Session {
    let registries: Vec<_> = places.iter().filter_map(|place| place.registry.as_ref()).collect();
    let session = Session::new(&registries);
    let bag = BagBuilder::new().payload_files(3, 2_000).file("data/large.csv", payload(5, 300_000));
    bag.write(&session.path("bag"));
    fs::write(session.path("note.txt"), "a note").unwrap();
    session
}

/// Pushes the bag, with the note attached to it; returns what `discover` says of them.
fn push(session: &Session, repository: &str) -> Value {
    session.line(&format!("d1oci push {repository}:v1 bag")).success();
    session.line(&format!("d1oci attach {repository}:v1 note.txt --artifact-type text/plain")).success();
    discover(session, repository)
}

/// Returns what `discover` says, wherever it is.
fn discover(session: &Session, repository: &str) -> Value {
    let found = session.line(&format!("d1oci discover {repository}:v1 --format json")).success().text();
    serde_json::from_str(&found.replace(repository, "REPOSITORY")).unwrap()
}

fn copy(session: &Session, from: &str, to: &str) -> Value {
    session.line(&format!("d1oci copy --referrers {from}:v1 {to}:v1 --format json")).success().json()
}

#[test]
fn a_copy_from_anywhere_to_anywhere_is_equal_and_a_second_one_sends_no_blob() {
    let places = Place::all();
    let session = session(&places);
    for from in &places {
        let source = from.repository("source");
        let pushed = push(&session, &source);
        assert_eq!(pushed["referrers"].as_array().map(Vec::len), Some(1), "{pushed}");
        for to in places.iter().filter(|place| place.name != from.name) {
            let target = to.repository(&format!("from-{}", from.name));
            let what = format!("{source} to {target}");
            let first = copy(&session, &source, &target);
            assert_eq!((&first["digest"], &first["manifests"]), (&pushed["digest"], &2.into()), "{what}");
            assert_ne!(first["sentBytes"], 0, "{what}");
            assert_eq!(discover(&session, &target), pushed, "{what}");
            session.line(&format!("d1oci verify --deep {target}:v1")).success();

            let ends = || [from, to].into_iter().filter_map(Place::scripted);
            ends().for_each(|registry| registry.forget_requests());
            let second = copy(&session, &source, &target);
            assert_eq!((&second["digest"], &second["sentBytes"]), (&pushed["digest"], &0.into()), "{what}");
            assert_eq!(ends().map(Scripted::blob_transfers).sum::<usize>(), 0, "{what}");
        }
    }
}

#[test]
fn a_copy_within_a_registry_of_any_kind_mounts_all_blobs() {
    let places = Place::all();
    let session = session(&places);
    for place in &places {
        let Some(registry) = place.scripted() else { continue };
        let (source, target) = (place.repository("source"), place.repository("target"));
        let pushed = push(&session, &source);
        registry.forget_requests();
        let copied = copy(&session, &source, &target);
        assert_eq!(copied["sentBytes"], 0, "{}: {copied}", place.name);
        // Quay has no cheaper look at a blob than a mount from the repository itself.
        let mounts = registry.count(Route::Mount) / if place.name.starts_with("quay") { 2 } else { 1 };
        assert_eq!(copied["blobs"], mounts, "{}: {copied}", place.name);
        assert_eq!((registry.count(Route::BlobGet), registry.count(Route::UploadStart)), (0, 0));
        assert_eq!(discover(&session, &target), pushed, "{}", place.name);
    }
}

/// Makes a layout `many` with one artifact `v1`, so many referrers of it, and one referrer of each of those.
fn plant_referrers(session: &Session, count: u32) {
    let blobs = session.path("many/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(session.path("many/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let empty = Descriptor::empty();
    fs::write(blobs.join(empty.digest.encoded()), Descriptor::EMPTY_CONTENT).unwrap();
    let mut entries = Vec::new();
    let mut plant = |number: u32, subject: Option<Descriptor>| {
        let mut manifest = ImageManifest::new("text/plain".parse().unwrap(), Descriptor::empty());
        manifest.annotations.insert("number".to_owned(), number.to_string());
        manifest.subject = subject;
        let raw = RawManifest::from_image(&manifest);
        fs::write(blobs.join(raw.digest().encoded()), raw.bytes()).unwrap();
        entries.push(serde_json::to_value(raw.descriptor()).unwrap());
        raw.descriptor()
    };
    let root = plant(0, None);
    for number in 0..count {
        let referrer = plant(number, Some(root.clone()));
        plant(number, Some(referrer));
    }
    entries[0]["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let index = json!({"schemaVersion": 2, "manifests": entries});
    fs::write(session.path("many/index.json"), index.to_string()).unwrap();
}

/// An index costs as much to replace as it is large, so a replacement for each referrer would take quadratic time.
#[test]
fn many_referrers_come_into_a_layout_with_few_replacements_of_its_index() {
    let Some(strace) = peer("strace") else { return };
    let session = Session::new(&[]);
    plant_referrers(&session, 1500);
    let mut command = Command::new(strace);
    command.args(["-f", "-s", "4096", "-e", "trace=rename,renameat,renameat2", "-o", "calls"]);
    command.arg(binary()).args(["copy", "--referrers", "oci:many:v1", "oci:copy:v1", "--format", "json"]);
    let copied = run(command.current_dir(session.home())).success().json();
    assert_eq!(copied["manifests"], 3001, "{copied}");
    let calls = fs::read_to_string(session.path("calls")).unwrap();
    let replacements = calls.lines().filter(|call| call.contains("/index.json\"")).count();
    assert!((1..20).contains(&replacements), "{replacements} replacements");
    session.line("d1oci verify --all --deep oci:copy -q").success();
    let index: Value = serde_json::from_slice(&fs::read(session.path("copy/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3001);
}
