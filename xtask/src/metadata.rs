//! The workspace and its dependencies, as `cargo metadata` reports them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::Result;
use crate::{process, workspace};

/// The packages of the workspace and of its dependencies on this platform.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Option<Resolve>,
}

/// Which package of the graph depends on which.
#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Debug, Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// One package.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
    /// Its one-line description.
    pub description: Option<String>,
    /// Its README, relative to its folder.
    pub readme: Option<String>,
    /// Its categories on the package registry.
    pub categories: Vec<String>,
    /// Its manifest.
    pub manifest_path: PathBuf,
    /// The packages that it depends on.
    pub dependencies: Vec<Dependency>,
    /// Its features and what each enables.
    pub features: BTreeMap<String, Vec<String>>,
    /// Where it comes from: a registry or a repository. Packages of the workspace have none.
    pub source: Option<String>,
    /// The registries it may be published to; an empty list means none.
    pub publish: Option<Vec<String>>,
    id: String,
}

/// A dependency of a package.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The name of the package it depends on.
    pub name: String,
    /// The required version.
    pub req: String,
    /// `dev`, `build`, or absent for a normal dependency.
    pub kind: Option<String>,
    /// Its folder, if it is in the workspace.
    pub path: Option<PathBuf>,
}

impl Metadata {
    /// Asks cargo, for the platform that this runs on.
    ///
    /// # Errors
    ///
    /// Fails when cargo or rustc fails, or their answers have another form.
    pub fn load() -> Result<Self> {
        Self::load_for(&host_platform()?)
    }

    /// Asks cargo, for a platform by its target triple.
    ///
    /// # Errors
    ///
    /// As [`Metadata::load`].
    pub fn load_for(platform: &str) -> Result<Self> {
        let arguments = ["metadata", "--format-version", "1", "--filter-platform", platform];
        let text = process::read(&mut workspace::cargo(&arguments))?;
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}").into())
    }

    /// Returns the packages of the workspace, sorted by name.
    #[must_use]
    pub fn members(&self) -> Vec<&Package> {
        let mut members: Vec<_> =
            self.packages.iter().filter(|package| self.workspace_members.contains(&package.id)).collect();
        members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        members
    }

    /// Returns a package of the workspace and all packages that become part of its program, sorted by name and version.
    #[must_use]
    pub fn linked_into(&self, name: &str) -> Vec<&Package> {
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .iter()
            .flat_map(|resolve| &resolve.nodes)
            .map(|node| (node.id.as_str(), node))
            .collect();
        let mut found: BTreeSet<&str> =
            self.member(name).map(|package| package.id.as_str()).into_iter().collect();
        let mut waiting: Vec<&str> = found.iter().copied().collect();
        while let Some(node) = waiting.pop().and_then(|id| nodes.get(id)) {
            let linked = node
                .deps
                .iter()
                .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            waiting.extend(linked.map(|dependency| dependency.pkg.as_str()).filter(|id| found.insert(id)));
        }
        let mut packages: Vec<_> =
            self.packages.iter().filter(|package| found.contains(package.id.as_str())).collect();
        packages.sort_unstable_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        packages
    }

    /// Finds a package of the workspace.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Package> {
        self.members().into_iter().find(|package| package.name == name)
    }
}

impl Package {
    /// Returns whether the package may be published.
    #[must_use]
    pub fn is_publishable(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// Returns the names of the features that the package offers, without `default`.
    pub fn feature_names(&self) -> impl Iterator<Item = &str> {
        self.features.keys().map(String::as_str).filter(|name| *name != "default")
    }
}

/// Returns the target triple of the platform that this runs on.
pub fn host_platform() -> Result<String> {
    let said = process::read(std::process::Command::new("rustc").arg("-vV"))?;
    said.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc -vV names no host".into())
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    #[test]
    fn the_workspace_knows_its_members_and_their_dependencies() {
        let metadata = Metadata::load().unwrap();
        let model = metadata.member("d1-model").unwrap();
        assert!(model.is_publishable());
        assert!(model.dependencies.iter().any(|dependency| dependency.name == "thiserror"));
        assert!(!metadata.member("xtask").unwrap().is_publishable());
    }
}
