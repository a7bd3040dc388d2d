//! What a registry's refusal means: the one place where a status and a body become an error.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use http_transfer::{header, parse_retry_after};
use registry_backend::{Error, ErrorKind, Retry};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::context::Context;
use crate::http::retry_after::find_retry_after;

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The error codes of the body, if it has the form of the specification ("Error Codes").
    pub codes: Vec<String>,
    /// The messages of the body, or the start of a body of plain text.
    pub message: String,
    /// How long the registry asks to wait, in the header or in the message.
    pub retry_after: Option<Duration>,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The kind of error.
    pub kind: ErrorKind,
    /// Whether trying again can help.
    pub retry: Retry,
    /// What to tell people beside what the registry says.
    pub explanation: Option<&'static str>,
}

impl Verdict {
    /// Returns a verdict after which trying again does not help.
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, retry: Retry::No, explanation: None }
    }

    /// Returns the verdict with what is known about trying again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Returns the verdict with an explanation for people.
    #[must_use]
    pub fn explained(self, explanation: &'static str) -> Self {
        Self { explanation: Some(explanation), ..self }
    }
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let (codes, message) = parse_body(body);
        let retry_after = header(headers, RETRY_AFTER.as_str())
            .and_then(|value| parse_retry_after(value, SystemTime::now()))
            .or_else(|| find_retry_after(&message));
        Self { status: status.as_u16(), codes, message, retry_after }
    }

    /// Reads the body of an answer without headers, to try out a profile.
    pub fn of_body(status: u16, body: &[u8]) -> Self {
        Self::new(StatusCode::from_u16(status).unwrap_or_default(), &HeaderMap::new(), body)
    }

    /// Tells whether the body has this error code.
    pub fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|own| own.eq_ignore_ascii_case(code))
    }

    /// Tells whether the message has this text, in any case.
    pub fn says(&self, text: &str) -> bool {
        self.message.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
    }

    /// Returns the error.
    pub(crate) fn into_error(self, classify: fn(&Self) -> Option<Verdict>, context: &Context) -> Error {
        let verdict = classify(&self).unwrap_or_else(|| self.verdict());
        let mut reason = format!("the registry answers {}", self.status);
        if let Some(name) =
            StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason())
        {
            let _ = write!(reason, " {name}");
        }
        for code in &self.codes {
            let _ = write!(reason, " {code}");
        }
        if !self.message.is_empty() {
            let _ = write!(reason, ": {}", self.message);
        }
        if let Some(explanation) = verdict.explanation {
            let _ = write!(reason, " ({explanation})");
        }
        context.error(verdict.kind).because(reason).with_retry(verdict.retry)
    }

    fn verdict(&self) -> Verdict {
        let wait = self.retry_after.map_or(Retry::Yes, Retry::After);
        match self.status {
            // GitHub answers its secondary limit with 403, and says so in the text only.
            403 if self.says("rate limit") => Verdict::new(ErrorKind::RateLimited).with_retry(wait),
            429 => Verdict::new(ErrorKind::RateLimited).with_retry(wait),
            // 499 and 522 are nginx's and Cloudflare's words for a connection that broke behind them.
            408 | 425 | 499 | 500 | 502..=504 | 522 => Verdict::new(ErrorKind::Unavailable).with_retry(wait),
            401 | 403 => Verdict::new(ErrorKind::Denied),
            413 => Verdict::new(ErrorKind::TooLarge),
            _ => self.verdict_by_code(),
        }
    }

    fn verdict_by_code(&self) -> Verdict {
        if self.has_code("MANIFEST_BLOB_UNKNOWN") || (self.status == 400 && self.has_code("BLOB_UNKNOWN")) {
            return Verdict::new(ErrorKind::Incomplete);
        }
        if self.says("unknown media type") || self.status == 415 {
            return Verdict::new(ErrorKind::Unsupported)
                .explained("the registry takes only media types that it knows");
        }
        // Docker's registry answers 400 to a manifest above its limit.
        if self.says("body too large") {
            return Verdict::new(ErrorKind::TooLarge);
        }
        let invalid =
            ["DIGEST_INVALID", "SIZE_INVALID", "MANIFEST_INVALID", "MANIFEST_UNVERIFIED", "NAME_INVALID"];
        match self.status {
            404 | 410 => Verdict::new(ErrorKind::NotFound),
            405 | 501 => Verdict::new(ErrorKind::Unsupported),
            _ if self.has_code("UNSUPPORTED") => Verdict::new(ErrorKind::Unsupported),
            _ if invalid.iter().any(|code| self.has_code(code)) => Verdict::new(ErrorKind::Invalid),
            409 | 412 | 423 => Verdict::new(ErrorKind::Conflict),
            _ if self.has_code("DENIED") || self.has_code("UNAUTHORIZED") => Verdict::new(ErrorKind::Denied),
            _ if self.has_code("TOOMANYREQUESTS") => Verdict::new(ErrorKind::RateLimited)
                .with_retry(self.retry_after.map_or(Retry::Yes, Retry::After)),
            _ => Verdict::new(ErrorKind::Protocol),
        }
    }
}

/// The most characters of a registry's words that are repeated.
const LONGEST_MESSAGE: usize = 400;

/// Returns codes and messages of the body; any body may come (distribution-spec, "Error Codes").
fn parse_body(body: &[u8]) -> (Vec<String>, String) {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let errors = value.get("errors").and_then(Value::as_array);
        let field = |error: &Value, name| error.get(name).and_then(Value::as_str).map(str::to_owned);
        let codes = errors.into_iter().flatten().take(8).filter_map(|error| field(error, "code")).collect();
        // GitLab says only in `detail`, as text, which media type it refuses.
        let said = |error: &Value| {
            let parts = [field(error, "message"), field(error, "detail")];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(": "))
        };
        let mut messages: Vec<String> = errors.into_iter().flatten().take(8).filter_map(said).collect();
        if messages.is_empty() {
            // Token servers write `error_description` (RFC 6749 section 5.2); others `message`, `details` or `error`.
            let names = ["error_description", "message", "details", "error"];
            messages.extend(names.iter().find_map(|name| field(&value, name)));
        }
        return (codes, printable(&messages.join("; ")));
    }
    let text = String::from_utf8_lossy(body);
    let is_html = text.trim_start().starts_with('<');
    (Vec::new(), if is_html { html_title(&text) } else { printable(&text) })
}

/// The title of an error page says all that such a page has to say.
fn html_title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let rest = page.get(start + "<title>".len()..)?;
        let end = lower.get(start + "<title>".len()..)?.find("</title>")?;
        rest.get(..end)
    });
    printable(title.unwrap_or("a page of HTML"))
}

fn printable(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests;
