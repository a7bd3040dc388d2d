//! Artifacts that other programs take from a registry, or put there, are the same byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use d1oci_tests::{BagBuilder, RegistryKind, RunningRegistry, Session, payload, tree};

const BAG: &str = "dataset_10.18739_A2D795C92";

/// A manifest and the blobs that it names, by digest.
#[derive(PartialEq, Eq)]
struct Artifact {
    manifest: Vec<u8>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Artifact {
    fn read(manifest: Vec<u8>, blob: impl Fn(&str) -> Vec<u8>) -> Self {
        let parsed: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let layers = parsed["layers"].as_array().unwrap();
        let digests = layers.iter().chain([&parsed["config"]]).map(|it| it["digest"].as_str().unwrap());
        let blobs = digests.map(|digest| (digest.to_owned(), blob(digest))).collect();
        Self { manifest, blobs }
    }

    /// Reads an artifact from an image layout, without any of the programs.
    fn in_layout(layout: &Path, digest: &str) -> Self {
        let blob = |digest: &str| fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
        Self::read(blob(digest), blob)
    }

    /// Reads an artifact as `skopeo copy` writes it to a directory.
    fn in_directory(directory: &Path) -> Self {
        let blob = |digest: &str| fs::read(directory.join(digest.strip_prefix("sha256:").unwrap())).unwrap();
        Self::read(fs::read(directory.join("manifest.json")).unwrap(), blob)
    }

    /// Returns the layers that have a name, as a tree, without those that are archives of more.
    fn objects(&self) -> BTreeMap<String, &Vec<u8>> {
        let parsed: serde_json::Value = serde_json::from_slice(&self.manifest).unwrap();
        let layers = parsed["layers"].as_array().unwrap().iter();
        let objects = layers.filter(|layer| layer["annotations"]["io.deis.oras.content.unpack"] != "true");
        objects
            .map(|layer| {
                let title = layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap();
                (title.to_owned(), &self.blobs[layer["digest"].as_str().unwrap()])
            })
            .collect()
    }
}

/// Starts a registry with a home directory that has a bag.
fn start() -> Option<(RunningRegistry, Session)> {
    let registry = RegistryKind::Docker.start(None)?;
    let session = Session::new(&[&registry]);
    BagBuilder::new()
        .payload_files(12, 20_000)
        .file("data/T3_2024_15m_Temp.csv", payload(3, 600_000))
        .file("metadata/science-metadata.xml", "<eml/>")
        .write(&session.path(BAG));
    Some((registry, session))
}

fn digest(session: &Session, reference: &str) -> String {
    let resolved = session.line(&format!("d1oci resolve {reference}")).success().text();
    resolved.trim().to_owned()
}

/// The pushed content, in either form. A layout has the expected bytes.
fn push_both_forms(session: &Session) -> [(&'static str, String, Artifact); 2] {
    ["objects", "archive"].map(|form| {
        session.line(&format!("d1oci push HOST/ours/bag:{form} ./{BAG} --layout {form}")).success();
        session.line(&format!("d1oci push oci:ours:{form} ./{BAG} --layout {form}")).success();
        let digest = digest(session, &format!("HOST/ours/bag:{form}"));
        let artifact = Artifact::in_layout(&session.path("ours"), &digest);
        (form, digest, artifact)
    })
}

#[test]
fn object_layers_are_the_files() {
    let Some((_registry, session)) = start() else { return };
    let [(_, _, artifact), _] = push_both_forms(&session);
    let objects = artifact.objects();
    assert!(objects.contains_key(&format!("{BAG}/data/T3_2024_15m_Temp.csv")));
    for (title, content) in objects {
        assert!(*content == fs::read(session.path(&title)).unwrap(), "{title}");
    }
}

#[test]
fn oras_takes_what_was_pushed_byte_for_byte() {
    let Some((_registry, session)) = start() else { return };
    for (form, digest, artifact) in push_both_forms(&session) {
        let pull = format!("pull --plain-http --no-tty HOST/ours/bag:{form} -o pulled-{form}");
        let copy =
            format!("copy --from-plain-http --no-tty HOST/ours/bag:{form} --to-oci-layout copied:{form}");
        if session.other("oras", &pull).is_none() || session.other("oras", &copy).is_none() {
            return;
        }
        assert!(tree(&session.path(&format!("pulled-{form}/{BAG}"))) == tree(&session.path(BAG)), "{form}");
        assert!(Artifact::in_layout(&session.path("copied"), &digest) == artifact, "{form}");
    }
}

#[test]
fn crane_takes_what_was_pushed_byte_for_byte() {
    let Some((_registry, session)) = start() else { return };
    for (form, digest, artifact) in push_both_forms(&session) {
        let Some(manifest) = session.other("crane", &format!("manifest --insecure HOST/ours/bag:{form}"))
        else {
            return;
        };
        let crane = |arguments: String| session.other("crane", &arguments).unwrap().stdout;
        let blob = |digest: &str| crane(format!("blob --insecure HOST/ours/bag@{digest}"));
        assert!(Artifact::read(manifest.stdout, blob) == artifact, "{form}");
        crane(format!("pull --insecure --format oci HOST/ours/bag:{form} pulled"));
        assert!(Artifact::in_layout(&session.path("pulled"), &digest) == artifact, "{form}");
    }
}

#[test]
fn skopeo_takes_what_was_pushed_byte_for_byte() {
    let Some((_registry, session)) = start() else { return };
    for (form, digest, artifact) in push_both_forms(&session) {
        let copy = format!("{SKOPEO} docker://HOST/ours/bag:{form}");
        let (layout, directory) =
            (format!("{copy} oci:layout:{form}"), format!("{copy} dir:directory-{form}"));
        if session.other("skopeo", &layout).is_none() || session.other("skopeo", &directory).is_none() {
            return;
        }
        assert!(Artifact::in_layout(&session.path("layout"), &digest) == artifact, "{form}");
        assert!(Artifact::in_directory(&session.path(&format!("directory-{form}"))) == artifact, "{form}");
        session.line(&format!("d1oci pull oci:layout:{form} -o pulled-{form}")).success();
        assert!(tree(&session.path(&format!("pulled-{form}/{BAG}"))) == tree(&session.path(BAG)), "{form}");
    }
}

const SKOPEO: &str = "copy --quiet --insecure-policy --src-tls-verify=false --dest-tls-verify=false";

/// Lets `oras` make an image layout of the bag; returns what is in it, or reports that the test is skipped.
fn layout_of_oras(session: &Session) -> Option<Artifact> {
    let push = format!("push --oci-layout --no-tty theirs:v1 --artifact-type application/bagit-1.0 ./{BAG}");
    session.other("oras", &push)?;
    let index = fs::read(session.path("theirs/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    Some(Artifact::in_layout(&session.path("theirs"), index["manifests"][0]["digest"].as_str().unwrap()))
}

/// Copies and pulls an artifact of another program unchanged.
fn is_taken_as_it_is(session: &Session, name: &str, artifact: &Artifact) {
    let reference = format!("HOST/theirs/{name}:v1");
    let digest = digest(session, &reference);
    session.line(&format!("d1oci copy {reference} oci:copied-{name}:v1")).success();
    assert!(Artifact::in_layout(&session.path(&format!("copied-{name}")), &digest) == *artifact);
    session.line(&format!("d1oci pull {reference} -o pulled-{name}")).success();
    assert!(tree(&session.path(&format!("pulled-{name}/{BAG}"))) == tree(&session.path(BAG)));
    session.line(&format!("d1oci verify --deep {reference}")).success();
}

#[test]
fn what_oras_pushed_is_taken_byte_for_byte() {
    let Some((_registry, session)) = start() else { return };
    let Some(artifact) = layout_of_oras(&session) else { return };
    session.other("oras", "copy --no-tty --from-oci-layout theirs:v1 --to-plain-http HOST/theirs/oras:v1");
    is_taken_as_it_is(&session, "oras", &artifact);

    // Its manifests contain the time. The layout that it copies to has the actual digest.
    let push = "push --plain-http --no-tty HOST/theirs/direct:v1 --artifact-type application/bagit-1.0";
    session.other("oras", &format!("{push} ./{BAG}"));
    session.other("oras", "copy --no-tty --from-plain-http HOST/theirs/direct:v1 --to-oci-layout again:v1");
    let digest = digest(&session, "HOST/theirs/direct:v1");
    is_taken_as_it_is(&session, "direct", &Artifact::in_layout(&session.path("again"), &digest));
}

#[test]
fn what_crane_pushed_is_taken_byte_for_byte() {
    let Some((_registry, session)) = start() else { return };
    let Some(artifact) = layout_of_oras(&session) else { return };
    if session.other("crane", "push --insecure theirs HOST/theirs/crane:v1").is_some() {
        is_taken_as_it_is(&session, "crane", &artifact);
    }
}

#[test]
fn what_crane_makes_is_copied_byte_for_byte_and_not_taken_for_a_package() {
    let Some((_registry, session)) = start() else { return };
    if session.other("tar", &format!("-cf image.tar {BAG}")).is_none() {
        return;
    }
    if session.other("crane", "append --insecure -f image.tar -t HOST/theirs/image:v1").is_none() {
        return;
    }
    session.other("crane", "pull --insecure --format oci HOST/theirs/image:v1 pulled");
    session.line("d1oci copy HOST/theirs/image:v1 oci:copied:v1").success();
    let digest = digest(&session, "HOST/theirs/image:v1");
    let [theirs, ours] =
        ["pulled", "copied"].map(|layout| Artifact::in_layout(&session.path(layout), &digest));
    assert!(theirs == ours);
    let pulled = session.line("d1oci pull HOST/theirs/image:v1 -o out").success();
    assert!(pulled.stderr.contains("1 of 1 layers are skipped"), "{}", pulled.stderr);
}

#[test]
fn what_skopeo_pushed_is_taken_byte_for_byte() {
    let Some((_registry, session)) = start() else { return };
    let Some(artifact) = layout_of_oras(&session) else { return };
    let push = format!("{SKOPEO} oci:theirs:v1 docker://HOST/theirs/skopeo:v1");
    if session.other("skopeo", &push).is_some() {
        is_taken_as_it_is(&session, "skopeo", &artifact);
    }
}

#[test]
fn a_layout_in_a_tar_file_is_read() {
    let session = Session::new(&[]);
    fs::write(session.path("a.txt"), "a file").unwrap();
    session.line("d1oci push oci:store:v1 a.txt").success();
    if session.other("tar", "-cf store.tar -C store .").is_none() {
        return;
    }
    assert_eq!(session.line("d1oci tags oci-archive:store.tar").success().text(), "v1\n");
    session.line("d1oci verify --deep oci-archive:store.tar:v1").success();
    assert_eq!(session.line("d1oci cat oci-archive:store.tar:v1").success().text(), "a file");
    session.line("d1oci mirror oci-archive:store.tar oci:mirrored").success();
    session.line("d1oci verify --all --deep oci:mirrored").success();
    assert_eq!(digest(&session, "oci:mirrored:v1"), digest(&session, "oci:store:v1"));
    let refused = session.line("d1oci push oci-archive:store.tar:v2 a.txt").failure(2).stderr;
    assert!(refused.contains("is only read"), "{refused}");
    session.line("d1oci tags oci-archive:absent.tar").failure(3);
    session.line("d1oci tags oci-archive:a.txt").failure(1);
    // A file that was cut in a blob, before its index, must not look empty.
    session.other("tar", "-cf cut.tar -C store oci-layout blobs index.json").unwrap();
    let whole = fs::read(session.path("cut.tar")).unwrap();
    fs::write(session.path("cut.tar"), &whole[..4096]).unwrap();
    session.line("d1oci mirror oci-archive:cut.tar oci:empty").failure(1);
    session.other("tar", "-cf bare.tar -C store oci-layout blobs").unwrap();
    session.line("d1oci tags oci-archive:bare.tar").failure(1);
    if session
        .other("skopeo", "copy --quiet --insecure-policy oci:store:v1 oci-archive:theirs.tar:v1")
        .is_some()
    {
        session.line("d1oci copy oci-archive:theirs.tar:v1 oci:copied:v1").success();
        assert_eq!(digest(&session, "oci:copied:v1"), digest(&session, "oci:store:v1"));
    }
}
