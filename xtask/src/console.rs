//! Output of the tasks: results on standard output, everything else on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line of result to standard output.
pub fn result(line: impl Display) {
    // The reader has closed the pipe: it needs no more.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Writes one line about progress to standard error.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
