//! Errors of object stores, in words.

use std::error::Error as StdError;
use std::fmt;

use object_store::Error as StoreError;
use registry_backend::{Error, ErrorKind, Retry};

/// The entities that servers write in their messages. The ampersand comes last, since it is part of the others.
const ENTITIES: [(&str, &str); 7] = [
    ("&quot;", "\""),
    ("&#34;", "\""),
    ("&apos;", "'"),
    ("&#39;", "'"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&amp;", "&"),
];

/// The reason for a refusal without a code of its own.
const NOT_ALLOWED: &str = "the credentials do not allow it (docs/buckets.md lists the permissions)";

/// The document that tells how to log in.
const DOCUMENT: &str = "docs/buckets.md";

/// The most characters of a server's own message that are shown.
const MESSAGE_SHOWN: usize = 300;

/// Returns the error of an operation that failed in the store.
pub(super) fn failure(operation: &'static str, target: impl fmt::Display, error: StoreError) -> Error {
    let fail = |kind| Error::new(kind, operation, &target);
    if let Some((kind, reason)) = own_fault(&error) {
        return fail(kind).because(reason);
    }
    let answer = Answer::of(&error);
    if let Some((kind, reason)) = answer.as_ref().and_then(Answer::meaning) {
        let said = answer.map(|answer| answer.to_string()).unwrap_or_default();
        let mut reason = reason;
        if kind == ErrorKind::Denied && !reason.contains(DOCUMENT) {
            reason = format!("{reason} ({DOCUMENT})");
        }
        return fail(kind).because(reason).caused_by(said);
    }
    let (kind, retry) = match &error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, Retry::No),
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
            (ErrorKind::Conflict, Retry::Yes)
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (ErrorKind::Unsupported, Retry::No)
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            (ErrorKind::Denied, Retry::No)
        }
        StoreError::InvalidPath { .. } | StoreError::UnknownConfigurationKey { .. } => {
            (ErrorKind::Invalid, Retry::No)
        }
        _ => match answer.as_ref().map(|answer| answer.status) {
            Some(401 | 403) => (ErrorKind::Denied, Retry::No),
            Some(429) => (ErrorKind::RateLimited, Retry::Yes),
            Some(408) => (ErrorKind::Unavailable, Retry::Yes),
            Some(300..500) => (ErrorKind::Protocol, Retry::No),
            _ => (ErrorKind::Unavailable, Retry::Yes),
        },
    };
    let failed = fail(kind).with_retry(retry);
    let failed = if kind == ErrorKind::Denied { failed.because(NOT_ALLOWED) } else { failed };
    match answer {
        // The server's own words, without the document around them.
        Some(answer) => failed.caused_by(answer.to_string()),
        None => match transfer_reason(&error) {
            Some(reason) => failed.because(reason),
            None => failed.caused_by(error),
        },
    }
}

/// Tells whether a request may have been carried out although it failed: its answer was lost.
#[cfg(feature = "remote")]
pub(super) fn may_have_happened(error: &StoreError) -> bool {
    use object_store::client::{HttpError, HttpErrorKind};
    let lost = |cause: &(dyn StdError + 'static)| {
        let kind = cause.downcast_ref::<HttpError>().map(HttpError::kind);
        matches!(kind, Some(HttpErrorKind::Interrupted | HttpErrorKind::Timeout))
    };
    causes(error).any(lost)
}

/// Without a network, no answer is lost.
#[cfg(not(feature = "remote"))]
pub(super) fn may_have_happened(_error: &StoreError) -> bool {
    false
}

/// Tells whether the fault is in the bucket or the credentials, although the answer says that something is not found.
pub(super) fn is_about_bucket(error: &StoreError) -> bool {
    Answer::of(error).is_some_and(|answer| answer.meaning().is_some())
}

/// Returns an error with everything that caused it.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(not(feature = "remote"))]
fn transfer_reason(_error: &StoreError) -> Option<String> {
    None
}

/// Returns the sentence of the HTTP client, which names the limit that was exceeded.
#[cfg(feature = "remote")]
fn transfer_reason(error: &StoreError) -> Option<String> {
    let http = causes(error).find_map(|cause| cause.downcast_ref::<object_store::client::HttpError>())?;
    let mut reasons: Vec<String> = Vec::new();
    for cause in causes(http).skip(1) {
        let text = cause.to_string();
        if reasons.last().is_none_or(|last| !last.contains(&text)) {
            reasons.push(text);
        }
    }
    (!reasons.is_empty()).then(|| reasons.join(": "))
}

#[cfg(feature = "remote")]
fn own_fault(error: &StoreError) -> Option<(ErrorKind, String)> {
    causes(error).find_map(crate::remote::own_fault)
}

#[cfg(not(feature = "remote"))]
fn own_fault(_error: &StoreError) -> Option<(ErrorKind, String)> {
    None
}

/// The refusal of a server: the status, and the code and the message of the document that comes with it (S3 "Error responses",
/// Azure "Status and error codes").
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    code: String,
    message: String,
    region: String,
}

impl Answer {
    /// Finds the refusal in an error. The library states it in text alone.
    fn of(error: &StoreError) -> Option<Self> {
        const STATUS: &str = "non-2xx status code: ";
        let text = causes(error).map(ToString::to_string).find(|text| text.contains(STATUS));
        if text.is_none()
            && causes(error).any(|cause| cause.to_string().contains("redirect without LOCATION"))
        {
            return Some(Self::named(301, "PermanentRedirect"));
        }
        let text = text?;
        let (_, rest) = text.split_once(STATUS)?;
        let status = rest.get(..3)?.parse().ok()?;
        let element = |name: &str| {
            let (_, rest) = rest.split_once(&format!("<{name}>"))?;
            let (value, _) = rest.split_once("</")?;
            let value =
                ENTITIES.iter().fold(value.to_owned(), |value, (name, text)| value.replace(name, text));
            Some(value.chars().filter(|character| !character.is_control()).take(MESSAGE_SHOWN).collect())
        };
        let value = |name| element(name).unwrap_or_default();
        Some(Self { status, code: value("Code"), message: value("Message"), region: value("Region") })
    }

    fn named(status: u16, code: &str) -> Self {
        let (message, region) = (String::new(), String::new());
        Self { status, code: code.to_owned(), message, region }
    }

    /// Returns the meaning of codes that a user can do something about.
    fn meaning(&self) -> Option<(ErrorKind, String)> {
        let region = if self.region.is_empty() { "REGION" } else { &self.region };
        let (kind, reason) = match &*self.code {
            "NoSuchBucket" | "ContainerNotFound" => (
                ErrorKind::NotFound,
                "the bucket does not exist: create it with the vendor's tools".to_owned(),
            ),
            "InvalidBucketName" => {
                (ErrorKind::Unsupported, "the store does not accept this name of a bucket".to_owned())
            }
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException" => {
                let reason = format!("the bucket is in another region: set `AWS_REGION={region}`");
                (ErrorKind::Unsupported, reason)
            }
            "RequestTimeTooSkewed" | "RequestExpired" => {
                let reason = "the clock of this machine differs too much from the store's: set it";
                (ErrorKind::Denied, reason.to_owned())
            }
            "InvalidAccessKeyId" | "InvalidAccountId" | "XAdminUserNotFound" => (
                ErrorKind::Denied,
                "the store does not know the access key: check `AWS_ACCESS_KEY_ID`".to_owned(),
            ),
            "SignatureDoesNotMatch" => {
                (ErrorKind::Denied, "the secret key is wrong: check `AWS_SECRET_ACCESS_KEY`".to_owned())
            }
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
                (ErrorKind::Denied, "the session token has expired or is wrong: get a new one".to_owned())
            }
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => {
                let reason = "the store does not accept the credentials: check the account, its key or the shared access \
                              signature, and the clock of this machine";
                (ErrorKind::Denied, reason.to_owned())
            }
            "AccessDenied"
            | "AuthorizationFailure"
            | "AuthorizationPermissionMismatch"
            | "PublicAccessNotPermitted"
            | "NoAuthenticationInformation" => (ErrorKind::Denied, NOT_ALLOWED.to_owned()),
            _ => return None,
        };
        Some((kind, reason))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the store answered {}", self.status)?;
        for part in [&self.code, &self.message].into_iter().filter(|part| !part.is_empty()) {
            write!(formatter, ", {part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> StoreError {
        let source =
            format!("Error performing GET http://x/ in 1ms - Server returned non-2xx status code: {text}");
        StoreError::Generic { store: "S3", source: source.into() }
    }

    #[test]
    fn the_words_of_the_server_are_shown_once_and_without_their_document() {
        let document = "503 Service Unavailable: <?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce\nyour rate</Message></Error>";
        let error = failure("read blob", "x", refused(document));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.retry(), Retry::Yes);
        let cause = error.source().unwrap();
        assert_eq!(cause.to_string(), "the store answered 503, SlowDown, Reduceyour rate");
        assert!(cause.source().is_none());
    }

    #[test]
    fn a_code_that_a_user_can_do_something_about_has_its_own_sentence() {
        for (text, kind, part) in [
            (
                "404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
                ErrorKind::NotFound,
                "the bucket does not exist",
            ),
            (
                "400 Bad Request: <Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>",
                ErrorKind::Unsupported,
                "AWS_REGION=eu-west-1",
            ),
            ("403 Forbidden: <Error><Code>RequestTimeTooSkewed</Code></Error>", ErrorKind::Denied, "clock"),
            (
                "403 Forbidden: <Error><Code>InvalidAccessKeyId</Code></Error>",
                ErrorKind::Denied,
                "AWS_ACCESS_KEY_ID",
            ),
        ] {
            let error = failure("open", "s3://b", refused(text));
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
