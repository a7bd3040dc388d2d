//! What the tasks tell: results on standard output, everything else on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line of result to standard output.
pub fn result(line: impl Display) {
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Writes one line about what is going on to standard error.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
