//! `d1oci discover`: the artifacts that refer to an artifact.

use std::collections::HashSet;

use d1_model::Identifier;
use d1_transfer::parts::{ReferrerBudget, referrers};
use futures::future::BoxFuture;
use oci_model::{Annotations, Descriptor, Digest, MediaType, RawManifest, Reference};
use registry_backend::{Access, RegistryBackend};
use serde::Serialize;

use super::package::target;
use crate::context::Context;
use crate::failure::Failure;
use crate::near::found;
use crate::output::Lines;

/// Show the artifacts that refer to an artifact: attached system metadata, signatures, and those that refer to these.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci discover oci:store:v1")]
pub(crate) struct Arguments {
    /// The artifact, or with `--id` the repository.
    reference: Reference,
    /// DataONE identifier of the package or an object in it, in place of a tag.
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// Show only artifacts of this type.
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<MediaType>,
    /// How many steps to follow referrers of referrers.
    #[arg(long, value_name = "N", default_value_t = 8)]
    depth: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    reference: String,
    digest: Digest,
    size: u64,
    artifact_type: Option<MediaType>,
    annotations: Annotations,
    referrers: Vec<Node>,
}

struct Walk<'a> {
    backend: &'a dyn RegistryBackend,
    repository: String,
    artifact_type: Option<MediaType>,
    seen: HashSet<Digest>,
    budget: ReferrerBudget,
}

/// How many referrers a tree has at most, and how many bytes their annotations.
const MOST_REFERRERS: usize = 100_000;
const MOST_ANNOTATION_BYTES: usize = 64 << 20;

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let location = &arguments.reference.location;
    context.check_scheme(location)?;
    let backend = context.open(location, Access::Read).await?;
    let observer = context.observer();
    let target = target(context, &*backend, &arguments.reference, arguments.id.as_ref(), &observer).await?;
    let subject = backend.read_manifest(&target).await;
    let subject = described(&found(&*backend, &arguments.reference, subject).await?);
    let mut walk = Walk {
        backend: &*backend,
        repository: location.to_string(),
        artifact_type: arguments.artifact_type,
        seen: HashSet::new(),
        budget: ReferrerBudget::new(MOST_REFERRERS, MOST_ANNOTATION_BYTES),
    };
    let root = Node {
        reference: format!("{location}@{}", subject.digest),
        referrers: walk.referrers(&subject.digest, arguments.depth).await?,
        digest: subject.digest,
        size: subject.size,
        artifact_type: subject.artifact_type,
        annotations: subject.annotations,
    };
    context.printer.result(&root, |root, lines| {
        lines.add(&root.reference);
        tree(&root.referrers, "", lines);
    })
}

/// Describes a manifest by its content: some stores answer with less.
fn described(raw: &RawManifest) -> Descriptor {
    let mut descriptor = raw.descriptor();
    // Other artifacts can refer to bytes that are not a manifest.
    if let Ok(manifest) = raw.parse() {
        descriptor.artifact_type = manifest.effective_artifact_type().cloned();
        descriptor.annotations = manifest.annotations().clone();
    }
    descriptor
}

impl Walk<'_> {
    fn referrers<'s>(
        &'s mut self,
        subject: &'s Digest,
        depth: usize,
    ) -> BoxFuture<'s, Result<Vec<Node>, Failure>> {
        Box::pin(async move {
            // Honest manifests have no cycle.
            if depth == 0 || !self.seen.insert(subject.clone()) {
                return Ok(Vec::new());
            }
            let found = referrers(self.backend, subject, self.artifact_type.as_ref(), &self.budget).await?;
            let mut nodes = Vec::with_capacity(found.len());
            for descriptor in found {
                nodes.push(Node {
                    reference: format!("{}@{}", self.repository, descriptor.digest),
                    referrers: self.referrers(&descriptor.digest, depth - 1).await?,
                    digest: descriptor.digest,
                    size: descriptor.size,
                    artifact_type: descriptor.artifact_type,
                    annotations: descriptor.annotations,
                });
            }
            Ok(nodes)
        })
    }
}

/// Draws the tree of referrers, grouped by artifact type as `oras` shows it.
fn tree(nodes: &[Node], indent: &str, lines: &mut Lines<'_>) {
    for (at, node) in nodes.iter().enumerate() {
        let last = at + 1 == nodes.len();
        let (branch, below) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let kind = node.artifact_type.as_ref().map_or("unknown", MediaType::as_str);
        lines.add(format_args!("{indent}{branch}{kind}"));
        lines.add(format_args!("{indent}{below}└── {}", node.digest));
        let deeper = format!("{indent}{below}    ");
        for (key, value) in &node.annotations {
            lines.add(format_args!("{deeper}{key}: {value}"));
        }
        tree(&node.referrers, &deeper, lines);
    }
}
