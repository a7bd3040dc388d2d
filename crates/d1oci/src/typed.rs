//! The words of the user that advice repeats in place of placeholders.

use clap::ArgMatches;
use oci_model::Reference;

use crate::spellings::TaggedReference;

/// The names of the arguments that hold references, in the order in which commands have them.
pub(crate) const REFERENCES: [&str; 6] = ["reference", "repository", "repositories", "target", "from", "to"];

/// The reference that a command line names first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed(Option<Reference>);

impl Typed {
    /// Reads the reference from the command line.
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let typed = REFERENCES.iter().find_map(|name| first(command_of(matches), name));
        Self(typed.and_then(|text| text.parse::<TaggedReference>().ok()).map(|tagged| tagged.first))
    }

    /// Replaces the words `REPOSITORY` and `REFERENCE` in advice. Without a reference on the command line, they stay.
    pub(crate) fn put_into(&self, advice: &str) -> String {
        match &self.0 {
            Some(reference) => advice
                .replace("REPOSITORY", &reference.location.to_string())
                .replace("REFERENCE", &reference.to_string()),
            None => advice.to_owned(),
        }
    }
}

/// Returns the arguments of the command itself, such as those of `manifest fetch`.
pub(crate) fn command_of(mut matches: &ArgMatches) -> &ArgMatches {
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
    matches
}

/// Returns the first value of an argument as it was typed.
pub(crate) fn first<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    // A command without this argument has no values of it.
    matches.try_get_raw(name).ok()??.next()?.to_str()
}
