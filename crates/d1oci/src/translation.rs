//! References as `oras` and `skopeo` write them. They become those of this program before the command line is read.

use std::ffi::OsString;

use clap::builder::OsStringValueParser;

use crate::cli;
use crate::typed::{REFERENCES, command_of};

/// The options by which `oras` says that a reference is an image layout, and the arguments that each is about.
const LAYOUT_OPTIONS: [(&str, &[&str]); 3] = [
    ("--oci-layout", &["reference", "repository", "target"]),
    ("--from-oci-layout", &["from"]),
    ("--to-oci-layout", &["to"]),
];

/// Schemes of other programs, and those of this one.
const SCHEMES: [(&str, &str); 3] = [("docker://", ""), ("ocidir://", "oci:"), ("ocidir:", "oci:")];

/// Returns the command line with references as this program reads them.
pub(crate) fn translated(arguments: Vec<OsString>) -> Vec<OsString> {
    match attempted(&arguments) {
        Some(translated) => translated,
        // The parser of the command line answers it.
        None => arguments,
    }
}

fn attempted(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let is_typed = |option: &str| arguments.iter().take(end).any(|argument| argument == option);
    let layouts: Vec<&str> = LAYOUT_OPTIONS
        .iter()
        .filter(|(option, _)| is_typed(option))
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    let has_scheme =
        |argument: &OsString| argument.to_str().is_some_and(|text| in_own_scheme(text).is_some());
    if layouts.is_empty() && !arguments.iter().any(has_scheme) {
        return None;
    }
    let is_option = |argument: &OsString| LAYOUT_OPTIONS.iter().any(|(option, _)| argument == option);
    let mut translated: Vec<OsString> = arguments
        .iter()
        .enumerate()
        .filter(|(at, argument)| *at >= end || !is_option(argument))
        .map(|(_, argument)| argument.clone())
        .collect();
    let matches = lenient(cli::command()).try_get_matches_from(&translated).ok()?;
    for name in REFERENCES {
        let Ok(Some(values)) = command_of(&matches).try_get_raw(name) else { continue };
        for value in values {
            let text = value.to_str()?;
            let own = match layouts.contains(&name) && !text.starts_with("oci:") {
                true => format!("oci:{text}"),
                false => match in_own_scheme(text) {
                    Some(own) => own,
                    None => continue,
                },
            };
            let at = translated.iter().position(|argument| argument == value)?;
            *translated.get_mut(at)? = own.into();
        }
    }
    Some(translated)
}

/// Returns a reference with the scheme of another program in the words of this one.
fn in_own_scheme(text: &str) -> Option<String> {
    SCHEMES.iter().find_map(|(foreign, own)| Some(format!("{own}{}", text.strip_prefix(foreign)?)))
}

/// Returns the command line with any text as a value: the values are checked when they are translated.
fn lenient(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| match argument.get_action().takes_values() {
            true => argument.value_parser(OsStringValueParser::new()),
            false => argument,
        })
        .mut_subcommands(lenient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_other_programs_become_those_of_this_one() {
        for (typed, own) in [
            ("pull --oci-layout store:v1 -o out", "pull oci:store:v1 -o out"),
            ("push --oci-layout store:v1,v2 a.csv", "push oci:store:v1,v2 a.csv"),
            ("manifest fetch --oci-layout oci:store:v1", "manifest fetch oci:store:v1"),
            ("cp --from-oci-layout store:v1 ghcr.io/a/b:v1", "cp oci:store:v1 ghcr.io/a/b:v1"),
            ("cp ghcr.io/a/b:v1 --to-oci-layout store:v1", "cp ghcr.io/a/b:v1 oci:store:v1"),
            ("copy docker://ghcr.io/a/b:v1 ocidir://store:v1", "copy ghcr.io/a/b:v1 oci:store:v1"),
            ("repo tags --oci-layout store", "repo tags oci:store"),
            // Only references are translated.
            ("push oci:store:v1 a.csv -a x=docker://y", "push oci:store:v1 a.csv -a x=docker://y"),
            ("push oci:store:v1 -- --oci-layout", "push oci:store:v1 -- --oci-layout"),
            ("no-such-command --oci-layout a", "no-such-command --oci-layout a"),
        ] {
            let words = |line: &str| -> Vec<OsString> {
                ["d1oci"].into_iter().chain(line.split(' ')).map(OsString::from).collect()
            };
            assert_eq!(translated(words(typed)), words(own), "{typed}");
        }
    }
}
