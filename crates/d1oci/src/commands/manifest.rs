//! `d1oci manifest fetch`: the stored bytes of a manifest.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use oci_model::Reference;
use registry_backend::Access;
use safe_files::{Existing, ResultFile};

use crate::context::Context;
use crate::failure::{ExitStatus, Failure};
use crate::near::found;

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
}

/// Print the manifest of an artifact, byte for byte.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci manifest fetch --pretty oci:store:v1")]
struct FetchArguments {
    /// The artifact.
    reference: Reference,
    /// Indent it for reading; below 64 levels, lines get no more indent.
    #[arg(long)]
    pretty: bool,
    /// Print its descriptor instead.
    #[arg(long)]
    descriptor: bool,
    /// Write it to a file; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let Action::Fetch(arguments) = arguments.action;
    let target = context.required_target(&arguments.reference)?;
    let backend = context.open(&arguments.reference.location, Access::Read).await?;
    let manifest = backend.read_manifest(target).await;
    let manifest = found(&*backend, &arguments.reference, manifest).await?;
    let json = |result: serde_json::Result<Vec<u8>>| {
        result.map_err(|error| Failure::new(ExitStatus::Invalid, error))
    };
    let mut bytes = match (arguments.descriptor, arguments.pretty) {
        (true, true) => json(serde_json::to_vec_pretty(&manifest.descriptor()))?,
        (true, false) => json(serde_json::to_vec(&manifest.descriptor()))?,
        (false, true) => {
            // As text, not as a value: fields keep their order and numbers their digits.
            let text = std::str::from_utf8(manifest.bytes())
                .map_err(|error| Failure::new(ExitStatus::Invalid, error))?;
            pretty(text).into_bytes()
        }
        (false, false) => manifest.bytes().to_vec(),
    };
    match &arguments.output {
        Some(path) if path != Path::new("-") => {
            let failed = |error| Failure::file("write", path, error);
            let mut file = ResultFile::create(path, Existing::Replace).map_err(failed)?;
            file.write_all(&bytes).and_then(|()| file.commit()).map_err(failed)
        }
        _ => {
            if arguments.pretty || arguments.descriptor {
                bytes.push(b'\n');
            }
            context.printer.raw(&bytes)
        }
    }
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
