//! Answers and refusals, and the headers that all of them have.

use std::time::SystemTime;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, ETAG, HeaderName, LAST_MODIFIED, LOCATION, ORIGIN,
    REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use jiff::Timestamp;

use crate::request::Request;

/// The spelling of header names that some clients compare exactly.
pub(crate) const HEADER_NAMES: [&str; 39] = [
    "Accept-Ranges",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "Content-Security-Policy",
    "Content-Type",
    "Cross-Origin-Resource-Policy",
    "DataONE-Checksum",
    "DataONE-Exception-Description",
    "DataONE-Exception-DetailCode",
    "DataONE-Exception-Identifier",
    "DataONE-Exception-Name",
    "DataONE-Exception-NodeId",
    "DataONE-Exception-PID",
    "DataONE-FormatId",
    "DataONE-ObjectFormat",
    "DataONE-ObsoletedBy",
    "DataONE-Obsoletes",
    "DataONE-SerialVersion",
    "DataONE-SeriesId",
    "Date",
    "ETag",
    "Last-Modified",
    "Link",
    "Location",
    "Referrer-Policy",
    "Repr-Digest",
    "Retry-After",
    "Vary",
    "WWW-Authenticate",
    "X-Content-Type-Options",
];

/// The methods that the gateway knows.
pub(crate) const METHODS: &str = "GET, HEAD, OPTIONS, POST";

/// Headers of requests that pages of other origins may send.
const CORS_REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Range, If-Range, If-None-Match, Cache-Control, X-Requested-With";

/// Headers that pages of other origins may read.
const CORS_EXPOSED_HEADERS: &str = "Content-Disposition, Content-Length, Content-Range, Accept-Ranges, Last-Modified, ETag, \
     Link, Repr-Digest, Retry-After, DataONE-ObjectFormat, DataONE-FormatId, DataONE-Checksum, DataONE-SerialVersion, \
     DataONE-Obsoletes, DataONE-ObsoletedBy, DataONE-SeriesId, DataONE-Exception-Name, DataONE-Exception-DetailCode, \
     DataONE-Exception-Description, DataONE-Exception-PID, DataONE-Exception-Identifier";

/// The policy of pages: nothing but the gateway's own files.
pub(crate) const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The policy of files: a browser runs nothing in them.
pub(crate) const FILE_POLICY: &str = "sandbox; default-src 'none'";

/// How long a client waits before it asks again, in seconds, if the store does not say.
const RETRY_SECONDS: u64 = 10;

/// The kind of a refusal, by the names of DataONE's exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidRequest,
    NotAuthorized,
    NotFound,
    NotAllowed,
    TooLarge,
    NotImplemented,
    ServiceFailure,
    /// The store is away, or busy.
    Unavailable,
}

/// A request that is not answered as the client wishes.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) kind: Kind,
    /// For the client: no paths, no names of stores.
    pub(crate) message: String,
    /// DataONE's code of the case.
    pub(crate) code: &'static str,
    pub(crate) identifier: Option<String>,
    pub(crate) retry_seconds: u64,
}

impl Kind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::NotAuthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::ServiceFailure => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns DataONE's name of the exception.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::NotAuthorized => "NotAuthorized",
            Self::NotFound => "NotFound",
            Self::NotAllowed | Self::NotImplemented => "NotImplemented",
            Self::TooLarge | Self::Unavailable => "InsufficientResources",
            Self::ServiceFailure => "ServiceFailure",
        }
    }
}

impl Refused {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, code: "0", identifier: None, retry_seconds: RETRY_SECONDS }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidRequest, message)
    }

    /// Returns the refusal with the identifier that it is about.
    #[must_use]
    pub(crate) fn about(mut self, identifier: &str) -> Self {
        self.identifier = Some(identifier.to_owned());
        self
    }

    /// Returns the headers that every form of the refusal has.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self.kind {
            Kind::Unavailable => set(&mut headers, RETRY_AFTER, &self.retry_seconds.to_string()),
            Kind::NotAllowed => set(&mut headers, ALLOW, METHODS),
            // RFC 9110 section 15.5.2 demands it.
            Kind::NotAuthorized => set(&mut headers, WWW_AUTHENTICATE, "Bearer realm=\"DataONE\""),
            _ => {}
        }
        set(&mut headers, CACHE_CONTROL, "no-store");
        headers
    }
}

/// Sets a header. A value with control characters is left out: it came from content.
pub(crate) fn set(headers: &mut HeaderMap, name: impl Into<HeaderName>, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name.into(), value);
    }
}

/// Returns an answer whose body is in memory.
pub(crate) fn full(status: StatusCode, content_type: &str, body: impl Into<bytes::Bytes>) -> Response {
    let body = body.into();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, CONTENT_TYPE, content_type);
    set(headers, CONTENT_LENGTH, &body.len().to_string());
    *response.body_mut() = Body::from(body);
    response
}

/// Returns a redirection to a URL that the caller built from safe parts.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Response {
    let mut response = full(status, "text/plain; charset=utf-8", "");
    set(response.headers_mut(), LOCATION, location);
    response
}

/// Returns the answer to `OPTIONS`.
pub(crate) fn options() -> Response {
    let mut response = full(StatusCode::OK, "text/plain; charset=utf-8", "");
    let headers = response.headers_mut();
    set(headers, ALLOW, METHODS);
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, CORS_REQUEST_HEADERS);
    set(headers, ACCESS_CONTROL_MAX_AGE, "86400");
    response
}

/// Returns a date for a header.
pub(crate) fn http_date(time: Timestamp) -> String {
    let time = SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH);
    httpdate::fmt_http_date(time.max(SystemTime::UNIX_EPOCH))
}

/// Adds the headers that every answer has.
pub(crate) fn finish(request: Option<&Request>, response: &mut Response) {
    let headers = response.headers_mut();
    set(headers, DATE, &httpdate::fmt_http_date(SystemTime::now()));
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, REFERRER_POLICY, "same-origin");
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        set(headers, CONTENT_SECURITY_POLICY, FILE_POLICY);
    }
    set(headers, HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    let vary = match headers.get(VARY).and_then(|value| value.to_str().ok()) {
        Some(more) => format!("{more}, Origin"),
        None => "Origin".to_owned(),
    };
    set(headers, VARY, &vary);
    let Some(origin) = request.and_then(|request| request.headers.get(ORIGIN)) else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    set(headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, CORS_EXPOSED_HEADERS);
}

/// The headers that a 304 repeats (RFC 9110 section 15.4.5).
const NOT_MODIFIED_HEADERS: [HeaderName; 4] = [CACHE_CONTROL, ETAG, LAST_MODIFIED, VARY];

/// Returns an answer without a body, with the headers of a representation that belong to it.
pub(crate) fn without_body(status: StatusCode, of: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for name in NOT_MODIFIED_HEADERS {
        if let Some(value) = of.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if status != StatusCode::NOT_MODIFIED {
        set(headers, CONTENT_LENGTH, "0");
    }
    response
}

/// Returns the answer 416 for a representation of this size.
pub(crate) fn unsatisfiable(size: u64, of: &HeaderMap) -> Response {
    let mut response = without_body(StatusCode::RANGE_NOT_SATISFIABLE, of);
    set(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
    set(response.headers_mut(), ACCEPT_RANGES, "bytes");
    response
}

/// Returns the value of `Content-Disposition` for a file name from content.
///
/// Controls, directional marks, separators and quotation marks fall out. Names that Windows reserves get an underscore.
pub(crate) fn disposition(kind: &str, name: &str) -> String {
    let name = safe_name(name);
    let ascii: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    if ascii == name {
        return format!("{kind}; filename=\"{ascii}\"");
    }
    let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
    format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// The longest file name that is suggested, in characters.
const LONGEST_NAME: usize = 200;

fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_safe = |c: &char| {
        !c.is_control()
            && !matches!(c, '"' | ':' | '\\' | '/' | '*' | '?' | '<' | '>' | '|' | '%')
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let kept: String = last.chars().filter(is_safe).take(LONGEST_NAME).collect();
    let kept = kept.trim_matches([' ', '.']).to_owned();
    let stem = kept.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let is_device = ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str())
        || (stem.len() == 4
            && (stem.starts_with("COM") || stem.starts_with("LPT"))
            && stem.ends_with(|c: char| c.is_ascii_digit()));
    match kept.is_empty() {
        true => "file".to_owned(),
        false if is_device => format!("_{kept}"),
        false => kept,
    }
}

/// Returns the value of `Repr-Digest` for a SHA-256 (RFC 9530).
pub(crate) fn repr_digest(sha256: &[u8; 32]) -> String {
    use base64::Engine as _;
    format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(sha256))
}

/// Adds the file name to suggest.
pub(crate) fn set_disposition(headers: &mut HeaderMap, kind: &str, name: &str) {
    set(headers, CONTENT_DISPOSITION, &disposition(kind, name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_from_content_cannot_break_out_of_the_header() {
        for (name, expected) in [
            ("a.csv", "attachment; filename=\"a.csv\""),
            ("../../etc/passwd", "attachment; filename=\"passwd\""),
            ("a\r\nSet-Cookie: x=\"1\"", "attachment; filename=\"aSet-Cookie x=1\""),
            ("..", "attachment; filename=\"file\""),
            ("", "attachment; filename=\"file\""),
            ("nul.txt", "attachment; filename=\"_nul.txt\""),
            ("COM1", "attachment; filename=\"_COM1\""),
            ("\u{202e}gpj.exe", "attachment; filename=\"gpj.exe\""),
            ("ä b.csv", "attachment; filename=\"_ b.csv\"; filename*=UTF-8''%C3%A4%20b%2Ecsv"),
        ] {
            assert_eq!(disposition("attachment", name), expected);
        }
        assert!(disposition("attachment", &"x".repeat(10_000)).len() < 300);
    }

    #[test]
    fn a_value_with_a_line_break_sets_no_header() {
        let mut headers = HeaderMap::new();
        set(&mut headers, LOCATION, "/a\r\nSet-Cookie: b");
        assert!(headers.is_empty());
    }
}
