//! The meaning of a registry's refusal: the only place where a status and a body become an error.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use http_transfer::{
    HeaderMap, StatusCode, header, html_title, looks_like_html, parse_retry_after, shortened,
};
use registry_backend::{Error, ErrorKind, Retry};
use reqwest::header::RETRY_AFTER;
use serde_json::Value;

use crate::context::Context;
use crate::headers::find_retry_after;

/// An answer without the expected status.
///
/// ```
/// use distribution_client::Refusal;
///
/// let body = br#"{"errors":[{"code":"DENIED","message":"quota exceeded"}]}"#;
/// let refusal = Refusal::of_body(403, body);
/// assert!(refusal.has_code("DENIED") && refusal.says("quota"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The error codes of the body (distribution-spec, "Error Codes").
    pub codes: Vec<String>,
    /// The messages of the body, the title of a web page, or the start of a body of plain text.
    pub message: String,
    /// The details of the body, as text. Quay names a missing blob only there.
    pub detail: String,
    /// Whether the body is a web page: then a proxy answered, not the registry.
    pub is_html: bool,
    /// How long the registry asks to wait, in the header or in the message.
    pub retry_after: Option<Duration>,
}

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The kind of error.
    pub kind: ErrorKind,
    /// Whether trying again can help.
    pub retry: Retry,
    /// Words for people, beside the registry's own.
    pub explanation: Option<&'static str>,
}

impl Verdict {
    /// Returns a verdict after which trying again does not help.
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, retry: Retry::No, explanation: None }
    }

    /// Returns the verdict with another statement about trying again.
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
        let Said { codes, message, detail } = parse_body(body);
        let retry_after = header(headers, RETRY_AFTER.as_str())
            .and_then(|value| parse_retry_after(value, SystemTime::now()))
            .or_else(|| find_retry_after(&message));
        let is_html = looks_like_html(body);
        Self { status: status.as_u16(), codes, message, detail, is_html, retry_after }
    }

    /// Reads the body of an answer without headers, for tests of a profile.
    pub fn of_body(status: u16, body: &[u8]) -> Self {
        Self::new(StatusCode::from_u16(status).unwrap_or_default(), &HeaderMap::new(), body)
    }

    /// Tells whether the body has this error code.
    pub fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|own| own.eq_ignore_ascii_case(code))
    }

    /// Tells whether message or detail have this text, in any case.
    pub fn says(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        [&self.message, &self.detail].iter().any(|said| said.to_ascii_lowercase().contains(&text))
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
        if !self.detail.is_empty() && !self.message.contains(&self.detail) {
            let _ = write!(reason, " [{}]", self.detail);
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
            // 499 and 522 are nginx's and Cloudflare's statuses for a connection that broke behind them.
            408 | 425 | 499 | 500 | 502..=504 | 522 => Verdict::new(ErrorKind::Unavailable).with_retry(wait),
            401 | 403 => Verdict::new(ErrorKind::Denied),
            413 => Verdict::new(ErrorKind::TooLarge),
            _ => self.verdict_by_code(),
        }
    }

    fn verdict_by_code(&self) -> Verdict {
        // Quay answers MANIFEST_INVALID, and names the missing blob in the detail (endpoints/v2/manifest.py:550).
        let misses_blob =
            self.has_code("MANIFEST_INVALID") && (self.says("unknown blob") || self.says("blob unknown"));
        if self.has_code("MANIFEST_BLOB_UNKNOWN")
            || misses_blob
            || (self.status == 400 && self.has_code("BLOB_UNKNOWN"))
        {
            return Verdict::new(ErrorKind::Incomplete);
        }
        if self.says("unknown media type") || self.status == 415 {
            return Verdict::new(ErrorKind::Unsupported)
                .explained("the registry accepts only media types that it knows");
        }
        // Harbor answers 412, ECR and Google's registry 400, each with its own code.
        if matches!(self.status, 400 | 409 | 412 | 423)
            && (self.has_code("TAG_IMMUTABLE") || self.says("immutable"))
        {
            return Verdict::new(ErrorKind::Denied).explained("the tag is immutable");
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

/// The most characters of a registry's words that a message repeats.
const LONGEST_MESSAGE: usize = 400;

/// The words of a body.
struct Said {
    codes: Vec<String>,
    message: String,
    detail: String,
}

/// Reads any body; the form of the specification comes first (distribution-spec, "Error Codes").
fn parse_body(body: &[u8]) -> Said {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        let is_markup = text.trim_start().starts_with('<');
        let said = if is_markup { html_title(&text).unwrap_or("a page of HTML") } else { &text };
        return Said { codes: Vec::new(), message: printable(said), detail: String::new() };
    };
    let errors = value.get("errors").and_then(Value::as_array).into_iter().flatten().take(8);
    let field = |error: &Value, name| error.get(name).and_then(Value::as_str).map(str::to_owned);
    let codes = errors.clone().filter_map(|error| field(error, "code")).collect();
    let mut messages: Vec<String> = errors.clone().filter_map(|error| field(error, "message")).collect();
    if messages.is_empty() {
        // Token servers write `error_description` (RFC 6749 section 5.2); others `message`, `details` or `error`.
        let names = ["error_description", "message", "details", "error"];
        messages.extend(names.iter().find_map(|name| field(&value, name)));
    }
    let details: Vec<String> = errors.filter_map(|error| detail(error.get("detail")?)).collect();
    Said { codes, message: printable(&messages.join("; ")), detail: printable(&details.join("; ")) }
}

/// Returns the text of a `detail`: itself, or its `message`. GitLab names a refused media type only there.
fn detail(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("message")?.as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn printable(text: &str) -> String {
    shortened(text, LONGEST_MESSAGE)
}

#[cfg(test)]
mod tests {
    use http_transfer::HeaderValue;

    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::new(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    fn error_body(code: &str, message: &str) -> String {
        format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":null}}]}}"#)
    }

    #[test]
    fn a_status_and_a_body_have_one_meaning() {
        use ErrorKind::{
            Denied, Incomplete, Invalid, NotFound, Protocol, RateLimited, TooLarge, Unavailable, Unsupported,
        };
        use Retry::{After, No, Yes};

        let said = error_body;
        let cases = [
            (404, said("MANIFEST_UNKNOWN", "manifest unknown"), NotFound, No),
            (404, "404 page not found\n".to_owned(), NotFound, No),
            (404, said("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"), Incomplete, No),
            (400, said("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"), Incomplete, No),
            (400, said("DIGEST_INVALID", "provided digest did not match"), Invalid, No),
            (400, said("MANIFEST_INVALID", "manifest invalid"), Invalid, No),
            (400, said("MANIFEST_INVALID", "http: request body too large"), TooLarge, No),
            (400, said("MANIFEST_INVALID", "unknown media type: x/y"), Unsupported, No),
            (413, "<html>".to_owned(), TooLarge, No),
            (401, said("UNAUTHORIZED", "authentication required"), Denied, No),
            (403, said("DENIED", "permission_denied: write_package"), Denied, No),
            (403, said("DENIED", "You have exceeded a secondary rate limit"), RateLimited, Yes),
            (405, said("UNSUPPORTED", "The operation is unsupported."), Unsupported, No),
            (409, said("TAG_IMMUTABLE", "immutable"), Denied, No),
            (
                412,
                said("PRECONDITION", "Failed to process request due to 'v1' configured as immutable."),
                Denied,
                No,
            ),
            (
                400,
                said("TAG_INVALID", "tag 'v1' cannot be overwritten because the repository is immutable"),
                Denied,
                No,
            ),
            (429, "<html><title>429 Too Many</title>".to_owned(), RateLimited, Yes),
            (
                429,
                said("TOOMANYREQUESTS", "retry-after: 35.852µs, allowed: 44000/minute"),
                RateLimited,
                After(Duration::from_nanos(35852)),
            ),
            (500, String::new(), Unavailable, Yes),
            (503, "Egress is over the account limit.".to_owned(), Unavailable, Yes),
            (418, r#"{"errors":[{"code":7}]}"#.to_owned(), Protocol, No),
            (303, String::new(), Protocol, No),
        ];
        for (status, body, kind, retry) in cases {
            let error = refusal(status, &body).into_error(|_| None, &Context::new("read blob", "x"));
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{status} {body}: {error}");
        }
    }

    #[test]
    fn a_missing_blob_is_recognised_by_the_detail_alone() {
        let body = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid",
            "detail":{"message":"Unknown blob sha256:ab"}}]}"#;
        let error = refusal(400, body).into_error(|_| None, &Context::new("read blob", "x"));
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Incomplete, Retry::No), "{error}");
    }

    #[test]
    fn the_header_says_how_long_to_wait() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let refused = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
        let error = refused.into_error(|_| None, &Context::new("read blob", "x"));
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(7)));
    }

    #[test]
    fn the_error_repeats_what_the_registry_says() {
        let refused = refusal(400, &error_body("NAME_INVALID", "bad\\u001b[31m name"));
        let text = refused.into_error(|_| None, &Context::new("push", "x")).to_string();
        assert_eq!(text, "cannot push x: the registry answers 400 Bad Request NAME_INVALID: bad [31m name");
        let page = refusal(502, "<!doctype html><html><head><title>502 Bad\nGateway</title></head>");
        assert_eq!(page.message, "502 Bad Gateway");
        assert!(page.is_html && !refusal(400, "<x>").is_html);
        assert_eq!(refusal(400, &"x".repeat(100_000)).message.chars().count(), LONGEST_MESSAGE);
        assert_eq!(refusal(401, r#"{"error":"invalid","error_description":"no"}"#).message, "no");
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read(body in "(\\{\"errors\":\\[)?[<>{}\\[\\]\":,a-z]{0,60}|\\PC{0,60}") {
            let said = parse_body(body.as_bytes());
            proptest::prop_assert!(said.message.chars().count() <= LONGEST_MESSAGE + 2);
        }
    }
}
