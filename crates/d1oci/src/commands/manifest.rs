//! `d1oci manifest`: the stored bytes of manifests and configurations.

use std::path::{Path, PathBuf};

use d1_package::MAX_INDEX_BYTES;
use oci_model::{Digest, MANIFEST_READ_LIMIT, Manifest, ManifestRef, MediaType, RawManifest, Reference};
use registry_backend::{Access, RegistryBackendExt};
use serde::Serialize;

use super::delete;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::files::{read_input, write_result};
use crate::near::found;
use crate::spellings::TaggedReference;

/// Work with manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci manifest fetch --pretty oci:store:v1")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Fetch(FetchArguments),
    FetchConfig(FetchConfigArguments),
    Push(PushArguments),
    Delete(DeleteArguments),
}

/// Print the manifest of an artifact, byte for byte.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci manifest fetch --pretty oci:store:v1")]
struct FetchArguments {
    /// The artifact.
    reference: Reference,
    /// Indent it for reading, with a note in place of the embedded index; below 64 levels, lines get no more indent.
    #[arg(long)]
    pretty: bool,
    /// With `--pretty`: show the embedded index too.
    #[arg(long, requires = "pretty")]
    with_index: bool,
    /// Print its descriptor instead.
    #[arg(long)]
    descriptor: bool,
    /// Write it to a file; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Print the configuration of an artifact: of a package, its index.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci manifest fetch-config --pretty oci:store:v1")]
struct FetchConfigArguments {
    /// The artifact.
    reference: Reference,
    /// Indent it for reading.
    #[arg(long)]
    pretty: bool,
    /// Print its descriptor instead.
    #[arg(long)]
    descriptor: bool,
    /// Write it to a file; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Store a manifest as it is. Its blobs must be in the repository already.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci manifest push oci:store:v2 manifest.json")]
struct PushArguments {
    /// The repository with a tag, with several tags and commas between them, or with the digest of the manifest.
    #[arg(value_name = "REFERENCE")]
    target: TaggedReference,
    /// The manifest; `-` is standard input.
    file: PathBuf,
    /// Media type of the manifest [default: the one in its field `mediaType`].
    #[arg(long, value_name = "TYPE")]
    media_type: Option<MediaType>,
    /// Let a registry forget the artifact that a tag named before; without it, the former artifact keeps a tag of its digest.
    #[arg(long)]
    no_keep: bool,
}

/// Delete an artifact with all its tags. At a terminal, the command asks first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci manifest delete --yes oci:store:v1")]
struct DeleteArguments {
    /// The artifact.
    reference: Reference,
    /// Do not ask at a terminal.
    #[arg(short, long, visible_alias = "force", short_alias = 'f')]
    yes: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    reference: String,
    digest: Digest,
    size: u64,
    media_type: MediaType,
}

/// The bytes to print, and whether they are the stored bytes.
type Printed = (Vec<u8>, bool);

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::Fetch(arguments) => fetch(context, arguments).await,
        Action::FetchConfig(arguments) => fetch_config(context, arguments).await,
        Action::Push(arguments) => push(context, arguments).await,
        Action::Delete(DeleteArguments { reference, yes }) => {
            delete::run(context, delete::Arguments::of_artifact(reference, yes)).await
        }
    }
}

async fn fetch(context: &Context, arguments: FetchArguments) -> Result<(), Failure> {
    let target = context.required_target(&arguments.reference)?;
    let backend = context.open(&arguments.reference.location, Access::Read).await?;
    let manifest = backend.read_manifest(target).await;
    let manifest = found(&*backend, &arguments.reference, manifest).await?;
    let bytes = match (arguments.descriptor, arguments.pretty) {
        (true, pretty) => as_json(&manifest.descriptor(), pretty)?,
        (false, true) => {
            let text = text(manifest.bytes())?;
            let noted = if arguments.with_index { None } else { with_note(text, &manifest) };
            (pretty(noted.as_deref().unwrap_or(text)).into_bytes(), false)
        }
        (false, false) => (manifest.bytes().to_vec(), true),
    };
    print(context, arguments.output.as_deref(), bytes)
}

async fn fetch_config(context: &Context, arguments: FetchConfigArguments) -> Result<(), Failure> {
    let target = context.required_target(&arguments.reference)?;
    let backend = context.open(&arguments.reference.location, Access::Read).await?;
    let manifest = backend.read_image_manifest(target).await;
    let (_, manifest) = found(&*backend, &arguments.reference, manifest).await?;
    let bytes = match (arguments.descriptor, arguments.pretty) {
        (true, pretty) => as_json(&manifest.config, pretty)?,
        (false, is_pretty) => {
            let bytes = backend.read_blob_to_memory(&manifest.config, MAX_INDEX_BYTES).await?;
            match is_pretty {
                true => (pretty(text(&bytes)?).into_bytes(), false),
                false => (bytes, true),
            }
        }
    };
    print(context, arguments.output.as_deref(), bytes)
}

async fn push(context: &Context, arguments: PushArguments) -> Result<(), Failure> {
    let TaggedReference { first, more } = &arguments.target;
    context.check_scheme(&first.location)?;
    let bytes = read_input(&arguments.file, MANIFEST_READ_LIMIT).await?;
    let stated = serde_json::from_slice::<Stated>(&bytes).ok().and_then(|stated| stated.media_type);
    let media_type = arguments.media_type.or(stated).ok_or_else(|| {
        Failure::usage("expected a manifest with the field `mediaType`, found none")
            .with_hint("`--media-type` states the type of a manifest")
    })?;
    let manifest = RawManifest::new(bytes, media_type);
    let backend = context.open(&first.location, Access::Create).await?;
    let at = first.target.clone().unwrap_or_else(|| ManifestRef::Digest(manifest.digest().clone()));
    let observer = context.observer();
    for at in std::iter::once(at).chain(more.iter().cloned().map(ManifestRef::Tag)) {
        if let (ManifestRef::Tag(tag), false) = (&at, arguments.no_keep) {
            d1_transfer::keep_former(&*backend, tag, manifest.digest(), &observer).await?;
        }
        backend.write_manifest(&at, &manifest).await?;
    }
    let pushed = Pushed {
        reference: first.to_string(),
        digest: manifest.digest().clone(),
        size: manifest.bytes().len() as u64,
        media_type: manifest.media_type().clone(),
    };
    context.printer.done(&pushed, |pushed, lines| {
        lines.add(format_args!("Pushed {}", pushed.reference));
        lines.add(format_args!("Digest: {}", pushed.digest));
    })
}

/// The field of a manifest that states its type.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    media_type: Option<MediaType>,
}

fn as_json<T: Serialize>(value: &T, pretty: bool) -> Result<Printed, Failure> {
    let json = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    json.map(|json| (json, false)).map_err(|error| Failure::new(ExitStatus::Invalid, error))
}

/// Returns JSON as text, not as a value: fields keep their order and numbers their digits.
fn text(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| Failure::new(ExitStatus::Invalid, error))
}

/// Writes the bytes to a file, or to standard output, there with an end of line behind bytes that are not stored like that.
fn print(context: &Context, output: Option<&Path>, (mut bytes, is_stored): Printed) -> Result<(), Failure> {
    match output {
        Some(path) if path != Path::new("-") => write_result(path, &bytes),
        _ => {
            if !is_stored {
                bytes.push(b'\n');
            }
            context.printer.raw(&bytes)
        }
    }
}

/// The longest embedded content that is shown, in characters. Small configurations, such as the empty one, are not worth a note.
const LONGEST_SHOWN: usize = 100;

/// Returns the text of a manifest with a note in place of a large embedded configuration.
fn with_note(text: &str, manifest: &RawManifest) -> Option<String> {
    let Ok(Manifest::Image(image)) = manifest.parse() else { return None };
    let bytes = image.config.inline_content()?.len();
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let data = json.get("config")?.get("data")?.as_str().filter(|data| data.len() > LONGEST_SHOWN)?;
    let note = format!("({bytes} bytes: `d1oci manifest fetch-config` shows them)");
    Some(text.replacen(&format!("\"{data}\""), &format!("\"{note}\""), 1))
}

/// The deepest level with an indent of its own. Deeper levels share it: else the indent alone of a deeply nested manifest of
/// 4 MB takes 20 GiB.
const DEEPEST_INDENT: usize = 64;

/// Indents valid JSON. It changes nothing but white space.
fn pretty(json: &str) -> String {
    let (mut text, mut depth, mut in_string, mut escaped) = (String::new(), 0_usize, false, false);
    let mut rest = json.chars().peekable();
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth.min(DEEPEST_INDENT)));
    };
    while let Some(c) = rest.next() {
        if in_string {
            text.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            c if c.is_ascii_whitespace() => {}
            '{' | '[' => {
                text.push(c);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = rest.next_if(|c| matches!(c, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c => {
                in_string = c == '"';
                text.push(c);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST_INDENT, pretty};

    #[test]
    fn indenting_is_what_serde_does_but_keeps_the_order() {
        let json = r#"{"b":[1,2.50,{}],"a":{"x\"{":[ ],"y":"\\"},"n":null}"#;
        assert_eq!(
            pretty(json),
            "{\n  \"b\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"a\": {\n    \"x\\\"{\": [],\n    \"y\": \"\\\\\"\n  },\n  \"n\": null\n}"
        );
    }

    #[test]
    fn the_size_of_indented_text_grows_with_the_text_and_not_with_its_depth() {
        let depth = 100_000;
        let nested = "[".repeat(depth) + "1" + &"]".repeat(depth);
        assert!(pretty(&nested).len() <= nested.len() * (2 + 2 * DEEPEST_INDENT));
    }
}
