//! What people and programs get to see.

pub(crate) mod human;
mod list;
mod printer;
mod progress;

pub(crate) use list::List;
pub(crate) use printer::{Printer, ProgressStyle, to_stderr};
pub(crate) use progress::Progress;

/// The form of results on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON with documented fields, for programs.
    Json,
}
