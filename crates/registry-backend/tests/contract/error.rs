//! The texts of errors, for users and for logs.

use std::error::Error as _;
use std::time::Duration;

use registry_backend::{Error, ErrorKind, Retry};

#[test]
fn the_text_names_operation_target_and_reason() {
    let error = Error::new(ErrorKind::Invalid, "read blob", "sha256:00");
    assert_eq!(error.to_string(), "cannot read blob sha256:00: the content is not valid");
    let error = error.because("it ends 3 bytes early");
    assert_eq!(error.to_string(), "cannot read blob sha256:00: it ends 3 bytes early");
    assert_eq!((error.operation(), error.target()), ("read blob", "sha256:00"));
}

#[test]
fn every_kind_has_words_of_its_own() {
    let kinds = [
        ErrorKind::NotFound,
        ErrorKind::Denied,
        ErrorKind::Invalid,
        ErrorKind::Incomplete,
        ErrorKind::TooLarge,
        ErrorKind::Unsupported,
        ErrorKind::Conflict,
        ErrorKind::RateLimited,
        ErrorKind::Unavailable,
        ErrorKind::Protocol,
        ErrorKind::Io,
    ];
    let texts: std::collections::HashSet<_> = kinds.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), kinds.len());
    assert!(texts.iter().all(|text| !text.ends_with('.') && !text.is_empty()), "{texts:?}");
}

#[test]
fn the_cause_is_not_in_the_text_but_behind_it() {
    let error = Error::io("open", "a.csv", std::io::Error::other("no such device"));
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.to_string(), "cannot open a.csv: a file operation failed");
    assert_eq!(error.source().unwrap().to_string(), "no such device");
    assert!(Error::new(ErrorKind::Io, "open", "a.csv").source().is_none());
}

#[test]
fn trying_again_helps_only_where_it_is_said() {
    let error = Error::new(ErrorKind::RateLimited, "read blob", "sha256:00");
    assert_eq!(error.retry(), Retry::No);
    let after = Retry::After(Duration::from_secs(3));
    assert_eq!(error.with_retry(after).retry(), after);
}

#[test]
fn an_error_is_one_pointer() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}
