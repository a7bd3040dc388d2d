//! Where text may go: results to standard output, status to standard error, and nothing anywhere else.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Format, List};

/// Writes results and status as the user wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    format: Format,
    quiet: bool,
    progress: bool,
}

impl Printer {
    /// Returns a printer; `progress` is whether progress may be shown at all.
    pub(crate) fn new(format: Format, quiet: bool, progress: bool) -> Self {
        Self { format, quiet, progress: progress && !quiet }
    }

    /// Writes a result: as JSON if that was asked for, else as the text that `text` makes of it.
    ///
    /// # Errors
    ///
    /// If standard output does not take it; a closed pipe is told apart by [`Failure::is_broken_pipe`].
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        self.written(value, |value, output| {
            let mut text = text(value);
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            output.write_all(text.as_bytes())
        })
    }

    /// Writes a result that may be long: as JSON if that was asked for, else as the text that `text` writes.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    pub(crate) fn written<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut output = BufWriter::new(io::stdout().lock());
        let written = match self.format {
            Format::Json => serde_json::to_writer_pretty(&mut output, value)
                .map_err(io::Error::from)
                .and_then(|()| output.write_all(b"\n")),
            Format::Text => text(value, &mut output),
        };
        written.and_then(|()| output.flush()).map_err(Failure::output)
    }

    /// Writes one result of many: as one line of JSON if that was asked for, else as the text that `text` makes of it.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    #[cfg(feature = "d1-client")]
    pub(crate) fn item<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let mut line = match self.format {
            Format::Json => serde_json::to_string(value).map_err(|error| Failure::output(error.into()))?,
            Format::Text => text(value),
        };
        line.push('\n');
        self.raw(line.as_bytes())
    }

    /// Begins a list of results that are written as they come: in JSON an object with these fields and an array of this
    /// name.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    pub(crate) fn list(self, fields: &[(&str, String)], name: &str) -> Result<List, Failure> {
        List::begin(self, fields, name)
    }

    /// Returns the form of results.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Writes bytes to standard output as they are.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut output = io::stdout().lock();
        output.write_all(bytes).and_then(|()| output.flush()).map_err(Failure::output)
    }

    /// Tells people what is going on, unless they want quiet.
    pub(crate) fn status(self, line: impl Display) {
        if !self.quiet {
            to_stderr(&line);
        }
    }

    /// Tells people what they should know even if they want quiet.
    pub(crate) fn warning(self, line: impl Display) {
        to_stderr(&format_args!("warning: {line}"));
    }

    /// Tells whether progress is to be shown, and how.
    pub(crate) fn progress_style(self) -> ProgressStyle {
        match (self.progress, io::stderr().is_terminal()) {
            (false, _) => ProgressStyle::None,
            (true, true) => ProgressStyle::Bars,
            (true, false) => ProgressStyle::Lines,
        }
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    /// Not at all.
    None,
    /// As bars that move, on a terminal.
    Bars,
    /// As a line now and then, in logs.
    Lines,
}

/// Writes a line to standard error; that it cannot be written is nothing that could be told anywhere.
pub(crate) fn to_stderr(line: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
