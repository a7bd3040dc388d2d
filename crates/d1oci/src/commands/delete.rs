//! `d1oci delete`: artifacts and tags.

use oci_model::{Digest, ManifestRef, Reference};
use registry_backend::{Access, Error, ErrorKind, RegistryBackend, RegistryBackendExt, RepositoryAdmin};
use serde::Serialize;

use super::confirm::ask;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};

/// Delete a tag, or an artifact with all its tags.
///
/// A reference with a tag deletes only the tag, and the artifact stays. `--artifact`, or a reference with a digest, deletes the
/// artifact with all its tags. Its blobs stay until `d1oci prune`. At a terminal, the command asks first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci delete oci:store:v1")]
pub(crate) struct Arguments {
    /// The tag or artifact.
    reference: Reference,
    /// Delete the artifact that has the tag, with all its tags.
    #[arg(long)]
    artifact: bool,
    /// Do not ask at a terminal.
    #[arg(short, long)]
    yes: bool,
    /// Succeed if it does not exist.
    #[arg(short, long)]
    force: bool,
}

impl Arguments {
    /// Returns the arguments that delete an artifact with all its tags.
    pub(super) fn of_artifact(reference: Reference, yes: bool) -> Self {
        Self { reference, artifact: true, yes, force: false }
    }
}

#[derive(Debug, Serialize)]
struct Deleted {
    deleted: String,
    kind: &'static str,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let target = context.required_target(&arguments.reference)?;
    let location = &arguments.reference.location;
    if !arguments.yes {
        let all = if arguments.artifact { " and all its tags" } else { "" };
        let answer = ask(context, &format!("delete {}{all}? [y/N]", arguments.reference)).await?;
        if answer.is_some_and(|answer| !["y", "yes"].contains(&answer.to_lowercase().as_str())) {
            return Err(Failure::usage("nothing is deleted"));
        }
    }
    let backend = match context.open(location, Access::Modify).await {
        Err(failure) if arguments.force && failure.status() == ExitStatus::NotFound => {
            return tell(context, &arguments.reference, "nothing");
        }
        opened => opened?,
    };
    let admin = backend.admin().ok_or_else(|| Error::new(ErrorKind::Unsupported, "delete from", location))?;
    let result = match target {
        ManifestRef::Tag(tag) if !arguments.artifact => admin.delete_tag(tag).await.map(|()| "tag"),
        target => delete_artifact(&*backend, admin, target).await.map(|_| "artifact"),
    };
    let kind = match result {
        Err(error) if arguments.force && error.kind() == ErrorKind::NotFound => "nothing",
        result => result?,
    };
    tell(context, &arguments.reference, kind)
}

fn tell(context: &Context, reference: &Reference, kind: &'static str) -> Result<(), Failure> {
    let deleted = Deleted { deleted: reference.to_string(), kind };
    context.printer.done(&deleted, |deleted, lines| match deleted.kind {
        "nothing" => lines.add(format_args!("{} does not exist", deleted.deleted)),
        kind => lines.add(format_args!("Deleted {kind} {}", deleted.deleted)),
    })
}

async fn delete_artifact(
    backend: &dyn RegistryBackend,
    admin: &dyn RepositoryAdmin,
    target: &ManifestRef,
) -> registry_backend::Result<Digest> {
    let digest = backend.resolve(target).await?.digest;
    admin.delete_manifest(&digest).await?;
    Ok(digest)
}
