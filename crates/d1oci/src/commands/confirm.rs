//! Questions to a person at a terminal.

use std::io::{self, BufRead as _, IsTerminal as _};

use crate::context::Context;
use crate::failure::Failure;
use crate::files::while_reading;

/// Asks a person at the terminal, and returns the answer without its end of line. Returns `None` where nobody can answer.
pub(super) async fn ask(context: &Context, question: &str) -> Result<Option<String>, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    context.printer.warning(question);
    let answer = while_reading(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(Failure::input)?;
        Ok(line.trim_end().to_owned())
    });
    answer.await.map(Some)
}
