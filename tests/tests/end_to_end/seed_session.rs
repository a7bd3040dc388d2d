//! The session of people who stored packages by hand, line by line, on every kind of registry.

use std::fs;
use std::process::Command;

use d1oci_tests::{
    BagBuilder, Outcome, Preset, RegistryKind, Session, bagit_py_accepts, bare_d1oci, binary,
    on_every_registry, payload, peer, run, tree,
};
use serde_json::{Value, json};

const BAG: &str = "dataset_10.18739_A2D795C92";
const ROBOT: &str = "dataone+dataone";
const TOKEN: &str = "s3cret-robot-token";

on_every_registry!(
    a_bag_is_pushed_found_and_pulled,
    a_robot_pushes_single_files_with_and_without_a_directory,
    what_is_attached_is_discovered,
);

/// The commands that people typed by hand, with `d1oci` in place of `oras` and nothing else changed. `@DIGEST` stands for the digest of the push before,
/// which depends on the content.
const TYPED: [&str; 15] = [
    "d1oci push ghcr.io/mbjones/d1obj:dataset_10.18739_A2D795C92 --artifact-type application/bagit-1.0 ./dataset_10.18739_A2D795C92",
    "d1oci discover ghcr.io/mbjones/d1obj:dataset_10.18739_A2D795C92",
    "d1oci manifest fetch ghcr.io/mbjones/d1obj:dataset_10.18739_A2D795C92 --pretty",
    "d1oci pull ghcr.io/mbjones/d1obj:dataset_10.18739_A2D795C92",
    "echo ${QUAY_PAT} | d1oci login quay.io -u 'dataone+dataone' --password-stdin",
    "d1oci push quay.io/dataone/objects:latest --artifact-type text/csv data/CP_2024_25m_Temp.csv",
    "d1oci manifest fetch quay.io/dataone/objects:latest --pretty",
    "d1oci push quay.io/dataone/objects:urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd --artifact-type text/csv \
     ./dataset_10.18739_A2D795C92/data/T3_2024_15m_Temp.csv",
    "d1oci manifest fetch quay.io/dataone/objects:urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd | jq .",
    "d1oci discover quay.io/dataone/objects:urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd",
    "d1oci pull quay.io/dataone/objects@DIGEST",
    "d1oci push quay.io/dataone/objects:urn_uuid_1f5274ce-8f8a-4b89-bd8a-e61b93072c55 --artifact-type text/csv UP18_2024_25m_Temp.csv",
    "d1oci discover quay.io/dataone/objects:urn_uuid_1f5274ce-8f8a-4b89-bd8a-e61b93072c55",
    "d1oci manifest fetch quay.io/dataone/objects:urn_uuid_1f5274ce-8f8a-4b89-bd8a-e61b93072c55 | jq .",
    "d1oci pull quay.io/dataone/objects@DIGEST -o downloads",
];

mod as_typed_on_docker_registry {
    #[test]
    fn every_command_works() {
        super::every_command_works_as_typed(super::RegistryKind::Docker);
    }
}

mod as_typed_on_quay {
    #[test]
    fn every_command_works() {
        super::every_command_works_as_typed(super::RegistryKind::Scripted(super::Preset::Quay));
    }
}

/// Runs the commands in a shell. Two registries stand for those of the session: one that is open, and one with a robot account.
fn every_command_works_as_typed(kind: RegistryKind) {
    let (Some(open), Some(closed)) = (kind.start(None), kind.start(Some((ROBOT, TOKEN)))) else { return };
    let jq = peer("jq");
    let session = Session::new(&[&open, &closed]);
    write_files(&session);
    fs::create_dir(session.path("data")).unwrap();
    fs::write(session.path("data/CP_2024_25m_Temp.csv"), payload(5, 400_000)).unwrap();
    let programs = binary().parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut last_digest = String::new();
    for line in TYPED {
        let line = line.replace("ghcr.io", &open.host()).replace("quay.io", &closed.host());
        let line = line.replace("@DIGEST", &format!("@{last_digest}"));
        let line = if jq.is_some() { line } else { line.replace(" | jq .", "") };
        let mut shell = Command::new("bash");
        let bare = bare_d1oci(session.home());
        shell.env_clear().envs(bare.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("PATH", &path).env("QUAY_PAT", TOKEN).current_dir(session.home());
        let outcome = run(shell.args(["-euo", "pipefail", "-c", &line])).success();
        if line.contains(" push ") {
            last_digest = digest(&outcome);
        } else if line.contains("discover") {
            assert!(outcome.text().ends_with(&format!("@{last_digest}\n")), "{line}: {outcome:?}");
        } else if line.contains("fetch") {
            assert_eq!(outcome.json()["schemaVersion"], 2, "{line}");
        }
    }
    let downloads = tree(&session.path("downloads"));
    assert_eq!(downloads.into_keys().collect::<Vec<_>>(), ["UP18_2024_25m_Temp.csv"]);
}

/// Writes the bag and the file that the session is about.
fn write_files(session: &Session) {
    BagBuilder::new()
        .payload_files(12, 20_000)
        .file("data/T3_2024_15m_Temp.csv", payload(3, 600_000))
        .file("metadata/science-metadata.xml", "<eml/>")
        .write(&session.path(BAG));
    fs::write(session.path("UP18_2024_25m_Temp.csv"), payload(4, 500_000)).unwrap();
}

fn manifest(session: &Session, reference: &str) -> Value {
    session.line(&format!("d1oci manifest fetch {reference} --pretty")).success().json()
}

/// The last line of what a push says.
fn digest(pushed: &Outcome) -> String {
    pushed.text().trim_end().rsplit_once("Digest: ").unwrap().1.to_owned()
}

fn a_bag_is_pushed_found_and_pulled(kind: RegistryKind) {
    let Some(registry) = kind.start(None) else { return };
    let session = Session::new(&[&registry]);
    write_files(&session);
    let reference = format!("HOST/mbjones/d1obj:{BAG}");
    let pushed = session
        .line(&format!("d1oci push {reference} --artifact-type application/bagit-1.0 ./{BAG}"))
        .success();
    assert!(pushed.text().contains("\nArtifactType: application/bagit-1.0\nDigest: sha256:"), "{pushed:?}");
    let digest = digest(&pushed);

    let discovered = session.line(&format!("d1oci discover {reference}")).success().text();
    assert_eq!(discovered, format!("{}/mbjones/d1obj@{digest}\n", session.host()));

    let fetched = session.line(&format!("d1oci manifest fetch {reference} --pretty")).success();
    assert!(fetched.text().starts_with("{\n  \"schemaVersion\": 2,\n  \"mediaType\": "), "{fetched:?}");
    assert_eq!(fetched.json()["artifactType"], "application/bagit-1.0");

    let pulled = session.line(&format!("d1oci pull {reference} -o elsewhere")).success();
    assert!(pulled.text().contains(&format!("Digest: {digest}\n")), "{pulled:?}");
    assert!(tree(&session.path("elsewhere").join(BAG)) == tree(&session.path(BAG)));
    assert!(bagit_py_accepts(&session.path("elsewhere").join(BAG)));
}

fn a_robot_pushes_single_files_with_and_without_a_directory(kind: RegistryKind) {
    let Some(registry) = kind.start(Some((ROBOT, TOKEN))) else { return };
    let session = Session::new(&[&registry]);
    write_files(&session);
    let login = session.piped(&format!("{TOKEN}\n"), "d1oci login HOST -u dataone+dataone --password-stdin");
    assert!(login.success().text().starts_with("Logged in to "));

    let with = "HOST/dataone/objects:urn_uuid_bd3d29b6-b25d-46ab-91a0-1938cd7ccadd";
    let path = format!("{BAG}/data/T3_2024_15m_Temp.csv");
    let pushed = session.line(&format!("d1oci push {with} --artifact-type text/csv ./{path}")).success();
    let fetched = manifest(&session, with);
    assert_eq!(fetched["artifactType"], "text/csv");
    assert_eq!(fetched["config"]["data"], "e30=");
    assert_eq!(fetched["layers"][0]["annotations"]["org.opencontainers.image.title"], path);
    assert_eq!(fetched["layers"].as_array().unwrap().len(), 1);
    let discovered = session.line(&format!("d1oci discover {with}")).success().text();
    assert_eq!(discovered, format!("{}/dataone/objects@{}\n", session.host(), digest(&pushed)));
    fs::create_dir(session.path("by-digest")).unwrap();
    let pull = format!("d1oci pull HOST/dataone/objects@{} -o by-digest", digest(&pushed));
    session.line(&pull).success();
    assert_eq!(fs::read(session.path("by-digest").join(&path)).unwrap(), payload(3, 600_000));

    let without = "HOST/dataone/objects:urn_uuid_1f5274ce-8f8a-4b89-bd8a-e61b93072c55";
    let pushed = session
        .line(&format!("d1oci push {without} --artifact-type text/csv UP18_2024_25m_Temp.csv"))
        .success();
    let title = &manifest(&session, without)["layers"][0]["annotations"]["org.opencontainers.image.title"];
    assert_eq!(*title, json!("UP18_2024_25m_Temp.csv"));
    let pull = format!("d1oci pull HOST/dataone/objects@{} -o downloads", digest(&pushed));
    session.line(&pull).success();
    let downloads = tree(&session.path("downloads"));
    assert_eq!(downloads.into_keys().collect::<Vec<_>>(), ["UP18_2024_25m_Temp.csv"]);

    session.line("d1oci logout HOST").success();
    session.line(&format!("d1oci pull {without} -o denied")).failure(4);
}

fn what_is_attached_is_discovered(kind: RegistryKind) {
    let Some(registry) = kind.start(None) else { return };
    let session = Session::new(&[&registry]);
    write_files(&session);
    session
        .line("d1oci push HOST/dataone/objects:v1 --artifact-type text/csv UP18_2024_25m_Temp.csv")
        .success();
    session
        .line(&format!("d1oci attach HOST/dataone/objects:v1 {BAG}/bag-info.txt --artifact-type text/plain"))
        .success();
    let discovered = session.line("d1oci discover HOST/dataone/objects:v1 --format json").success().json();
    assert_eq!(discovered["artifactType"], "text/csv", "{discovered}");
    let referrers = discovered["referrers"].as_array().unwrap();
    assert_eq!(referrers.len(), 1, "{discovered}");
    assert_eq!(referrers[0]["artifactType"], "text/plain");
    let pull =
        format!("d1oci pull HOST/dataone/objects@{} -o attached", referrers[0]["digest"].as_str().unwrap());
    session.line(&pull).success();
    let attached = fs::read(session.path("attached").join(BAG).join("bag-info.txt")).unwrap();
    assert_eq!(attached, fs::read(session.path(BAG).join("bag-info.txt")).unwrap());

    // Where the registry lists referrers itself, there is no tag for them.
    if let Some(registry) = registry.scripted() {
        let tags = registry.tags("dataone/objects").len();
        assert_eq!(tags, if kind == RegistryKind::Scripted(Preset::Ghcr) { 2 } else { 1 });
    }
}
