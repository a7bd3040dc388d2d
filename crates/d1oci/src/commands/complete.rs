//! `d1oci complete`: what the word at the cursor can become. The scripts of `d1oci completions` ask it.
//!
//! `clap_complete` has an engine for this too. It passes on words as bash breaks them, and bash breaks them at the colons of references.

use std::path::Path;
use std::time::Duration;

use clap::{Arg, Command};
use d1_transfer::open_package;
use futures::{StreamExt, TryStreamExt};
use oci_model::{ManifestRef, Reference};
use registry_backend::{Access, TagEntry};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::is_hostile;

/// List what the last word can become.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The words behind the name of the program; the last one may be incomplete.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The kind of thing that a word stands for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// One of these words.
    Words(Vec<String>),
    /// A reference.
    Reference,
    /// A path in the package of this reference.
    PathIn(String),
    /// A registry.
    Host,
    /// A local file, for which the shell looks.
    File,
}

/// How long a registry may take to answer. A person waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many tags or paths are offered.
const MOST: usize = 1000;

/// The hosts of the registries that the program knows.
const HOSTS: [&str; 3] = ["ghcr.io", "quay.io", "registry.gitlab.com"];

pub(crate) async fn run(
    context: &Context,
    arguments: Arguments,
    mut program: Command,
) -> Result<(), Failure> {
    program.build();
    let Some((current, before)) = arguments.words.split_last() else { return Ok(()) };
    let found = match wanted(&program, before, current) {
        Wanted::Words(words) => words,
        Wanted::Host => HOSTS.map(str::to_owned).to_vec(),
        Wanted::Reference => within(references(context, current)).await,
        Wanted::PathIn(reference) => within(paths(context, &reference)).await,
        Wanted::File => Vec::new(),
    };
    // A shell shows the words as they are.
    let is_harmless = |word: &String| !word.chars().any(is_hostile);
    let fitting = found.iter().filter(|word| word.starts_with(current.as_str()) && is_harmless(word));
    let lines: String = fitting.take(MOST).map(|word| format!("{word}\n")).collect();
    context.printer.raw(lines.as_bytes())
}

/// Returns the words, or none if they do not arrive in time.
async fn within(words: impl Future<Output = Option<Vec<String>>>) -> Vec<String> {
    tokio::time::timeout(PATIENCE, words).await.ok().flatten().unwrap_or_default()
}

/// Returns what the current word stands for, by the words before it.
fn wanted(program: &Command, before: &[String], current: &str) -> Wanted {
    let mut command = program;
    let mut option: Option<&Arg> = None;
    let mut positionals: Vec<&str> = Vec::new();
    for word in before {
        if option.take().is_some() {
            continue;
        }
        if let Some(name) = word.strip_prefix('-') {
            option = option_with_value(command, name);
        } else if let Some(subcommand) = command.find_subcommand(word).filter(|_| positionals.is_empty()) {
            command = subcommand;
        } else {
            positionals.push(word);
        }
    }
    if let Some(option) = option {
        return values(option).map_or(Wanted::File, Wanted::Words);
    }
    if current.starts_with('-') {
        let options = command.get_arguments().filter_map(Arg::get_long);
        return Wanted::Words(options.map(|name| format!("--{name}")).collect());
    }
    if command.has_subcommands() && positionals.is_empty() {
        let shown = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
        return Wanted::Words(shown.map(|subcommand| subcommand.get_name().to_owned()).collect());
    }
    let all: Vec<&Arg> = command.get_positionals().collect();
    let Some(positional) = all.get(positionals.len()).or(all.last()) else { return Wanted::File };
    if let Some(values) = values(positional) {
        return Wanted::Words(values);
    }
    match (positional.get_id().as_str(), positionals.first()) {
        ("reference" | "repository" | "repositories" | "target" | "from" | "to" | "subject", _) => {
            Wanted::Reference
        }
        ("path" | "globs", Some(reference)) => Wanted::PathIn((*reference).to_owned()),
        ("host", _) => Wanted::Host,
        _ => Wanted::File,
    }
}

/// Returns the option of this name, without its first dash, if its value is the next word.
fn option_with_value<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let is_named = |argument: &&Arg| match name.strip_prefix('-') {
        Some(long) => argument.get_long() == Some(long),
        None => argument.get_short().is_some_and(|short| name.strip_prefix(short) == Some("")),
    };
    let found = command.get_arguments().filter(|argument| !argument.is_positional()).find(is_named)?;
    // With `--option=value`, the next word is another one.
    (found.get_action().takes_values() && !found.is_require_equals_set()).then_some(found)
}

/// Returns the values of an argument that has only a few.
fn values(argument: &Arg) -> Option<Vec<String>> {
    let values = argument.get_possible_values();
    let is_flag = !argument.get_action().takes_values();
    (!values.is_empty() && !is_flag).then(|| values.iter().map(|value| value.get_name().to_owned()).collect())
}

/// Returns references that begin like the word: layouts in directories, tags of a repository, hosts.
async fn references(context: &Context, word: &str) -> Option<Vec<String>> {
    if let Some((before, _)) =
        word.rsplit_once(':').filter(|(before, tag)| *before != "oci" && !tag.contains('/'))
    {
        let reference: Reference = before.parse().ok()?;
        return tags(context, &reference).await;
    }
    let Some(path) = word.strip_prefix("oci:") else {
        let hosts = HOSTS.iter().map(|host| format!("{host}/"));
        return Some(hosts.chain(["oci:".to_owned()]).collect());
    };
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    let prefix = if path.contains('/') { format!("{above}/") } else { String::new() };
    let directory = if prefix.is_empty() { Path::new(".") } else { Path::new(&prefix) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).ok()?.filter_map(Result::ok).take(MOST) {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if entry.path().join("oci-layout").is_file() {
            found.push(format!("oci:{prefix}{name}:"));
        } else if entry.path().is_dir() {
            found.push(format!("oci:{prefix}{name}/"));
        }
    }
    Some(found)
}

async fn tags(context: &Context, reference: &Reference) -> Option<Vec<String>> {
    let backend = context.open(&reference.location, Access::Read).await.ok()?;
    let listed: Vec<TagEntry> = backend.tags().take(MOST).try_collect().await.ok()?;
    Some(listed.iter().map(|entry| format!("{}:{}", reference.location, entry.tag)).collect())
}

async fn paths(context: &Context, reference: &str) -> Option<Vec<String>> {
    let reference: Reference = reference.parse().ok()?;
    let target: &ManifestRef = reference.target.as_ref()?;
    let backend = context.open(&reference.location, Access::Read).await.ok()?;
    let package = open_package(&*backend, target).await.ok()?;
    Some(package.view.entries().map(|entry| entry.path.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_understood_by_the_words_before_it() {
        let mut program = clap::Command::new("d1oci")
            .arg(Arg::new("format").long("format").value_parser(["text", "json"]).global(true))
            .subcommand(
                Command::new("cat")
                    .arg(Arg::new("reference"))
                    .arg(Arg::new("path"))
                    .arg(Arg::new("output").short('o').long("output")),
            )
            .subcommand(Command::new("bag").subcommand(Command::new("validate").arg(Arg::new("bag"))));
        program.build();
        let wanted = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (current, before) = words.split_last().unwrap();
            super::wanted(&program, before, current)
        };
        let words = |words: &[&str]| Wanted::Words(words.iter().map(|word| (*word).to_owned()).collect());
        assert!(matches!(wanted("c"), Wanted::Words(names) if names.contains(&"cat".to_owned())));
        assert_eq!(wanted("cat "), Wanted::Reference);
        assert_eq!(wanted("cat --format "), words(&["text", "json"]));
        assert_eq!(wanted("cat oci:a:v1 "), Wanted::PathIn("oci:a:v1".to_owned()));
        assert_eq!(wanted("cat oci:a:v1 -o "), Wanted::File);
        assert_eq!(wanted("cat oci:a:v1 x -o file "), Wanted::PathIn("oci:a:v1".to_owned()));
        assert!(matches!(wanted("cat --"), Wanted::Words(names) if names.contains(&"--output".to_owned())));
        assert_eq!(wanted("bag validate "), Wanted::File);
    }
}
