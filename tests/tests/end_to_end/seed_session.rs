//! The session of people who stored packages by hand, line by line, on a real registry; and what other programs make of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use d1oci_tests::{
    BagBuilder, DockerRegistry, Outcome, bagit_py_accepts, bare_d1oci, payload, peer, run, run_with_input,
    tree,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const BAG: &str = "dataset_10.18739_A2D795C92";
const ROBOT: &str = "dataone+dataone";
const TOKEN: &str = "s3cret-robot-token";

/// A home directory with a bag and a file, and a registry.
struct Session {
    home: TempDir,
    registry: DockerRegistry,
}

impl Session {
    fn new(registry: DockerRegistry) -> Self {
        let home = tempfile::tempdir().unwrap();
        BagBuilder::new()
            .payload_files(12, 20_000)
            .file("data/T3_2024_15m_Temp.csv", payload(3, 600_000))
            .file("metadata/science-metadata.xml", "<eml/>")
            .write(&home.path().join(BAG));
        fs::write(home.path().join("UP18_2024_25m_Temp.csv"), payload(4, 500_000)).unwrap();
        Self { home, registry }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Runs a line as it is typed, with `HOST` for the registry.
    fn line(&self, line: &str) -> Outcome {
        self.piped("", line)
    }

    fn piped(&self, input: &str, line: &str) -> Outcome {
        let line = line.replace("HOST", &self.registry.host());
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("d1oci"));
        run_with_input(bare_d1oci(self.home.path()).args(words), input)
    }

    fn manifest(&self, reference: &str) -> Value {
        self.line(&format!("d1oci manifest fetch {reference} --pretty")).success().json()
    }

    /// Runs another program, or nothing if it is not installed.
    fn other(&self, program: &str, arguments: &str) -> Option<Outcome> {
        let mut command = Command::new(peer(program)?);
        command.env("HOME", self.home.path()).env_remove("DOCKER_CONFIG").current_dir(self.home.path());
        let arguments = arguments.replace("HOST", &self.registry.host());
        Some(run(command.args(arguments.split_whitespace())).success())
    }
}

/// The last line of what a push says.
fn digest(pushed: &Outcome) -> String {
    pushed.text().trim_end().rsplit_once("Digest: ").unwrap().1.to_owned()
}

#[test]
fn a_bag_is_pushed_found_and_pulled() {
    let Some(registry) = DockerRegistry::start_open() else { return };
    let session = Session::new(registry);
    let reference = format!("HOST/mbjones/d1obj:{BAG}");
    let pushed = session
        .line(&format!("d1oci push {reference} --artifact-type application/bagit-1.0 ./{BAG}"))
        .success();
    assert!(pushed.text().contains("\nArtifactType: application/bagit-1.0\nDigest: sha256:"), "{pushed:?}");
    let digest = digest(&pushed);

    let discovered = session.line(&format!("d1oci discover {reference}")).success().text();
    assert_eq!(discovered, format!("{}/mbjones/d1obj@{digest}\n", session.registry.host()));

    let fetched = session.line(&format!("d1oci manifest fetch {reference} --pretty")).success();
    assert!(fetched.text().starts_with("{\n  \"schemaVersion\": 2,\n  \"mediaType\": "), "{fetched:?}");
    assert_eq!(fetched.json()["artifactType"], "application/bagit-1.0");

    let pulled = session.line(&format!("d1oci pull {reference} -o elsewhere")).success();
    assert!(pulled.text().contains(&format!("Digest: {digest}\n")), "{pulled:?}");
    assert!(tree(&session.path("elsewhere").join(BAG)) == tree(&session.path(BAG)));
    assert!(bagit_py_accepts(&session.path("elsewhere").join(BAG)));
}

#[test]
fn a_robot_pushes_single_files_with_and_without_a_directory() {
    let Some(registry) = DockerRegistry::start(ROBOT, TOKEN, None) else { return };
    let session = Session::new(registry);
    let login = session.piped(&format!("{TOKEN}\n"), "d1oci login HOST -u dataone+dataone --password-stdin");
    assert!(login.success().text().starts_with("Logged in to "));

    let with = "HOST/dataone/objects:urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd";
    let path = format!("{BAG}/data/T3_2024_15m_Temp.csv");
    let pushed = session.line(&format!("d1oci push {with} --artifact-type text/csv ./{path}")).success();
    let manifest = session.manifest(with);
    assert_eq!(manifest["artifactType"], "text/csv");
    assert_eq!(manifest["config"]["data"], "e30=");
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], path);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    session.line(&format!("d1oci discover {with}")).success();
    fs::create_dir(session.path("by-digest")).unwrap();
    let pull = format!("d1oci pull HOST/dataone/objects@{} -o by-digest", digest(&pushed));
    session.line(&pull).success();
    assert_eq!(fs::read(session.path("by-digest").join(&path)).unwrap(), payload(3, 600_000));

    let without = "HOST/dataone/objects:urn_uuid_1f5274ce-8f8a-4b89-bd8a-e61b93072c55";
    let pushed = session
        .line(&format!("d1oci push {without} --artifact-type text/csv UP18_2024_25m_Temp.csv"))
        .success();
    let title = &session.manifest(without)["layers"][0]["annotations"]["org.opencontainers.image.title"];
    assert_eq!(*title, json!("UP18_2024_25m_Temp.csv"));
    let pull = format!("d1oci pull HOST/dataone/objects@{} -o downloads", digest(&pushed));
    session.line(&pull).success();
    let downloads = tree(&session.path("downloads"));
    assert_eq!(downloads.into_keys().collect::<Vec<_>>(), ["UP18_2024_25m_Temp.csv"]);

    session.line("d1oci logout HOST").success();
    session.line(&format!("d1oci pull {without} -o denied")).failure(4);
}

#[test]
fn oras_crane_and_skopeo_get_the_same_bytes() {
    let Some(registry) = DockerRegistry::start_open() else { return };
    let session = Session::new(registry);
    for layout in ["objects", "archive"] {
        let reference = format!("HOST/mbjones/d1obj:{layout}");
        session.line(&format!("d1oci push {reference} ./{BAG} --layout {layout}")).success();
        let manifest = session.line(&format!("d1oci manifest fetch {reference}")).success();

        let oras = format!("pull --plain-http --no-tty {reference} -o oras-{layout}");
        if session.other("oras", &oras).is_some() {
            assert!(tree(&session.path(&format!("oras-{layout}/{BAG}"))) == tree(&session.path(BAG)));
        }
        if let Some(theirs) = session.other("crane", &format!("manifest --insecure {reference}")) {
            assert_eq!(theirs.stdout, manifest.stdout);
            for layer in manifest.json()["layers"].as_array().unwrap() {
                let (digest, size) = (layer["digest"].as_str().unwrap(), layer["size"].as_u64().unwrap());
                // It compares with the digest as it writes.
                let blob = format!("blob --insecure HOST/mbjones/d1obj@{digest}");
                let blob = session.other("crane", &blob).unwrap();
                assert_eq!(blob.stdout.len() as u64, size);
            }
        }
        let skopeo = "copy --quiet --insecure-policy --src-tls-verify=false";
        let skopeo = format!("{skopeo} docker://{reference} oci:skopeo:{layout}");
        if session.other("skopeo", &skopeo).is_some() {
            let theirs = session.line(&format!("d1oci manifest fetch oci:skopeo:{layout}")).success();
            assert_eq!(theirs.stdout, manifest.stdout);
            session.line(&format!("d1oci pull oci:skopeo:{layout} -o skopeo-{layout}")).success();
            assert!(tree(&session.path(&format!("skopeo-{layout}/{BAG}"))) == tree(&session.path(BAG)));
        }
    }
}

#[test]
fn what_oras_crane_and_skopeo_store_is_pulled() {
    let Some(registry) = DockerRegistry::start_open() else { return };
    let session = Session::new(registry);
    let oras = "push --plain-http --no-tty HOST/theirs/oras:v1 --artifact-type application/bagit-1.0";
    if session.other("oras", &format!("{oras} ./{BAG}")).is_none() {
        return;
    }
    let mut copies = vec!["HOST/theirs/oras:v1"];
    if session.other("crane", "copy --insecure HOST/theirs/oras:v1 HOST/theirs/crane:v1").is_some() {
        copies.push("HOST/theirs/crane:v1");
    }
    let skopeo = "copy --quiet --insecure-policy --src-tls-verify=false --dest-tls-verify=false \
                  docker://HOST/theirs/oras:v1 docker://HOST/theirs/skopeo:v1";
    if session.other("skopeo", skopeo).is_some() {
        copies.push("HOST/theirs/skopeo:v1");
    }
    for (number, copy) in copies.iter().enumerate() {
        session.line(&format!("d1oci pull {copy} -o theirs-{number}")).success();
        assert!(tree(&session.path(&format!("theirs-{number}/{BAG}"))) == tree(&session.path(BAG)), "{copy}");
        session.line(&format!("d1oci verify --deep {copy}")).success();
    }
}
