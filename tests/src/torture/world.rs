//! The initial state of a round: bags, and a layout and a registry that hold some of them.

use std::fs;
use std::path::{Path, PathBuf};

use d1_testnode::{Catalog, Scale, ScriptedNode};
use oci_model::{ManifestRef, MediaType, RawManifest};
use registry_conformance::scripted::{Auth, Config, Preset, ScriptedRegistry, User};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::chance::Chance;
use super::check::REPOSITORY;
use crate::{BagBuilder, Tree, copy_tree, d1oci, payload, tree};

/// The bags. `first` is small and never changes. `second` exists in the stores and is pushed again. `third` is new and shares
/// most files with `second`.
pub(super) const BAGS: [&str; 3] = ["first", "second", "third"];

/// The identifier of the node's package.
pub(super) const PACKAGE: &str = "doi:10.5072/SCALE7.0";

/// The directory of its bag.
pub(super) const FETCHED: &str = "dataset_10.5072_SCALE7.0";

/// A package with large objects, which become blobs, and small ones, which are packed.
const ON_THE_NODE: Scale = Scale { packages: 1, objects: 9, smallest: 100, largest: 400_000, seed: 7 };

/// The tags in the layout and in the registry before a round.
pub(super) const KNOWN_TAGS: [&str; 2] = ["first", "second"];

pub(super) const USERNAME: &str = "tortured";
pub(super) const PASSWORD: &str = "s3cret-of-the-rack";
/// Both, as Basic authentication and Docker's file encode them.
pub(super) const ENCODED: &str = "dG9ydHVyZWQ6czNjcmV0LW9mLXRoZS1yYWNr";

/// The initial state of all rounds: each gets a copy.
pub(super) struct Beginnings {
    folder: TempDir,
    trees: Vec<Tree>,
    /// The bag of the node's package.
    fetched: Tree,
    /// The tags of the replicated package.
    replicated: Vec<String>,
    catalog: Catalog,
    runtime: Runtime,
}

impl Beginnings {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let bag = |name: &str| folder.path().join(name);
        BagBuilder::new().payload_files(12, 800).awkward().write(&bag("first"));
        let shared = BagBuilder::new().payload_files(40, 3_000).file("data/shared.csv", payload(1, 900_000));
        shared.clone().file("data/large.csv", payload(2, 1_400_000)).write(&bag("second"));
        shared.file("data/large.csv", payload(3, 1_300_000)).file("data/new.txt", "new").write(&bag("third"));
        for name in KNOWN_TAGS {
            d1oci(folder.path(), &["push", &format!("oci:store:{name}"), name]).success();
        }
        let trees = BAGS.map(|name| tree(&bag(name))).to_vec();
        let runtime = Runtime::new().expect("a runtime can be made");
        let catalog = ON_THE_NODE.catalog().expect("a package can be made");
        let fetched = {
            let node = start_node(&runtime, &catalog);
            d1oci(folder.path(), &["fetch", PACKAGE, "-o", "fetched", "--node", &node.member_url()])
                .success();
            tree(&folder.path().join("fetched").join(FETCHED))
        };
        let replicated = vec![ON_THE_NODE.metadata(0).tag(), ON_THE_NODE.map(0).tag()];
        Self { folder, trees, fetched, replicated, catalog, runtime }
    }

    /// Starts a node that has a package.
    pub(super) fn node(&self) -> ScriptedNode {
        start_node(&self.runtime, &self.catalog)
    }

    /// Returns the tags of the replicated package.
    pub(super) fn replicated(&self) -> &[String] {
        &self.replicated
    }

    /// Returns the path of a bag.
    pub(super) fn bag(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns what is in a bag.
    pub(super) fn tree(&self, name: &str) -> &Tree {
        if name == FETCHED {
            return &self.fetched;
        }
        let position = BAGS.iter().position(|bag| *bag == name).expect("it is a bag");
        &self.trees[position]
    }

    /// Makes a copy of the layout.
    pub(super) fn copy_layout(&self, to: &Path) {
        copy_tree(&self.folder.path().join("store"), to);
    }

    /// Starts a registry of a random kind with the content of the layout, and writes a file with its login.
    pub(super) fn registry(&self, chance: &mut Chance, place: &Path) -> ScriptedRegistry {
        let mut config = Config::new(chance.one_of(&Preset::ALL));
        config.auth = match chance.below(3) {
            0 => Auth::None,
            1 => Auth::Basic(vec![User::new(USERNAME, PASSWORD)]),
            _ => Auth::bearer(vec![User::new(USERNAME, PASSWORD)]),
        };
        let _inside = self.runtime.enter();
        let started = self.runtime.block_on(ScriptedRegistry::start(config));
        let registry = started.expect("a registry starts");
        let login = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{ENCODED}\"}}}}}}", registry.host());
        fs::create_dir_all(place.join(".docker")).expect("the folder can be made");
        fs::write(place.join(".docker/config.json"), login).expect("the file can be written");
        let store = self.folder.path().join("store");
        let blobs = store.join("blobs/sha256");
        for entry in fs::read_dir(&blobs).expect("the layout has blobs") {
            let content = fs::read(entry.expect("it is listed").path()).expect("a blob can be read");
            registry.put_blob(REPOSITORY, &content).expect("a blob can be stored");
        }
        for (tag, digest) in super::check::layout_tags(&store).expect("the layout is sound") {
            let bytes = fs::read(blobs.join(digest.encoded())).expect("a manifest is a blob");
            let manifest = RawManifest::new(bytes, MediaType::from_static(MediaType::IMAGE_MANIFEST));
            let by_tag: ManifestRef = tag.parse::<oci_model::Tag>().expect("it is a tag").into();
            registry.put_manifest(REPOSITORY, &digest.into(), &manifest);
            registry.put_manifest(REPOSITORY, &by_tag, &manifest);
        }
        registry
    }
}

fn start_node(runtime: &Runtime, catalog: &Catalog) -> ScriptedNode {
    let _inside = runtime.enter();
    runtime.block_on(ScriptedNode::serve(catalog.clone())).expect("a node starts")
}
