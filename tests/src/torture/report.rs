//! The report of a round.

use std::fmt;

/// The course of a round.
#[derive(Debug, Default)]
pub struct Report {
    /// The command and its faults.
    pub scene: String,
    /// The exit code of the command in trouble; `None` if it was killed.
    pub code: Option<i32>,
    /// Standard error of the command.
    pub said: String,
    /// Whether the link was lost while the command ran.
    pub has_lost_link: bool,
    /// The kinds of trouble that this machine cannot make, and why.
    pub skipped: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"));
        write!(formatter, "{}: {code}\n{}", self.scene, self.said)
    }
}
