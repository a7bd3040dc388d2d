//! Waits between tries: a line that says who asked for the wait and how long it is.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::progress::Screen;
use super::{Format, human};

/// The shortest wait that is shown.
const SHORTEST: Duration = Duration::from_secs(1);

/// Shows waits. Requests in parallel wait together: a wait is shown if it ends later than the one shown before it.
#[derive(Debug)]
pub(crate) struct Waits {
    screen: Screen,
    /// The ends of the waits that were shown, by server.
    ends: Mutex<HashMap<String, Instant>>,
}

impl Waits {
    pub(crate) fn new(screen: Screen) -> Self {
        Self { screen, ends: Mutex::default() }
    }

    /// Shows a wait for a server. `is_stated` tells whether the server asked for it.
    pub(crate) fn note(&self, server: &str, reason: &dyn Display, length: Duration, is_stated: bool) {
        if length < SHORTEST || !self.is_news(server, Instant::now() + length) {
            return;
        }
        self.screen.line(|printer| match printer.format() {
            Format::Text => printer.status(Text { server, reason, length, is_stated }),
            Format::Json => {
                let waiting = serde_json::json!({
                    "server": server,
                    "seconds": length.as_secs_f64(),
                    "stated": is_stated,
                    "reason": reason.to_string(),
                });
                printer.status(serde_json::json!({ "waiting": waiting }));
            }
        });
    }

    fn is_news(&self, server: &str, end: Instant) -> bool {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.get(server).is_some_and(|shown| end < *shown + SHORTEST) {
            return false;
        }
        ends.insert(server.to_owned(), end);
        true
    }
}

struct Text<'a> {
    server: &'a str,
    reason: &'a dyn Display,
    length: Duration,
    is_stated: bool,
}

impl Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, reason, length, is_stated } = self;
        let length = human::duration(*length);
        match is_stated {
            true => write!(formatter, "{server} asked to wait {length}"),
            false => write!(formatter, "{reason}; the next try is in {length}"),
        }
    }
}
