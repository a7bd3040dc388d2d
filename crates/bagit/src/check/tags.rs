//! The tag manifests against the tag files, the payload manifests and each other.

use std::collections::BTreeSet;

use super::entries::Listed;
use super::{Checker, payload_algorithms, tag_algorithms};
use crate::fault::{FaultCode, Severity};
use crate::manifest::{ManifestKind, ManifestName};

impl Checker<'_> {
    pub(super) fn tag_manifests(&mut self) {
        self.report_near_manifests();
        let manifests = std::mem::take(&mut self.manifests);
        let mut all: Vec<(&str, Listed)> = Vec::new();
        for manifest in manifests.iter().filter(|manifest| manifest.kind == ManifestKind::Tag) {
            let Some(listed) = self.check_manifest(manifest) else { continue };
            for payload in manifests.iter().filter(|manifest| manifest.kind == ManifestKind::Payload) {
                if !self.lists(&listed, payload.name) {
                    let message = format!("{} does not list this payload manifest", manifest.name);
                    let code = FaultCode::TagManifestIncomplete;
                    self.error_since_1_0(code, Some(payload.name), message, Severity::Info);
                }
            }
            all.push((manifest.name, listed));
        }
        self.manifests = manifests;
        self.report_missing(&all);
        if !all.is_empty() {
            self.report_unlisted_tags(&all);
            self.compare_tag_manifests(&all);
        }
    }

    fn lists(&self, listed: &Listed, path: &str) -> bool {
        self.resolver.find(path).and_then(|index| listed.present.get(index)).is_some_and(|present| *present)
    }

    fn report_near_manifests(&mut self) {
        let near = |name: &str| {
            let lower = name.to_ascii_lowercase();
            (lower.starts_with("manifest-") || lower.starts_with("tagmanifest-")) && !lower.ends_with(".txt")
        };
        for (_, path) in self.resolver.indices(ManifestKind::Tag) {
            if !path.contains('/') && near(path) {
                let message = "the file is no manifest, because its name does not end in .txt";
                self.fault(FaultCode::ManifestNameExtension, Some(path), message);
            }
        }
    }

    fn report_missing(&mut self, all: &[(&str, Listed)]) {
        let paths: BTreeSet<&String> = all.iter().flat_map(|(_, listed)| &listed.missing).collect();
        for path in paths {
            self.fault(
                FaultCode::TagFileMissing,
                Some(path),
                "a tag manifest lists the file, but it is not there",
            );
        }
    }

    fn report_unlisted_tags(&mut self, all: &[(&str, Listed)]) {
        for (index, path) in self.resolver.indices(ManifestKind::Tag) {
            let is_manifest = !path.contains('/') && ManifestName::parse(path).is_some();
            let listed =
                all.iter().any(|(_, listed)| listed.present.get(index).is_some_and(|present| *present));
            if !is_manifest && !listed {
                self.fault(FaultCode::TagFileUnlisted, Some(path), "no tag manifest lists the file");
            }
        }
    }

    fn compare_tag_manifests(&mut self, all: &[(&str, Listed)]) {
        let payload = payload_algorithms(self.tags);
        if payload != tag_algorithms(self.tags) {
            let message = "the tag manifests use other algorithms than the payload manifests";
            self.fault(FaultCode::TagManifestAlgorithms, None, message);
        }
        let Some(((first_name, first), others)) = all.split_first() else { return };
        for (name, other) in others {
            if other.present != first.present || other.missing != first.missing {
                let message = format!("the manifest does not list the same files as {first_name}");
                self.fault(FaultCode::TagManifestsDiffer, Some(name), message);
            }
        }
    }
}
